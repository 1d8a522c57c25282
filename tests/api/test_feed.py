"""The stream of all studies' events: shared by its watchers, resumed, never skipping one."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api import feed, render
from app.domain.event import Event
from app.errors import Unavailable
from app.service.services import Services
from app.store import retention

from .asgi import Call
from .conftest import ask, create

pytestmark = pytest.mark.anyio

STREAM = {"Accept": "text/event-stream"}


def follow(app: FastAPI, after: str | None = None) -> Call:
    return Call(app, "GET", f"/v1/events{'' if after is None else f'?after={after}'}", STREAM)


async def now(http: httpx.AsyncClient) -> str:
    after: str = (await http.get("/v1/events")).json()["next_after"]
    return after


async def test_events_of_all_studies_come_as_they_happen(
    app: FastAPI, http: httpx.AsyncClient
) -> None:
    before = await create(http, "before")
    after = await now(http)
    seen = await create(http, "seen")
    async with follow(app, after) as stream:
        caught_up = await stream.event_after_start()
        assert json.loads(caught_up["data"])["study_id"] == seen["id"]
        later = await create(http, "later")
        await http.post(f"/v1/studies/{before['id']}:pause")
        told = [await stream.event(), await stream.event()]
    assert [json.loads(event["data"])["study_id"] for event in told] == [later["id"], before["id"]]
    assert [event["event"] for event in told] == ["study.state", "study.state"]
    rest = (await http.get("/v1/events", params={"after": told[0]["id"]})).json()["events"]
    assert [event["cursor"] for event in rest] == [told[1]["id"]]


async def test_the_last_event_id_wins_over_the_address(
    app: FastAPI, http: httpx.AsyncClient
) -> None:
    after = await now(http)
    await create(http, "one")
    page = (await http.get("/v1/events", params={"after": after})).json()
    two = await create(http, "two")
    headers = {**STREAM, "Last-Event-ID": page["next_after"]}
    async with Call(app, "GET", f"/v1/events?after={after}", headers) as stream:
        assert json.loads((await stream.event_after_start())["data"])["study_id"] == two["id"]


@pytest.mark.parametrize("cursor", ["nonsense", "-1.0", ""])
async def test_a_cursor_that_is_none(http: httpx.AsyncClient, cursor: str) -> None:
    answer = await http.get("/v1/events", params={"after": cursor}, headers=STREAM)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/after"


async def test_a_cursor_older_than_what_is_kept_is_reset(
    app: FastAPI, http: httpx.AsyncClient, services: Services
) -> None:
    start = await now(http)
    study = await create(http)
    trial = await ask(http, study["id"])
    report = {"lease_id": trial["lease_id"], "seq": 1, "points": [{"step": 1, "values": {}}]}
    await http.post(f"/v1/trials/{trial['id']}/measurements", json=report)
    at = services.store.now()
    services.store.write(
        lambda tx: retention.purge_events(tx, study["id"], reports_before=at, ended_before=at)
    )
    async with follow(app, start) as stream:
        assert (await stream.event_after_start())["event"] == "reset"
        await http.post(f"/v1/studies/{study['id']}:pause")
        assert (await stream.event())["event"] == "study.state"


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Cursors of events in the order in which they are turned into bytes."""
    made: list[str] = []
    original: Callable[[Event], dict[str, Any]] = render.event

    def event(value: Event) -> dict[str, Any]:
        made.append(value.cursor)
        return original(value)

    monkeypatch.setattr(render, "event", event)
    return made


async def test_an_event_is_turned_into_bytes_once_for_all_who_watch(
    app: FastAPI, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "TICK_S", 0.01)
    after = await now(http)
    streams = [follow(app, after) for _ in range(50)]
    async with asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(stream.__aenter__())
    for stream in streams:
        assert (await stream.event_after_start())["event"] == "tick"
    made = counted(monkeypatch)
    study = await create(http)
    for stream in streams:
        while (told := await stream.event())["event"] == "tick":
            pass
        assert json.loads(told["data"])["study_id"] == study["id"]
    assert len(made) == len(set(made)) == 1
    for stream in streams:
        await stream.__aexit__(None, None, None)
    assert app.state.ring._reading is None


async def test_nothing_is_lost_or_told_twice_while_much_happens(
    app: FastAPI, http: httpx.AsyncClient
) -> None:
    after = await now(http)
    streams: list[Call] = []
    for k in range(12):
        await create(http, f"study {k}")
        streams.append(await follow(app, after).__aenter__())
    wanted = [
        e["cursor"]
        for e in (await http.get("/v1/events", params={"after": after})).json()["events"]
    ]
    for stream in streams:
        told = [(await stream.event_after_start())["id"]]
        while told[-1] != wanted[-1]:
            told.append((await stream.event())["id"])
        assert told == wanted
        await stream.__aexit__(None, None, None)


async def test_who_falls_out_of_the_ring_is_told_to_read_anew(
    app: FastAPI, http: httpx.AsyncClient, services: Services
) -> None:
    ring = feed.Ring()
    await ring.enter(services.events)
    ring._lines = deque(maxlen=2)
    follower = feed._Follower(services.events, ring, await now(http))
    assert await follower.next() == b""
    place = ring.end
    for k in range(3):
        await create(http, f"study {k}")
    while ring.end < place + 3:
        await ring.wait(ring.end, 5)
    assert b"event: reset" in await follower.next()
    assert await follower.next() == b""
    ring.leave()


async def test_a_stream_ends_when_the_service_stops(
    app: FastAPI, http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(http)
    async with follow(app, "0.0") as stream:
        await stream.event_after_start()
        services.drain()
        assert b"event: study" not in await stream.read()


async def test_a_stream_ends_when_the_events_cannot_be_read(
    app: FastAPI,
    http: httpx.AsyncClient,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def busy(*_: object) -> None:
        raise Unavailable("the database is busy")

    async with follow(app, await now(http)) as stream:
        await create(http)
        await stream.event_after_start()
        monkeypatch.setattr(services.events, "wait_feed", busy)
        await create(http, "another")
        await stream.read()
    assert not caplog.records


async def test_json_stays_the_answer_where_no_stream_is_asked_for(http: httpx.AsyncClient) -> None:
    for accept in ("application/json", "*/*"):
        answer = await http.get("/v1/events", headers={"Accept": accept})
        assert answer.json()["events"] == []
