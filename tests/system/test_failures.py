"""Failures of real workers: trials that are retried, studies that pause themselves, drained
workers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .running import Process, Service, function_study, tunewell, workers


def failing(name: str, *, policy: dict[str, Any], trials: int, **options: Any) -> dict[str, Any]:
    """A study of which trials fail as the options say."""
    return function_study(
        name,
        objective={"name": "function", "options": {"function": "sphere", **options}},
        limits={"max_trials": trials},
        failure_policy=policy,
    )


def test_trials_that_fail_wait_and_use_up_their_attempts(service: Service, folder: Path) -> None:
    policy = {"max_attempts": 2, "backoff_s": 0.5, "pause_after": 0, "max_failed": 3}
    study = service.call("POST", "/v1/studies", failing("f", policy=policy, trials=2, fail_rate=1))
    with workers(service, folder, 2, "--exit-when-idle"):
        ended = service.wait_ended(study["id"])
    assert (ended["state"], ended["stop_reason"]) == ("failed", "max_failed")
    failed = [t for t in service.trials(study["id"]) if t["state"] == "failed"]
    assert len(failed) == 3
    for trial in failed:
        assert (trial["n_attempts"], trial["losses"]) == (2, 0)
        assert [attempt["end"] for attempt in trial["attempts"]] == ["failed", "failed"]
        assert {attempt["slot"] for attempt in trial["attempts"]} == {0}
        assert trial["failure"]["kind"] == "user_error"


def test_an_oom_of_equal_workers_is_not_tried_again(service: Service, folder: Path) -> None:
    policy = {"max_failed": 2}
    study = service.call("POST", "/v1/studies", failing("m", policy=policy, trials=2, oom_rate=1))
    with workers(service, folder, 2, "--exit-when-idle"):
        ended = service.wait_ended(study["id"])
    assert ended["stop_reason"] == "max_failed"
    failed = [t for t in service.trials(study["id"]) if t["state"] == "failed"]
    assert [(t["failure"]["kind"], t["n_attempts"]) for t in failed] == [("oom", 1)] * 2


def test_run_ends_with_1_when_the_study_pauses_itself(service: Service, folder: Path) -> None:
    study = failing("broken", policy={}, trials=50, fail_rate=1)
    (folder / "broken.json").write_text(json.dumps(study))
    with workers(service, folder, 1):
        command = tunewell("study", "run", "broken.json", "--url", service.url)
        run = Process(command, folder)
        assert run.process.wait(timeout=150) == 1
        run.end()
    said = run.errors.read_text()
    assert "it has paused itself: the first 5 trials all failed with user_error" in said
    assert "failed, as the option fail_rate asks for" in said
    [shown] = service.call("GET", "/v1/studies?name_prefix=broken")["studies"]
    assert (shown["state"], shown["pause_reason"]) == ("paused", "failures")
    assert sum(shown["trial_counts"].values()) >= 5
    resumed = service.call("POST", f"/v1/studies/{shown['id']}:resume")
    assert (resumed["state"], resumed["pause_reason"]) == ("active", None)


def test_a_worker_keeps_the_time_limit_and_the_trial_times_out(
    service: Service, folder: Path
) -> None:
    study = failing("slow", policy={"max_failed": 1}, trials=1, steps=600, step_s=0.1)
    study["limits"]["max_trial_duration_s"] = 1.0
    made = service.call("POST", "/v1/studies", study)
    with workers(service, folder, 1, "--exit-when-idle"):
        service.wait_ended(made["id"])
    [trial] = service.trials(made["id"])
    assert (trial["state"], trial["failure"]["kind"]) == ("failed", "timeout")


KILLED = """
import os, signal
import tunewell

@tunewell.objective(name="killed", metrics={"value": "minimize"})
def killed(trial):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_whose_trials_are_killed_is_drained_until_a_person_takes_it_back(
    service: Service, folder: Path
) -> None:
    """As by the system for want of memory: not the fault of the objective's code."""
    (folder / "own_code.py").write_text(KILLED)
    study = failing("killed", policy={"max_attempts": 9, "backoff_s": 0}, trials=2)
    study["objective"] = {"name": "killed"}
    made = service.call("POST", "/v1/studies", study)
    with workers(service, folder, 1, "--objective", "own_code:killed"):

        def drained() -> Any:
            found = service.call("GET", "/v1/workers")["workers"]
            return next((worker for worker in found if worker["draining"]), None)

        worker = service.wait(drained)
        assert worker["drain_reason"].startswith("its last 3 trials failed on its infrastructure")
        assert "SIGKILL" in worker["drain_reason"]
        failures = [t["n_attempts"] for t in service.trials(made["id"])]
        assert sum(failures) == 3
        undone = service.call("PATCH", f"/v1/workers/{worker['id']}", {"draining": False})
        assert (undone["drain_reason"], undone["n_infrastructure_failures"]) == (None, 0)
        service.wait(drained)
    assert sum(t["n_attempts"] for t in service.trials(made["id"])) == 6
