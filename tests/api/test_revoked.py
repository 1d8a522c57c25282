"""A token that is revoked while its call waits gets nothing of what the call waited for."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from app.api import deps, sse
from app.domain.token import Role
from app.service.services import Services

from .asgi import Call
from .conftest import client_of, definition
from .contract import Contract
from .problems import is_problem

pytestmark = pytest.mark.anyio

WAIT_S = 60


@pytest.fixture(autouse=True)
def _look_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deps, "RECHECK_S", 0.0)
    monkeypatch.setattr(sse, "RECHECK_S", 0.0)


async def waits(services: Services, call: asyncio.Task[httpx.Response]) -> None:
    """Returns once the call waits for the service: its watch is on the hub."""
    while not services._hub._watches:
        assert not call.done()
        await asyncio.sleep(0)


async def test_a_waiting_claim_hands_nothing_to_it(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    token, secret = services.tokens.create("leaver", Role.WORKER, None)
    async with client_of(app, contract, Authorization=f"Bearer {secret}") as http:
        body = {"name": "w", "boot_id": "1", "objectives": ["function"]}
        worker = (await http.post("/v1/workers", json=body)).json()["id"]
        claim = {"worker_id": worker, "wait_s": WAIT_S}
        call = asyncio.create_task(http.post("/v1/leases:claim", json=claim))
        await waits(services, call)
        services.tokens.revoke(token.id)
        objective = {"name": "function", "options": {"function": "sphere"}}
        space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
        study = services.studies.create(definition(objective=objective, space=space)).study
        is_problem(await asyncio.wait_for(call, WAIT_S), 401, "unauthenticated")
    async with client_of(app, contract, Authorization=f"Bearer {tokens[Role.ADMIN]}") as http:
        [trial] = (await http.get(f"/v1/studies/{study.id}/trials")).json()["trials"]
        assert trial["state"] == "pending"


async def test_the_feed_of_events_tells_it_nothing(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    assert tokens
    token, secret = services.tokens.create("leaver", Role.READER, None)
    async with client_of(app, contract, Authorization=f"Bearer {secret}") as http:
        call = asyncio.create_task(http.get(f"/v1/events?wait_s={WAIT_S}"))
        await waits(services, call)
        services.tokens.revoke(token.id)
        services.studies.create(definition())
        is_problem(await asyncio.wait_for(call, WAIT_S), 401, "unauthenticated")


async def test_a_stream_ends_before_the_next_event(
    app: FastAPI, services: Services, tokens: dict[Role, str]
) -> None:
    assert tokens
    study = services.studies.create(definition()).study
    token, secret = services.tokens.create("watcher", Role.READER, None)
    headers = {"authorization": f"Bearer {secret}"}
    async with Call(app, "GET", f"/v1/studies/{study.id}/events", headers) as stream:
        assert (await stream.event_after_start())["event"] == "study.state"
        services.tokens.revoke(token.id)
        services.studies.pause(study.id)
        assert b"event:" not in await stream.read()
