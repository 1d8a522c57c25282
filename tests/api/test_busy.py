"""A service that cannot keep up says so in bounded time: 503 with `retry_after_s`, nothing written,
never a hang.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request

from app.api import deps
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
