"""Trials asked for while others run: which, how long they are held, and what becomes of them."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from workers import ahead
from workers.ahead import Ahead
from workers.devices import Device

from .fake_service import FakeService
from .helpers import HERE, LIMIT_S, worker_process
from .test_worker import worker

CPU = Device(index=0, kind="cpu")
GPU = Device(index=0, kind="gpu")


def lease(number: int) -> dict[str, Any]:
    return {"lease_id": f"ls_{number}"}


def after_a_short_trial(devices: list[Device], n_slots: int = 2) -> Ahead:
    made = Ahead(devices, n_slots)
    made.note_ended(ahead.SHORT_S, has_result=True)
    return made


def test_as_many_as_there_are_slots_are_held_and_taken_in_their_order() -> None:
    held = after_a_short_trial([CPU])
    assert held.room == 2
    for number in (1, 2):
        held.add(lease(number))
    assert held.room == 0
    assert [beat.lease_id for beat in held.beats()] == ["ls_1", "ls_2"]
    assert [held.take(bool) for _ in range(3)] == [lease(1), lease(2), None]


@pytest.mark.parametrize(
    ("took_s", "has_result"), [(ahead.SHORT_S * 1.01, True), (0.1, False), (None, True)]
)
def test_none_are_wanted_unless_the_last_trial_was_short_and_came_to_its_end(
    took_s: float | None, has_result: bool
) -> None:
    held = Ahead([CPU], 2)
    if took_s is not None:
        held.note_ended(0.1, has_result=True)
        held.note_ended(took_s, has_result=has_result)
    assert held.room == 0


def test_none_are_wanted_on_a_gpu() -> None:
    assert after_a_short_trial([CPU, GPU]).room == 0


def test_a_lost_lease_is_forgotten() -> None:
    held = after_a_short_trial([CPU])
    held.add(lease(1))
    held.add(lease(2))
    held.drop("ls_1")
    assert held.take(bool) == lease(2)


def test_one_that_fits_passes_those_that_do_not() -> None:
    held = after_a_short_trial([CPU])
    held.add(lease(1))
    held.add(lease(2))
    assert held.take(lambda granted: granted == lease(2)) == lease(2)
    assert held.take(lambda granted: False) is None
    assert held.take_late(everything=True) == [lease(1)]


def test_those_that_wait_too_long_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    held = after_a_short_trial([CPU])
    held.add(lease(1))
    assert held.take_late() == []
    monkeypatch.setattr(ahead, "PATIENCE_S", 0.0)
    held.add(lease(2))
    assert held.take_late() == [lease(1), lease(2)]
    assert held.take(bool) is None


def test_all_are_given_up_when_the_worker_ends() -> None:
    held = after_a_short_trial([CPU])
    held.add(lease(1))
    assert held.take_late(everything=True) == [lease(1)]


def is_asked_ahead(service: FakeService) -> bool:
    return any(claim.get("ahead") for claim in service.claims)


def held_while_one_runs(service: FakeService) -> None:
    """Has a worker run `ls_2`, which does not end by itself, and hold `ls_3` for its slot."""
    service.wait_for(lambda: service.ends())
    service.wait_for(lambda: is_asked_ahead(service) and not service.waiting)


def add_three(service: FakeService) -> None:
    service.add("ls_1", more_ahead=True)
    service.add("ls_2", options={"steps": 2, "step_s": 600.0}, more_ahead=True)
    service.add("ls_3", more_ahead=True)


def test_the_next_trial_begins_before_the_result_of_the_last_has_arrived(
    service: FakeService,
) -> None:
    for number in range(1, 4):
        service.add(
            f"ls_{number}", options={"step_s": 1.5 if number == 2 else 0.0}, more_ahead=True
        )
    with worker(service) as statuses:
        service.wait_for(lambda: len(service.ends()) == 1)
        service.wait_for(lambda: is_asked_ahead(service) and not service.waiting)
        service.change(lambda: service.away.add("complete"))
        # Whatever becomes of the second result, the third trial reports.
        service.wait_for(lambda: any(body["lease_id"] == "ls_3" for body in service.reports()))
        service.change(lambda: service.away.discard("complete"))
        service.wait_for(lambda: len(service.ends()) == 3)
        service.change(lambda: setattr(service, "open_work", False))
        assert statuses.get(timeout=LIMIT_S) == 0
    assert [what for what, _ in service.ends()] == ["complete"] * 3


def test_a_study_that_gives_none_ahead_is_not_asked(service: FakeService) -> None:
    for number in range(1, 4):
        service.add(f"ls_{number}")
    with worker(service):
        service.wait_for(lambda: len(service.ends()) == 3)
    assert not is_asked_ahead(service)


def test_one_that_waits_too_long_is_given_back(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "PATIENCE_S", 0.2)
    add_three(service)
    with worker(service):
        held_while_one_runs(service)
        service.wait_for(lambda: ("release", "ls_3") in _ends(service))
        service.change(lambda: service.directives.update(ls_2="abort"))


def test_one_for_which_there_is_no_room_waits_until_there_is(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "PATIENCE_S", 3600.0)
    service.add("ls_1", more_ahead=True)
    service.add("ls_2", options={"steps": 2, "step_s": 600.0}, more_ahead=True)
    service.add("ls_3", options={"step_s": 1.0}, more_ahead=True)
    service.add("ls_4", needs=2**60)  # the memory that all others leave
    with worker(service, slots=2):
        service.wait_for(lambda: is_asked_ahead(service) and not service.waiting)
        service.wait_for(lambda: len(service.ends()) == 2)
        n_claims = len(service.claims)
        service.wait_for(lambda: len(service.claims) > n_claims)  # for the slot of ls_3
        assert _reported(service) == {"ls_1", "ls_3"}
        service.change(lambda: service.directives.update(ls_2="abort"))
        service.wait_for(lambda: "ls_4" in _reported(service))
        service.wait_for(lambda: len(service.ends()) == 3)
    assert _ends(service) == [("complete", "ls_1"), ("complete", "ls_3"), ("complete", "ls_4")]


def test_one_for_which_there_is_no_room_is_given_back_in_time(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add("ls_1", more_ahead=True)
    service.add("ls_2", options={"steps": 2, "step_s": 600.0}, more_ahead=True)
    service.add("ls_3", options={"step_s": 1.0}, more_ahead=True)
    service.add("ls_4", needs=2**60)
    with worker(service, slots=2):
        service.wait_for(lambda: len(service.ends()) == 2)
        monkeypatch.setattr(ahead, "PATIENCE_S", 0.0)
        service.wait_for(lambda: ("release", "ls_4") in _ends(service))
        service.change(lambda: service.directives.update(ls_2="abort"))
    assert "ls_4" not in _reported(service)


def test_one_whose_lease_is_lost_does_not_begin(service: FakeService) -> None:
    add_three(service)
    with worker(service):
        held_while_one_runs(service)
        service.change(lambda: service.directives.update(ls_3="abort"))
        n_beats = len(service.beats)
        service.wait_for(lambda: len(service.beats) > n_beats + 1)
        service.change(lambda: service.directives.update(ls_2="abort"))
    assert not any(body["lease_id"] == "ls_3" for body in service.reports())


def test_it_beats_and_is_given_back_when_the_worker_is_told_to_end(service: FakeService) -> None:
    add_three(service)
    with worker_process(service.url, HERE) as process:
        held_while_one_runs(service)
        service.wait_for(
            lambda: any(
                {beat["lease_id"] for beat in body["leases"]} == {"ls_2", "ls_3"}
                for body in service.beats
            )
        )
        process.send_signal(signal.SIGTERM)
        service.wait_for(lambda: ("release", "ls_3") in _ends(service))
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0
    assert ("release", "ls_2") in _ends(service)


def _reported(service: FakeService) -> set[str]:
    return {body["lease_id"] for body in service.reports()}


def _ends(service: FakeService) -> list[tuple[str, str]]:
    """How each lease ended; a release has it in its path."""
    return [
        (what, body.get("lease_id") or body["path"].split("/")[3].split(":")[0])
        for what, body in service.ends()
    ]
