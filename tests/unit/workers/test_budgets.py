"""Trials with a budget: they wait at its end for the service's word, and follow it."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from .fake_service import FakeService
from .helpers import (
    HERE,
    LIMIT_S,
    checkpoint_of,
    files_of,
    wait_for_text,
    watch,
    worker_process,
)
from .test_worker import _descendants, finish, worker


@pytest.fixture(autouse=True)
def _in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


def steps(service: FakeService) -> list[int]:
    """All reported steps, those of repeated reports once."""
    seen = {body["seq"]: body["points"] for body in service.reports()}
    return [point["step"] for points in seen.values() for point in points]


def only_end(service: FakeService) -> tuple[str, dict[str, Any]]:
    """The one write that ended the lease."""
    (end,) = service.ends()
    return end


@pytest.mark.parametrize("name", ["plain", "saves"])
def test_a_trial_that_is_told_to_pause_trains_no_step_beyond_and_is_given_back(
    service: FakeService, name: str
) -> None:
    service.verdicts["ls_1", 3] = ("pause", 3)
    service.add("ls_1", name, to_step=3)
    with worker(service, name):
        service.wait_for(service.ends)
    what, body = only_end(service)
    assert (what, body["reason"]) == ("release", "paused")
    assert steps(service) == [1, 2, 3]
    saved = {key: files_of(content) for key, content in service.contents.items()}
    assert saved == ({"ck_1": {"total": "6.0"}} if name == "saves" else {})


def test_the_checkpoint_of_a_pause_is_committed_before_the_release_and_named_in_it(
    service: FakeService,
) -> None:
    service.verdicts["ls_1", 3] = ("pause", 3)
    service.add("ls_1", "saves", to_step=3)
    with worker(service, "saves"):
        service.wait_for(service.ends)
    assert service.order[-3:] == ["checkpoints", "commit", "release"]
    assert only_end(service)[1]["checkpoint_id"] == "ck_1"


def test_a_promoted_trial_goes_on_from_its_checkpoint(service: FakeService) -> None:
    content = checkpoint_of("saves", {"total": "6.0"})
    service.add("ls_2", "saves", to_step=9, checkpoint=(3, content))
    with worker(service, "saves"):
        service.wait_for(service.ends)
    what, body = only_end(service)
    assert (what, body["state"], body["values"]) == ("complete", "completed", {"value": 45.0})
    assert steps(service) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("name", ["plain", "saves"])
def test_promoted_on_the_spot_it_goes_on_without_a_restart(service: FakeService, name: str) -> None:
    service.verdicts["ls_1", 1] = ("continue", 3)
    service.verdicts["ls_1", 3] = ("continue", None)
    service.add("ls_1", name, to_step=1)
    with worker(service, name):
        service.wait_for(service.ends)
    assert only_end(service)[0] == "complete"
    assert steps(service) == list(range(1, 10))
    assert service.contents == {}


def test_an_answer_that_grants_nothing_more_lets_the_training_come_to_its_end(
    service: FakeService,
) -> None:
    service.add("ls_1", "plain", to_step=9)
    with worker(service, "plain"):
        service.wait_for(service.ends)
    assert only_end(service)[1]["state"] == "completed"


def test_stopped_at_the_end_of_its_budget_it_completes_as_stopped_with_those_values(
    service: FakeService,
) -> None:
    service.verdicts["ls_1", 3] = ("stop", 3)
    service.add("ls_1", "plain", to_step=3)
    with worker(service, "plain"):
        service.wait_for(service.ends)
    what, body = only_end(service)
    assert (what, body["state"], body["step"]) == ("complete", "stopped", 3)
    assert body["values"] == {"value": 1.0 / 3}
    assert steps(service) == [1, 2, 3]


def test_a_pause_whose_answer_is_lost_is_heard_of_at_the_next_try(service: FakeService) -> None:
    service.verdicts["ls_1", 3] = ("pause", 3)
    service.lost.add("measurements")
    service.add("ls_1", "saves", to_step=3)
    with worker(service, "saves"):
        service.wait_for(service.ends)
    assert only_end(service)[1]["reason"] == "paused"
    assert steps(service) == [1, 2, 3]


def test_a_beat_tells_a_trial_that_waits_to_pause(service: FakeService, tmp_path: Path) -> None:
    service.refusals["measurements"] = (503, "storage-busy")
    service.add("ls_1", "saves", to_step=1)
    with worker(service, "saves"):
        wait_for_text(tmp_path / "state", '"report"')
        service.directives["ls_1"] = "pause"
        wait_for_text(tmp_path / "state", '"paused"')
        service.change(service.refusals.clear)
        service.wait_for(service.ends)
    assert steps(service) == [1]
    assert only_end(service)[1]["reason"] == "paused"


def test_a_beat_that_comes_late_does_not_pause_a_trial_that_was_promoted_since(
    service: FakeService, tmp_path: Path
) -> None:
    gate = tmp_path / "go"
    service.verdicts["ls_1", 3] = ("continue", 9)
    service.add("ls_1", "waits_for_file", options={"file": str(gate)}, to_step=3)
    with worker(service, "waits_for_file"):
        service.wait_for(lambda: 3 in steps(service))
        service.directives["ls_1"] = "pause"
        n_beats = len(service.beats)
        service.wait_for(lambda: len(service.beats) >= n_beats + 2)
        service.directives["ls_1"] = "continue"
        gate.touch()
        service.wait_for(service.ends)
    assert only_end(service)[1]["values"] == {"value": 4.0}


def test_a_pause_that_the_service_no_longer_allows_gives_the_trial_back_to_go_on(
    service: FakeService,
) -> None:
    service.verdicts["ls_1", 3] = ("pause", 3)
    service.may_pause = False
    service.add("ls_1", "saves", to_step=3)
    with worker(service, "saves"):
        service.wait_for(service.ends)
    what, body = only_end(service)
    assert (what, body["reason"], body["checkpoint_id"]) == ("release", "worker-ends", "ck_1")


def test_a_trial_whose_report_at_the_end_of_its_budget_is_refused_fails_instead_of_waiting(
    service: FakeService,
) -> None:
    service.refusals["measurements"] = (422, "invalid-value")
    service.add("ls_1", "saves", to_step=3)
    with worker(service, "saves"):
        service.wait_for(service.ends)
    what, body = only_end(service)
    assert (what, body["kind"]) == ("fail", "user_error")
    assert "refused the report of step 3" in body["message"]


def test_while_nobody_answers_the_trial_waits_and_its_report_is_told_afterwards(
    service: FakeService, tmp_path: Path
) -> None:
    service.verdicts["ls_1", 3] = ("continue", None)
    service.away.add("measurements")
    service.add("ls_1", "saves", to_step=3)
    with worker(service, "saves"):
        wait_for_text(tmp_path / "state", '"step": 3')
        tries = service.dropped + 2
        service.wait_for(lambda: service.dropped >= tries)
        service.away.clear()
        service.wait_for(service.ends)
    assert steps(service) == list(range(1, 10))
    assert only_end(service)[0] == "complete"


def test_a_worker_told_to_end_in_an_outage_saves_the_trial_that_waits(
    service: FakeService, tmp_path: Path
) -> None:
    service.add("ls_1", "saves", to_step=3)
    service.away.add("measurements")
    with worker_process(service.url, HERE, objectives=["user_code:saves"]) as process:
        wait_for_text(tmp_path / "state", '"step": 3')
        process.send_signal(signal.SIGTERM)
        wait_for_text(tmp_path / "state", '"release"')
        service.away.clear()
        assert process.wait(LIMIT_S) == 0
    assert only_end(service)[1]["reason"] == "worker-ends"
    assert files_of(service.contents["ck_1"]) == {"total": "6.0"}
    assert steps(service) == [1, 2, 3]


def test_a_report_of_a_worker_that_was_killed_at_the_end_of_the_budget_is_told_by_the_next(
    service: FakeService, tmp_path: Path
) -> None:
    service.add("ls_1", "saves", to_step=3)
    service.away.add("measurements")
    with worker_process(service.url, HERE, objectives=["user_code:saves"]) as first:
        wait_for_text(tmp_path / "state", '"step": 3')
        gone = [watch(pid) for pid in _descendants(first.pid)]
        first.kill()
        first.wait(LIMIT_S)
        assert all(each() for each in gone)
    service.away.clear()
    with worker(service, name="w") as statuses:
        service.wait_for(lambda: len(service.registrations) == 2)
        finish(service, statuses)
    assert steps(service) == [1, 2, 3]
    assert service.order.index("measurements") < service.order.index("register-2")
    assert list((tmp_path / "state").rglob("*.jsonl")) == []
