"""The thread that asks for trials, against a link that the test plays."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from workers import claimer as claims
from workers.claimer import Claimer, Slots

from .helpers import LIMIT_S


class AtOnce:
    """A link whose service never lets a claim wait, as for a worker that it drains."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.was_asked = threading.Event()
        self.n_asked = 0

    def call(self, *_: Any, **__: Any) -> Any:
        self.n_asked += 1
        self.was_asked.set()
        return {"leases": [], "open_work": True}


class Brings:
    """A link that answers each claim with a lease."""

    def __init__(self) -> None:
        self.closing = threading.Event()
        self.asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def call(self, method: str, path: str, body: dict[str, Any], **_: Any) -> Any:
        self.asked.put(body)
        return {"leases": [{"lease_id": "ls_1"}], "open_work": True}


def test_nothing_is_asked_for_while_nothing_fits_and_at_once_when_a_trial_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "NO_ROOM_PAUSE_S", 3600.0)
    link: Any = Brings()
    slots = Slots(2)
    rooms: list[dict[str, Any] | None] = [{"max_leases": 1}, None, {"max_leases": 2}]
    looked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def room(n_free: int) -> dict[str, Any] | None:
        looked.put(n_free)
        return rooms.pop(0) if rooms else None

    claimer = Claimer(
        link,
        lambda *_, **__: None,  # type: ignore[arg-type]
        slots,
        wait_s=20.0,
        room=room,
        worker_id=lambda: "wk_1",
        on_leases=lambda *_: None,
        on_forgotten=lambda _: None,
        on_idle=lambda: None,
        on_refused=lambda _: None,
    )
    claimer.start()
    assert link.asked.get(timeout=LIMIT_S)["max_leases"] == 1
    assert [looked.get(timeout=LIMIT_S) for _ in range(2)] == [2, 1]
    assert link.asked.empty()
    slots.give_back(0)
    assert link.asked.get(timeout=LIMIT_S)["max_leases"] == 2
    claimer.stop()
    claimer._thread.join(LIMIT_S)
    assert not claimer.is_alive


def test_trials_are_asked_for_ahead_where_slots_are_free_but_none_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "NO_ROOM_PAUSE_S", 3600.0)
    link: Any = Brings()
    slots = Slots(2)
    brought: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
    claimer = Claimer(
        link,
        lambda *_, **__: None,  # type: ignore[arg-type]
        slots,
        wait_s=20.0,
        room=lambda _: None,
        worker_id=lambda: "wk_1",
        on_leases=lambda leases, is_ahead: brought.put((len(leases), is_ahead)),
        on_forgotten=lambda _: None,
        on_idle=lambda: None,
        on_refused=lambda _: None,
    )
    claimer.start()
    slots.want_ahead(2)
    assert brought.get(timeout=LIMIT_S) == (1, True)
    assert link.asked.get() == {"worker_id": "wk_1", "max_leases": 2, "ahead": True}
    claimer.stop()
    claimer.join()
    assert link.asked.empty()


def test_a_claim_names_the_free_slots_and_a_trial_takes_its_own() -> None:
    slots = Slots(3)
    assert slots.take() == 0
    assert slots.expected(is_ahead=False) == [1, 2]
    assert slots.take(2) == 2
    assert slots.take(2) == 1  # another trial took it meanwhile
    assert slots.take(1) is None


@pytest.mark.parametrize(("count", "known"), [(1, [0]), (2, [])])
def test_ahead_a_slot_is_known_where_there_is_one(count: int, known: list[int]) -> None:
    assert Slots(count).expected(is_ahead=True) == known


def test_a_drained_worker_asks_again_after_a_pause_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "DRAINED_PAUSE_S", 3600.0)
    link: Any = AtOnce()
    claimer = Claimer(
        link,
        lambda *_, **__: None,  # type: ignore[arg-type]
        Slots(1),
        wait_s=20.0,
        room=lambda n_free: {"max_leases": n_free},
        worker_id=lambda: "wk_1",
        on_leases=lambda *_: None,
        on_forgotten=lambda _: None,
        on_idle=lambda: None,
        on_refused=lambda _: None,
    )
    claimer.start()
    assert link.was_asked.wait(LIMIT_S)
    claimer.stop()
    claimer._thread.join(LIMIT_S)
    assert not claimer.is_alive
    assert link.n_asked == 1


def test_a_worker_on_a_full_device_does_not_take_itself_for_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A trial may wait for the memory: only a claim that could bring one says whether any does."""
    monkeypatch.setattr(claims, "NO_ROOM_PAUSE_S", 0.01)
    rooms: list[dict[str, Any] | None] = [None, None, None, {"max_leases": 1}]
    n_left_when_idle: queue.SimpleQueue[int] = queue.SimpleQueue()
    link: Any = AtOnce()
    link.call = lambda *_, **__: {"leases": [], "open_work": False}
    slots = Slots(1)

    def note_idle() -> None:
        n_left_when_idle.put(len(rooms))
        slots.close()

    claimer = Claimer(
        link,
        lambda *_, **__: None,  # type: ignore[arg-type]
        slots,
        wait_s=20.0,
        room=lambda _: rooms.pop(0),
        worker_id=lambda: "wk_1",
        on_leases=lambda *_: None,
        on_forgotten=lambda _: None,
        on_idle=note_idle,
        on_refused=lambda _: None,
    )
    claimer.start()
    assert n_left_when_idle.get(timeout=LIMIT_S) == 0
    claimer.join()
