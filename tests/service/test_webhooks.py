"""Webhooks: written with the change, delivered at least once, to nobody who is not listed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import queue
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.study import StudyState
from app.errors import InvalidInput
from app.service.courier import HELD_S
from app.service.services import Services
from app.service.studies import PURGE_AFTER
from app.settings import Settings
from app.store import deliveries, retention, studies
from app.store.engine import Store
from tests.receiver import SECRET, Received, Receiver, receiving

from .conftest import Bench, definition

pytestmark = pytest.mark.anyio


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def settings(store: Store) -> Settings:
    return Settings(
        database_url=store.url,
        sweep_s=3600,
        webhook_hosts=("127.0.0.1", "localhost"),
        webhook_secret=SECRET,
    )


def told_study(receiver: Receiver, name: str = "told", **more: Any) -> dict[str, Any]:
    return definition(name, webhook={"url": receiver.url}, limits={"max_trials": 1}, **more)


async def ended(bench: Bench, receiver: Receiver, name: str = "told") -> str:
    """A study that has ended by its budget."""
    study_id = bench.study(told_study(receiver, name))
    [grant] = await bench.suggest(study_id)
    bench.complete(grant, 0.25)
    return study_id


def shown(services: Services, study_id: str) -> Any:
    """The study's one delivery."""
    [found] = services.studies.get(study_id).deliveries
    return found


def assert_signed(received: Received) -> None:
    signed = f"{received.headers['tunewell-timestamp']}.{received.body}".encode()
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert received.headers["tunewell-signature"] == f"v1={digest}"


async def test_an_end_is_told_once_and_signed(
    services: Services, bench: Bench, receiver: Receiver
) -> None:
    study_id = await ended(bench, receiver)
    assert shown(services, study_id).state == "pending"
    await services.courier.deliver_due()
    received = receiver.next()
    assert_signed(received)
    message = received.message
    assert received.path == "/hook?a=b"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["tunewell-event-id"] == message["event_id"]
    assert (message["type"], message["study_id"]) == ("study.ended", study_id)
    assert (message["state"], message["stop_reason"]) == ("completed", "max_trials")
    assert (message["best"]["number"], message["best"]["value"]) == (1, 0.25)
    assert message["trial_counts"] == {"completed": 1}
    await services.courier.deliver_due()
    with pytest.raises(queue.Empty):
        receiver.received.get_nowait()
    found = shown(services, study_id)
    assert (found.state, found.attempts) == ("delivered", 1)
    events = await services.events.wait_study(study_id, 0, 0, 100)
    assert events[-1].kind == "study.webhook"
    assert events[-1].data == {
        "event_id": message["event_id"], "state": "delivered", "attempts": 1,
    }  # fmt: skip


async def test_the_loop_delivers_by_itself_as_soon_as_a_study_ends(
    services: Services, bench: Bench, receiver: Receiver
) -> None:
    await services.start()
    study_id = await ended(bench, receiver)
    received = await asyncio.to_thread(receiver.next)
    assert received.message["study_id"] == study_id


async def test_a_failure_is_tried_again_later_with_the_same_event(
    services: Services, store: Store, bench: Bench, receiver: Receiver
) -> None:
    for status in (500, 503):
        receiver.answers.put(status)
    study_id = await ended(bench, receiver)
    await services.courier.deliver_due()
    first = receiver.next()
    found = shown(services, study_id)
    assert (found.state, found.attempts, found.last_error) == ("pending", 1, "answered 500")
    assert await services.courier.deliver_due() > 5  # it is not due yet
    assert receiver.received.empty()
    waits = []
    for n in (2, 3):
        found = shown(services, study_id)
        waits.append((found.next_at - store.now()).total_seconds())
        store.clock.offset_s += waits[-1] + 0.1
        await services.courier.deliver_due()
        again = receiver.next()
        assert_signed(again)
        assert again.body == first.body
        assert shown(services, study_id).attempts == n
    assert 8 < waits[0] <= 10
    assert 18 < waits[1] <= 20
    assert shown(services, study_id).state == "delivered"


async def test_it_is_given_up_after_a_day(
    services: Services, store: Store, bench: Bench, receiver: Receiver
) -> None:
    study_id = await ended(bench, receiver)
    attempts = 0
    while shown(services, study_id).state == "pending":
        receiver.answers.put(500)
        await services.courier.deliver_due()
        attempts += 1
        found = shown(services, study_id)
        if found.next_at is not None:
            store.clock.offset_s += (found.next_at - store.now()).total_seconds() + 0.001
    found = shown(services, study_id)
    assert (found.state, found.last_error) == ("failed", "answered 500")
    assert 25 < attempts < 40
    assert 22 * 3600 < store.clock.offset_s < 24 * 3600
    events = await services.events.wait_study(study_id, 0, 0, 100)
    assert (events[-1].kind, events[-1].data["state"]) == ("study.webhook", "failed")


async def test_two_replicas_never_send_it_at_once(
    services: Services, store: Store, settings: Settings, bench: Bench, receiver: Receiver
) -> None:
    other = Services(store, settings)
    try:
        for n in range(5):
            await ended(bench, receiver, f"s{n}")
        await asyncio.gather(services.courier.deliver_due(), other.courier.deliver_due())
        received = [receiver.next().message["event_id"] for _ in range(5)]
        assert len(set(received)) == 5
        assert receiver.received.empty()
    finally:
        await other.stop()


