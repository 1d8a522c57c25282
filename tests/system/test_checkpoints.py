"""Trials that go on where their last attempt saved: with real workers that are killed or told to
end.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.objectives.trials import Kept, trial
from workers.objectives import function

from .running import Process, Service, function_study, worker_command

OPTIONS = {"function": "sphere", "steps": 60, "noise_sd": 0.5}


@pytest.fixture
def service(saving_service: Service) -> Service:
    """A running service that keeps checkpoints."""
    return saving_service


def started(service: Service, folder: Path, name: str) -> Process:
    env = {"TUNEWELL_STATE_DIR": str(folder / f"state-{name}")}
    return Process(worker_command(service.url, name, "--exit-when-idle"), folder, env)


def study_of_one(service: Service, step_s: float) -> Any:
    objective = {"name": "function", "options": {**OPTIONS, "step_s": step_s}}
    raw = function_study("resumed", objective=objective, limits={"max_trials": 1})
    return service.call("POST", "/v1/studies", raw)


def only_trial(service: Service, study_id: str) -> Any:
    found = service.trials(study_id)
    return found[0] if found else None


def uninterrupted(params: dict[str, float]) -> tuple[dict[str, float], list[Any]]:
    """What one attempt alone comes to."""
    kept = Kept()
    return function.evaluate(trial(params, OPTIONS, kept=kept)), kept.reports


def check_resumed(service: Service, study_id: str, *, saved_step: int) -> None:
    """The trial ended once, with the values of an uninterrupted one; what came after the checkpoint
    was reported by the second attempt.
    """
    ended = only_trial(service, study_id)
    values, reports = uninterrupted(ended["params"])
    assert ended["state"] == "completed"
    assert ended["values"] == values
    first, second = [attempt["lease_id"] for attempt in ended["attempts"]]
    curve = service.call("GET", f"/v1/trials/{ended['id']}/measurements")["measurements"]
    of_second = [(m["step"], m["values"]) for m in curve if m["lease_id"] == second]
    assert of_second == reports[saved_step:]
    of_first = [(m["step"], m["values"]) for m in curve if m["lease_id"] == first]
    assert of_first == reports[: len(of_first)]
    assert len(of_first) >= saved_step


def saved_step_of(service: Service, study_id: str) -> int | None:
    found = only_trial(service, study_id)
    if found is None or found["checkpoint_id"] is None:
        return None
    return int(service.call("GET", f"/v1/checkpoints/{found['checkpoint_id']}")["step"])


def test_after_a_worker_was_killed_another_goes_on_from_the_checkpoint(
    service: Service, folder: Path
) -> None:
    study = study_of_one(service, step_s=0.3)
    worker = started(service, folder, "first")
    saved_step = service.wait(lambda: saved_step_of(service, study["id"]))
    worker.kill()
    worker.end()
    second = started(service, folder, "second")
    service.wait_ended(study["id"])
    second.end()
    check_resumed(service, study["id"], saved_step=saved_step)
    assert only_trial(service, study["id"])["losses"] == 1


def test_a_worker_that_is_told_to_end_gives_its_trial_back_from_where_it_is(
    service: Service, folder: Path
) -> None:
    study = study_of_one(service, step_s=0.5)
    worker = started(service, folder, "first")

    def has_begun() -> bool:
        found = only_trial(service, study["id"])
        return found is not None and found["measurements"]["count"] >= 3

    service.wait(has_begun)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(timeout=60) == 0
    worker.end()
    given_back = only_trial(service, study["id"])
    assert [attempt["end"] for attempt in given_back["attempts"]] == ["released"]
    saved_step = saved_step_of(service, study["id"])
    assert saved_step is not None
    second = started(service, folder, "second")
    service.wait_ended(study["id"])
    second.end()
    check_resumed(service, study["id"], saved_step=saved_step)
