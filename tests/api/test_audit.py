"""Who did it: the token of every change, in the events of studies and in the audit log."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.domain.token import Role
from app.service.services import Services

from .conftest import ask, client_of, create, tell
from .contract import Contract

pytestmark = pytest.mark.anyio


def ids_of(services: Services) -> dict[Role, str]:
    return {token.role: token.id for token in services.tokens.page(100, None).items}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def events_of(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get("/v1/events?after=0.0")).json()["events"]
    return found


async def test_every_event_of_a_study_names_the_token_whose_call_caused_it(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    ids = ids_of(services)
    async with (
        client_of(app, contract, **bearer(tokens[Role.SUBMITTER])) as user,
        client_of(app, contract, **bearer(tokens[Role.WORKER])) as worker,
        client_of(app, contract, **bearer(tokens[Role.ADMIN])) as admin,
        client_of(app, contract, **bearer(tokens[Role.READER])) as reader,
    ):
        objective = {"name": "function", "options": {"function": "sphere"}}
        space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
        study = await create(user, objective=objective, space=space)
        registered = {"name": "w", "boot_id": "1", "objectives": ["function"]}
        worker_id = (await worker.post("/v1/workers", json=registered)).json()["id"]
        claimed = await worker.post("/v1/leases:claim", json={"worker_id": worker_id})
        [lease] = claimed.json()["leases"]
        point = {"step": 1, "values": {"value": 1.0}}
        report = {"lease_id": lease["lease_id"], "seq": 0, "points": [point]}
        path = f"/v1/trials/{lease['trial']['id']}"
        assert (await worker.post(f"{path}/measurements", json=report)).is_success
        done = {"lease_id": lease["lease_id"], "values": {"value": 1.0}}
        assert (await worker.post(f"{path}:complete", json=done)).is_success
        assert (await admin.post(f"/v1/studies/{study['id']}:cancel")).is_success
        seen = await events_of(reader)
    by_kind = [
        (event["kind"], event["data"].get("state"), event["token_id"])
        for event in seen
        if event["kind"] != "study.best"
    ]
    user_id, worker_token, admin_id = (
        ids[role] for role in (Role.SUBMITTER, Role.WORKER, Role.ADMIN)
    )
    assert by_kind[0] == ("study.state", "active", user_id)
    assert by_kind[-1] == ("study.state", "cancelled", admin_id)
    assert {token for _, _, token in by_kind[1:-1]} == {worker_token}
    assert ("trial.measurement", None, worker_token) in by_kind


async def test_what_the_service_does_by_itself_names_nobody(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    async with client_of(app, contract, **bearer(tokens[Role.ADMIN])) as http:
        study = await create(http)
        await ask(http, study["id"])
        services.store.clock.offset_s += 100_000
        assert services.sweeper.sweep_leases(services.store.now()) == 1
        swept = (await events_of(http))[-1]
    assert (swept["kind"], swept["data"]["state"]) == ("trial.state", "pending")
    assert swept["token_id"] is None


async def test_with_auth_off_nobody_is_named(http: httpx.AsyncClient) -> None:
    study = await create(http)
    await tell(http, await ask(http, study["id"]), 1.0)
    assert {event["token_id"] for event in await events_of(http)} == {None}


async def test_a_call_leaves_no_actor_behind_for_the_next(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    """Threads and writers are shared by all calls."""
    ids = ids_of(services)
    for number, role in enumerate([Role.ADMIN, Role.SUBMITTER] * 10):
        async with client_of(app, contract, **bearer(tokens[role])) as http:
            await create(http, f"study {number}")
            assert (await events_of(http))[-1]["token_id"] == ids[role]


async def test_tokens_workers_and_sessions_are_in_the_audit_log(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    ids = ids_of(services)
    async with client_of(app, contract, **bearer(tokens[Role.ADMIN])) as http:
        body = {"name": "guest", "role": "reader"}
        made = await http.post("/v1/tokens", json=body, headers={"X-Request-ID": "mine-1"})
        await http.delete(f"/v1/tokens/{made.json()['id']}")
        registered = {"name": "w", "boot_id": "1", "objectives": ["function"]}
        worker = (await http.post("/v1/workers", json=registered)).json()["id"]
        await http.patch(f"/v1/workers/{worker}", json={"draining": True})
        await http.delete(f"/v1/workers/{worker}")
        await http.put("/v1/session", json={"token": tokens[Role.READER]})
        http.cookies.clear()
        entries = (await http.get("/v1/audit?page_size=6")).json()["entries"]
    assert [(e["action"], e["target_id"]) for e in reversed(entries)] == [
        ("token.created", made.json()["id"]),
        ("token.revoked", made.json()["id"]),
        ("worker.registered", worker),
        ("worker.changed", worker),
        ("worker.deleted", worker),
        ("session.created", ids[Role.READER]),
    ]
    first = entries[-1]
    assert (first["token_id"], first["request_id"]) == (ids[Role.ADMIN], "mine-1")
    assert first["data"] == {"name": "guest", "role": "reader"}
    assert made.json()["secret"] not in str(entries)


async def test_a_refused_change_is_not_in_the_log(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    before = services.audits.page(100, None).items
    async with client_of(app, contract, **bearer(tokens[Role.SUBMITTER])) as http:
        assert (await http.post("/v1/tokens", json={"name": "x", "role": "admin"})).is_error
        assert (await http.delete("/v1/workers/wk_none")).is_error
    async with client_of(app, contract, **bearer(tokens[Role.ADMIN])) as http:
        assert (await http.delete("/v1/workers/wk_none")).status_code == 404
        assert (await http.delete("/v1/tokens/tk_none")).status_code == 404
    assert services.audits.page(100, None).items == before


async def test_the_log_is_paged_without_gaps(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    for number in range(5):
        services.tokens.create(f"t{number}", Role.READER, None)
    async with client_of(app, contract, **bearer(tokens[Role.ADMIN])) as http:
        found: list[int] = []
        token: str | None = ""
        while token is not None:
            asked = {"page_size": 2, **({"page_token": token} if token else {})}
            page = (await http.get("/v1/audit", params=asked)).json()
            found += [entry["id"] for entry in page["entries"]]
            token = page["next_page_token"]
        assert found == sorted(found, reverse=True)
        assert len(found) == 5 + len(Role)
        wrong = await http.get("/v1/audit", params={"page_token": "x"})
        assert wrong.status_code == 422
