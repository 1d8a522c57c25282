"""Trials that pause at rungs and are promoted: real workers that are killed, told to end, cut off
from the service, on both databases.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.helpers import wait_for_text

from .running import Process, Service, function_study, worker_command

RUNGS = (1, 3, 9)
ASHA = {"name": "asha", "options": {"min_resource": 1, "max_resource": 9, "eta": 3}}


@pytest.fixture
def service(saving_service: Service) -> Service:
    """A running service that keeps checkpoints."""
    return saving_service


def started(
    service: Service, folder: Path, name: str, *more: str, state: str | None = None
) -> Process:
    """A worker; with the state folder of another one if `state` names it."""
    env = {"TUNEWELL_STATE_DIR": str(folder / f"state-{state or name}")}
    return Process(worker_command(service.url, name, "--exit-when-idle", *more), folder, env)


def stepped_study(n_trials: int, step_s: float = 0.0, **more: Any) -> dict[str, Any]:
    """A study of curves of nine steps with noise, whose trials save and go on."""
    options = {"function": "sphere", "steps": 9, "noise_sd": 0.2, "step_s": step_s}
    return function_study(
        "stepped",
        objective={"name": "function", "options": options},
        early_stopping=ASHA,
        limits={"max_trials": n_trials},
        **more,
    )


def curve(service: Service, trial: Any) -> list[tuple[str, int, float]]:
    """Lease, step and value of all reports of a trial."""
    found = service.call("GET", f"/v1/trials/{trial['id']}/measurements")["measurements"]
    metric = next(iter(found[0]["values"]))
    return [(each["lease_id"], each["step"], each["values"][metric]) for each in found]


def check_rungs(service: Service, study_id: str) -> None:
    """What holds of every study by promotion, whatever befell its workers: each rung's value is the
    first that was reported there, a trial goes beyond a rung only if it was promoted, and ends
    where it was last granted to go; what was trained is what the study says.
    """
    study, trials = service.study(study_id), service.trials(study_id)
    for trial in trials:
        points = curve(service, trial)
        first: dict[int, float] = {}
        for _, step, value in points:
            first.setdefault(step, value)
        reached = [(rung, first[rung]) for rung in RUNGS if rung in first]
        assert [(each["step"], each["value"]) for each in trial["rungs"]] == reached
        assert max(first) in RUNGS
        assert trial["to_step"] is None or max(first) <= trial["to_step"]
        assert trial["state"] == ("completed" if max(first) == RUNGS[-1] else "stopped")
    assert study["resource_used"] == sum(_trained(curve(service, trial)) for trial in trials)
    assert study["resource_granted"] == 0


def _trained(points: list[tuple[str, int, float]]) -> int:
    """Steps trained: every report of these objectives is one."""
    return len(points)


def test_only_the_best_of_each_rung_are_trained_on_from_where_they_paused(
    service: Service, folder: Path
) -> None:
    study = service.call("POST", "/v1/studies", stepped_study(9))
    worker = started(service, folder, "one")
    ended = service.wait_ended(study["id"])
    worker.end()
    assert (ended["state"], ended["stop_reason"]) == ("completed", "max_trials")
    check_rungs(service, study["id"])
    trials = service.trials(study["id"])
    # Nothing was lost, so no step was trained twice.
    for trial in trials:
        steps = [step for _, step, _ in curve(service, trial)]
        assert steps == list(range(1, len(steps) + 1))
    at_first = sorted(trial["rungs"][0]["value"] for trial in trials)
    promoted = [trial for trial in trials if len(trial["rungs"]) > 1]
    assert 3 <= len(promoted) < 9
    assert all(value in {t["rungs"][0]["value"] for t in promoted} for value in at_first[:3])
    assert ended["resource_used"] + ended["resource_saved"] == 81


def only_trial(service: Service, study_id: str) -> Any:
    found = service.trials(study_id)
    return found[0] if found else None


def test_after_a_worker_is_killed_at_a_rung_another_goes_on_from_its_checkpoint(
    service: Service, folder: Path
) -> None:
    study = service.call("POST", "/v1/studies", stepped_study(1, step_s=1.0))
    first = started(service, folder, "first")
    # Paused, promoted (it is the only one), or already handed out again: all follow each other.
    service.wait(lambda: (t := only_trial(service, study["id"])) and t["checkpoint_id"])
    first.kill()
    first.end()
    second = started(service, folder, "second")
    service.wait_ended(study["id"])
    second.end()
    check_rungs(service, study["id"])
    trial = only_trial(service, study["id"])
    points = curve(service, trial)
    assert [step for _, step, _ in points] == list(range(1, 10))
    workers = {each["lease_id"]: each["worker_id"] for each in trial["attempts"]}
    assert workers[points[0][0]] != workers[points[1][0]]


def waiting_at_a_rung(service: Service, folder: Path) -> tuple[Process, Any]:
    """A worker whose trial has trained its budget, and a service that is gone."""
    study = service.call("POST", "/v1/studies", stepped_study(1, step_s=0.6))
    worker = started(service, folder, "first")
    worker.line("trial_started")  # by then it has heard of its trial
    service.kill()
    wait_for_text(folder, '"report"')
    worker.line("heartbeat_unanswered")
    return worker, study


def test_a_trial_waits_at_its_rung_for_the_service_and_is_promoted_when_that_is_back(
    service: Service, folder: Path
) -> None:
    worker, study = waiting_at_a_rung(service, folder)
    service.start()
    service.wait_ended(study["id"])
    worker.end()
    check_rungs(service, study["id"])
    points = curve(service, only_trial(service, study["id"]))
    assert [step for _, step, _ in points] == list(range(1, 10))


@pytest.mark.one_database
def test_a_worker_told_to_end_at_a_rung_in_an_outage_leaves_a_trial_that_goes_on(
    service: Service, folder: Path
) -> None:
    first, study = waiting_at_a_rung(service, folder)
    first.process.send_signal(signal.SIGTERM)
    wait_for_text(folder, '"release"')
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(timeout=120) == 0
    first.end()
    service.start()
    second = started(service, folder, "second", state="first")
    second.line("spool_replayed")
    service.wait_ended(study["id"])
    second.end()
    check_rungs(service, study["id"])
    assert only_trial(service, study["id"])["losses"] <= 1


def mnist_study() -> dict[str, Any]:
    """Nine networks on the small data, three epochs at most in thirds."""
    return {
        "name": "mnist-asha",
        "objective": {
            "name": "mnist-mlp",
            "options": {"epochs": 3, "steps_per_epoch": 3, "dataset": "mnist-5k"},
        },
        "metrics": [{"name": "accuracy", "direction": "maximize"}],
        "space": [
            {"name": "learning_rate", "type": "float", "low": 1e-5, "high": 1.0, "log": True},
            {"name": "batch_size", "type": "int", "low": 32, "high": 256, "log": True},
        ],
        "suggester": {"name": "random", "seed": 3},
        "early_stopping": ASHA,
        "limits": {"max_trials": 9},
    }


@pytest.mark.one_database
def test_networks_are_trained_by_asha_with_two_slots(service: Service, folder: Path) -> None:
    study = service.call("POST", "/v1/studies", mnist_study())
    env = {"TUNEWELL_STATE_DIR": str(folder / "state")}
    command = worker_command(service.url, "mlp", "--exit-when-idle", slots=2)
    worker = Process(command, folder, env)
    ended = service.wait_ended(study["id"])
    worker.end()
    check_rungs(service, study["id"])
    assert ended["resource_used"] < 81 * 0.6
    finished = [t for t in service.trials(study["id"]) if t["state"] == "completed"]
    assert ended["best"]["values"]["accuracy"] == max(t["values"]["accuracy"] for t in finished)
    assert ended["best"]["values"]["accuracy"] > 0.8
