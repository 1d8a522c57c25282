"""A service that cannot keep up says so in bounded time: 503 with `retry_after_s`, nothing written,
never a hang.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from app.api import deps
from app.service import threads
from app.service.services import Services
from app.settings import Settings
from app.store import sqlite
from app.store.engine import Store

from .conftest import create, definition
from .problems import is_problem

pytestmark = pytest.mark.anyio

SOON_S = 20
"""Far more than the timeouts that the tests set, far less than one for each call in line."""


@contextmanager
def held(store: Store) -> Iterator[None]:
    """The database's one place for a writer is taken by another process' connection."""
    other = sqlite3.connect(store.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def is_busy(answer: httpx.Response) -> None:
    """A refusal that tells when to come back."""
    problem = is_problem(answer, 503, "storage-busy")
    assert problem["retryable"] is True
    assert problem["retry_after_s"] >= 1
    assert int(answer.headers["retry-after"]) >= 1


@pytest.fixture(autouse=True)
def _waits_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 300)
    monkeypatch.setattr(deps, "QUEUE_WAIT_S", 1.0)
    monkeypatch.setattr(threads, "PLACE_WAIT_S", 0.5)


async def test_writes_behind_a_stuck_writer_are_told_to_come_back(
    http: httpx.AsyncClient, store: Store
) -> None:
    study = await create(http, "first")
    calls = [http.post("/v1/studies", json=definition(f"study {k}")) for k in range(40)]
    with held(store):
        answers = await asyncio.wait_for(asyncio.gather(*calls), SOON_S)
        for answer in answers:
            is_busy(answer)
        assert (await http.get(f"/v1/studies/{study['id']}")).json()["name"] == "first"
        assert (await http.get("/healthz")).status_code == 200
    shown = (await http.get("/v1/studies")).json()["studies"]
    assert [each["name"] for each in shown] == ["first"]
    assert (await create(http, "second"))["name"] == "second"


async def test_calls_find_no_free_connection_in_time(app: FastAPI, http: httpx.AsyncClient) -> None:
    n_places = int(app.state.limiter.total_tokens)
    have_begun, is_over = threading.Barrier(n_places + 1), threading.Event()

    def occupy() -> None:
        have_begun.wait(SOON_S)
        is_over.wait(SOON_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(n_places):
            group.create_task(deps.threaded(Request({"type": "http", "app": app}), occupy))
        await asyncio.to_thread(have_begun.wait, SOON_S)
        calls = [http.get("/v1/studies") for _ in range(40)]
        answers = await asyncio.wait_for(asyncio.gather(*calls), SOON_S)
        is_over.set()
    for answer in answers:
        is_busy(answer)
    assert (await http.get("/v1/studies")).status_code == 200


CROWD = 60


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"claims_limit": CROWD})


async def registered(http: httpx.AsyncClient) -> str:
    """A worker that could take trials of `create`'s studies."""
    body = {"name": "w", "boot_id": "1", "objectives": [{"name": "function"}], "slots": 1}
    answer = await http.post("/v1/workers", json=body)
    return str(answer.json()["id"])


def claims(http: httpx.AsyncClient, worker_id: str, n: int, wait_s: float = 0) -> list[Any]:
    body = {"worker_id": worker_id, "max_leases": 1, "wait_s": wait_s}
    return [http.post("/v1/leases:claim", json=body) for _ in range(n)]


async def suggested(http: httpx.AsyncClient, study_id: str) -> httpx.Response:
    return await http.post(f"/v1/studies/{study_id}:suggest", json={"count": 1})


async def nothing_was_handed_out(http: httpx.AsyncClient, study_id: str) -> None:
    assert (await http.get(f"/v1/studies/{study_id}")).json()["trial_counts"] == {}


async def test_claims_whose_turn_does_not_come_are_told_to_come_back(
    http: httpx.AsyncClient, services: Services
) -> None:
    study, worker_id = await create(http, "s"), await registered(http)
    n_threads, is_over = 4, threading.Event()
    have_begun = threading.Barrier(n_threads + 1)

    def occupy() -> None:
        have_begun.wait(SOON_S)
        is_over.wait(SOON_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(n_threads):
            group.create_task(services._threads.serve(occupy))
        await asyncio.to_thread(have_begun.wait, SOON_S)
        asks = [suggested(http, study["id"]) for _ in range(20)]
        calls = [*claims(http, worker_id, 30), *asks]
        answers = await asyncio.wait_for(asyncio.gather(*calls), SOON_S)
        is_over.set()
    for answer in answers:
        is_busy(answer)
    await nothing_was_handed_out(http, study["id"])
    assert (await suggested(http, study["id"])).status_code == 200


async def test_asks_in_line_for_a_study_are_told_to_come_back(
    http: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first batch stands before a stuck database; those behind it do not wait for it."""
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 1500)
    study = await create(http, "s")
    with held(store):
        calls = [suggested(http, study["id"]) for _ in range(CROWD)]
        answers = await asyncio.wait_for(asyncio.gather(*calls), SOON_S)
    for answer in answers:
        is_busy(answer)
    await nothing_was_handed_out(http, study["id"])


async def test_one_claim_too_many_is_refused_at_once(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, wait = asyncio.Semaphore(0), services.claims._board.wait

    async def noted(*given: Any) -> bool:
        arrived.release()
        return await wait(*given)

    monkeypatch.setattr(services.claims._board, "wait", noted)
    worker_id = await registered(http)
    waiting = [asyncio.ensure_future(call) for call in claims(http, worker_id, CROWD, wait_s=30)]
    for _ in range(CROWD):
        await asyncio.wait_for(arrived.acquire(), SOON_S)
    [refused] = await asyncio.gather(*claims(http, worker_id, 1, wait_s=30))
    is_busy(refused)
    assert "TUNEWELL_CLAIMS_LIMIT" in refused.json()["detail"]
    services.claims._board.wake_all()
    services.claims.is_closing = True
    answers = await asyncio.wait_for(asyncio.gather(*waiting), SOON_S)
    assert [answer.status_code for answer in answers] == [200] * CROWD
    [after] = await asyncio.gather(*claims(http, worker_id, 1))
    assert after.status_code == 200
