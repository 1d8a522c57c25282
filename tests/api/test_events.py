"""Event streams: in order, resumed, never skipping one; and the long-poll twin."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from fastapi import FastAPI

from app.api import sse
from app.service.services import Services
from app.store import retention

from .asgi import Call
from .conftest import ask, create, tell

pytestmark = pytest.mark.anyio


async def test_a_stream_says_what_happened_and_goes_on(
    app: FastAPI, http: httpx.AsyncClient
) -> None:
    study = await create(http)
    async with Call(app, "GET", f"/v1/studies/{study['id']}/events") as stream:
        status, headers = await stream.start()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        first = await stream.event()
        assert (first["event"], first["id"]) == ("study.state", "1")
        trial = await ask(http, study["id"])
        await tell(http, trial, 0.5)
        seen = [first]
        while seen[-1]["event"] != "study.best":
            seen.append(await stream.event())
    assert [int(event["id"]) for event in seen] == list(range(1, len(seen) + 1))
    states = [json.loads(e["data"])["data"]["state"] for e in seen if e["event"] == "trial.state"]
    assert states[-1] == "completed"
    assert all(json.loads(e["data"])["trial_id"] == trial["id"] for e in seen[1:])


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_stream_goes_on_after_the_last_event(
    app: FastAPI, http: httpx.AsyncClient, by_header: bool
) -> None:
    study = await create(http)
    await ask(http, study["id"])
    target = f"/v1/studies/{study['id']}/events"
    # What the browser sends when it comes back wins over the address that it came with.
    headers = {"Last-Event-ID": "1"} if by_header else {}
    query = "?after=0" if by_header else "?after=1"
    async with Call(app, "GET", target + query, headers) as stream:
        assert (await stream.event_after_start())["id"] == "2"


@pytest.mark.parametrize("cursor", ["999", "nonsense", "-1", "1.5", "9" * 30, "٣"])
async def test_a_cursor_that_is_not_known_is_reset(
    app: FastAPI, http: httpx.AsyncClient, cursor: str
) -> None:
    study = await create(http)
    headers = {"Last-Event-ID": cursor} if cursor.isascii() else {}
    query = "" if cursor.isascii() else "?after=%D9%A3"
    async with Call(app, "GET", f"/v1/studies/{study['id']}/events{query}", headers) as stream:
        reset = await stream.event_after_start()
        assert (reset["event"], reset["id"]) == ("reset", str(study["change_seq"]))
        assert json.loads(reset["data"])["change_seq"] == study["change_seq"]
        await http.post(f"/v1/studies/{study['id']}:pause")
        assert int((await stream.event())["id"]) == study["change_seq"] + 1


async def test_a_cursor_older_than_what_is_kept_is_reset(
    app: FastAPI, http: httpx.AsyncClient, services: Services
) -> None:
    study = await create(http)
    await ask(http, study["id"])
    start = (await http.get("/v1/events")).json()["next_after"]
    store, before = services.store, {"reports_before": services.store.now()}
    store.write(lambda tx: retention.purge_events(tx, study["id"], ended_before=tx.now, **before))
    purged = (await http.get(f"/v1/studies/{study['id']}")).json()["change_seq"]
    await http.post(f"/v1/studies/{study['id']}:pause")
    target = f"/v1/studies/{study['id']}/events"
    async with Call(app, "GET", f"{target}?after={purged - 1}") as stream:
        reset = await stream.event_after_start()
        assert (reset["event"], reset["id"]) == ("reset", str(purged + 1))
    for query in (f"?after={purged}", ""):
        async with Call(app, "GET", target + query) as stream:
            assert (await stream.event_after_start())["id"] == str(purged + 1)
    page = (await http.get("/v1/events", params={"after": start})).json()
    assert [event["seq"] for event in page["events"]] == [purged + 1]


async def test_a_cursor_of_the_feed_older_than_what_is_kept_is_reset(
    http: httpx.AsyncClient, services: Services
) -> None:
    start = (await http.get("/v1/events")).json()["next_after"]
    study = await create(http)
    trial = await ask(http, study["id"])
    report = {"lease_id": trial["lease_id"], "seq": 1, "points": [{"step": 1, "values": {}}]}
    made = await http.post(f"/v1/trials/{trial['id']}/measurements", json=report)
    assert made.status_code == 200, made.text
    now = services.store.now()
    services.store.write(
        lambda tx: retention.purge_events(tx, study["id"], reports_before=now, ended_before=now)
    )
    page = (await http.get("/v1/events", params={"after": start, "wait_s": 60})).json()
    assert (page["events"], page["reset"]) == ([], True)
    await http.post(f"/v1/studies/{study['id']}:pause")
    rest = (await http.get("/v1/events", params={"after": page["next_after"]})).json()
    assert [event["kind"] for event in rest["events"]] == ["study.state"]
    assert rest["reset"] is False


async def test_an_idle_stream_ticks(
    app: FastAPI, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "TICK_S", 0.01)
    study = await create(http)
    target = f"/v1/studies/{study['id']}/events?after={study['change_seq']}"
    async with Call(app, "GET", target) as stream:
        tick = await stream.event_after_start()
        assert (tick["event"], tick["id"]) == ("tick", str(study["change_seq"]))


async def test_a_stream_ends_when_the_service_stops(
    app: FastAPI, http: httpx.AsyncClient, services: Services
) -> None:
    study = await create(http)
    async with Call(app, "GET", f"/v1/studies/{study['id']}/events") as stream:
        await stream.event_after_start()
        services.drain()
        assert b"event:" not in await stream.read()


async def test_a_stream_ends_when_its_study_is_deleted(
    app: FastAPI, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    study = await create(http)
    target = f"/v1/studies/{study['id']}"
    async with Call(app, "GET", f"{target}/events") as stream:
        await stream.event_after_start()
        assert (await http.delete(target)).is_success
        assert b"event:" not in await stream.read()
    assert (await http.get(f"{target}/events")).status_code == 404
    assert not caplog.records


async def test_a_stream_ends_when_the_client_leaves(app: FastAPI, http: httpx.AsyncClient) -> None:
    study = await create(http)
    async with Call(app, "GET", f"/v1/studies/{study['id']}/events") as stream:
        await stream.event_after_start()
        stream.leave()
        await asyncio.wait_for(stream.task, 10)


async def test_streams_are_not_compressed(app: FastAPI, http: httpx.AsyncClient) -> None:
    study = await create(http)
    target = f"/v1/studies/{study['id']}/events"
    async with Call(app, "GET", target, {"accept-encoding": "gzip"}) as stream:
        _, headers = await stream.start()
    assert "content-encoding" not in headers


async def test_the_feed_has_the_events_of_all_studies(http: httpx.AsyncClient) -> None:
    start = (await http.get("/v1/events")).json()
    assert start["events"] == []
    one, two = await create(http, "one"), await create(http, "two")
    page = (await http.get("/v1/events", params={"after": start["next_after"]})).json()
    assert [event["study_id"] for event in page["events"]] == [one["id"], two["id"]]
    rest = (await http.get("/v1/events", params={"after": page["next_after"]})).json()
    assert rest == {"events": [], "next_after": page["next_after"], "reset": False}


async def test_the_feed_is_read_piece_by_piece(http: httpx.AsyncClient) -> None:
    after = (await http.get("/v1/events")).json()["next_after"]
    made = [(await create(http, f"study {n}"))["id"] for n in range(3)]
    seen = []
    for _ in made:
        page = (await http.get("/v1/events", params={"after": after, "limit": 1})).json()
        seen += [event["study_id"] for event in page["events"]]
        after = page["next_after"]
    assert seen == made


async def test_a_waiting_reader_of_the_feed_is_woken(http: httpx.AsyncClient) -> None:
    after = (await http.get("/v1/events")).json()["next_after"]
    waiting = asyncio.create_task(http.get("/v1/events", params={"after": after, "wait_s": 60}))
    study = await create(http)
    page = (await asyncio.wait_for(waiting, 10)).json()
    assert page["events"][0]["study_id"] == study["id"]


async def test_a_cursor_of_the_feed_that_is_none(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/events", params={"after": "nonsense"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")


async def test_what_early_stopping_decides_is_among_the_events(http: httpx.AsyncClient) -> None:
    """Every answer is held against the OpenAPI page, the kinds of events among the rest."""
    rule = {"name": "asha", "options": {"max_resource": 9, "eta": 3}}
    start = (await http.get("/v1/events")).json()["next_after"]
    study = await create(http, early_stopping=rule)
    for value in (3.0, 1.0, 2.0):
        trial = await ask(http, study["id"])
        point = {"step": 1, "values": {"value": value}, "elapsed_s": 0.1}
        body = {"lease_id": trial["lease_id"], "seq": 1, "points": [point]}
        answer = await http.post(f"/v1/trials/{trial['id']}/measurements", json=body)
        assert answer.status_code == 200, answer.text
    events = (await http.get("/v1/events", params={"after": start})).json()["events"]
    rungs = [event["data"]["step"] for event in events if event["kind"] == "trial.rung"]
    assert rungs == [1, 1, 1]