async def test_one_whose_sender_died_is_sent_by_another(
    services: Services, store: Store, bench: Bench, receiver: Receiver
) -> None:
    receiver.hold.clear()
    study_id = await ended(bench, receiver)
    dying = asyncio.create_task(services.courier.deliver_due())
    first = await asyncio.to_thread(receiver.next)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    receiver.hold.set()
    await services.courier.deliver_due()
    assert receiver.received.empty()  # the dead one still has it
    store.clock.offset_s += HELD_S + 0.1
    await services.courier.deliver_due()
    assert receiver.next().body == first.body
    assert shown(services, study_id).state == "delivered"


async def test_a_pause_of_its_own_is_told_one_by_a_person_is_not(
    services: Services, bench: Bench, receiver: Receiver
) -> None:
    policy = {"max_attempts": 1, "pause_after": 2}
    study_id = bench.study(told_study(receiver, failure_policy=policy))
    services.studies.pause(study_id)
    services.studies.resume(study_id)
    for _ in range(2):
        [grant] = await bench.suggest(study_id)
        bench.fail(grant, "user_error")
    await services.courier.deliver_due()
    message = receiver.next().message
    assert (message["type"], message["state"]) == ("study.paused", "paused")
    assert message["pause_reason"] == "failures"
    assert message["pause_detail"] == services.studies.get(study_id).study.pause_detail
    assert message["trial_counts"] == {"failed": 2}
    assert receiver.received.empty()


async def test_a_change_that_is_not_committed_is_not_told(
    services: Services, store: Store, bench: Bench, receiver: Receiver
) -> None:
    study_id = bench.study(told_study(receiver))

    class Undone(Exception):
        pass

    def end_and_fail(tx: Any) -> None:
        study = studies.lock(tx, study_id)
        study.move(StudyState.CANCELLED)
        tx.flush()
        raise Undone

    with pytest.raises(Undone):
        store.write(end_and_fail)
    assert services.studies.get(study_id).deliveries == ()
    services.studies.cancel(study_id)
    assert shown(services, study_id).state == "pending"


async def test_a_redirect_is_not_followed(
    services: Services, bench: Bench, receiver: Receiver
) -> None:
    receiver.answers.put(307)
    study_id = await ended(bench, receiver)
    await services.courier.deliver_due()
    assert receiver.next().path == "/hook?a=b"
    assert receiver.received.empty()
    assert "redirects are not followed" in shown(services, study_id).last_error


async def test_a_host_that_is_not_listed_is_refused_at_once(services: Services) -> None:
    raw = definition(webhook={"url": "https://elsewhere.example/hook"})
    changes = {"webhook": {"url": "https://elsewhere.example/hook"}}
    for call in (
        lambda: services.studies.create(raw),
        lambda: services.studies.check(raw),
        lambda: services.studies.put_by_name("study", raw),
        lambda: services.studies.patch("st_any", changes, revision=1),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        [fault] = caught.value.faults
        assert (fault.pointer, fault.code) == ("/webhook/url", "webhook-host-not-listed")
    assert services.studies.page(studies.StudyFilter(), 10, None).items == ()


async def test_a_listed_name_that_leads_into_the_network_is_not_told(
    services: Services, bench: Bench, receiver: Receiver
) -> None:
    """`localhost` is listed here by its name only; what it resolves to is not public."""
    raw = told_study(receiver)
    raw["webhook"]["url"] = f"https://localhost:{receiver.port}/hook"
    study_id = bench.study(raw)
    [grant] = await bench.suggest(study_id)
    bench.complete(grant, 1.0)
    await services.courier.deliver_due()
    assert receiver.received.empty()
    assert "private address" in shown(services, study_id).last_error


async def test_a_host_that_is_listed_no_more_is_not_told(
    services: Services, store: Store, bench: Bench, receiver: Receiver
) -> None:
    study_id = await ended(bench, receiver)
    stricter = Services(store, Settings(database_url=store.url, sweep_s=3600))
    try:
        await stricter.courier.deliver_due()
    finally:
        await stricter.stop()
    assert receiver.received.empty()
    assert "do not list" in shown(services, study_id).last_error


async def test_a_receiver_that_is_not_there_is_an_attempt(
    services: Services, bench: Bench, receiver: Receiver
) -> None:
    raw = told_study(receiver)
    raw["webhook"]["url"] = "http://127.0.0.1:1/hook"
    study_id = bench.study(raw)
    services.studies.cancel(study_id)
    await services.courier.deliver_due()
    found = shown(services, study_id)
    assert (found.state, found.attempts) == ("pending", 1)
    assert "ConnectError" in found.last_error


async def test_the_webhook_is_not_compared_by_name_and_can_be_changed(
    services: Services, receiver: Receiver
) -> None:
    view, _ = services.studies.put_by_name("told", told_study(receiver))
    same, created = services.studies.put_by_name("told", {**told_study(receiver), "webhook": None})
    assert (same.study.id, created) == (view.study.id, False)
    assert same.study.definition.webhook is not None
    changed = services.studies.patch(view.study.id, {"webhook": None}, revision=1)
    assert changed.study.definition.webhook is None
    services.studies.cancel(view.study.id)
    assert services.store.read(lambda conn: deliveries.of_study(conn, view.study.id, 10)) == []


async def test_deliveries_are_purged_with_their_study(
    services: Services, store: Store, bench: Bench, receiver: Receiver
) -> None:
    study_id = await ended(bench, receiver)
    services.studies.delete(study_id)
    store.clock.offset_s += PURGE_AFTER.total_seconds() + 1
    while store.write(lambda tx: retention.purge_study(tx, study_id)):
        pass
    assert store.read(lambda conn: deliveries.of_study(conn, study_id, 10)) == []
