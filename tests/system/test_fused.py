"""Trials that are trained as one, by a real worker of a real service."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .running import Service, workers

pytestmark = pytest.mark.one_database

OBJECTIVE = """
import json, os, pathlib, time

import tunewell


def noted(**what):
    with open("calls.jsonl", "a") as file:
        file.write(json.dumps({"pid": os.getpid(), **what}) + "\\n")


@tunewell.objective(
    name="walk",
    metrics={"value": "minimize"},
    max_resource=9,
    pack_key=lambda params, options: params["kind"],
    cost=lambda params, steps: 0.001 * steps,
)
class Walk:
    n_set_up = 0

    def setup(self, trial):
        print("set up", trial.number)
        self.number, self.x = trial.number, trial.params["x"]
        if trial.params["x"] > 2:
            raise ValueError("too far")
        type(self).n_set_up += 1
        while self.n_set_up < 4 and pathlib.Path("hold").exists():
            time.sleep(0.01)  # so that none is trained before four are there

    def advance(self, to_step):
        noted(alone=self.number, step=to_step)
        return {"value": self.x**2 / to_step}

    def save(self, folder):
        (folder / "x").write_text(str(self.x))

    def load(self, folder):
        self.x = float((folder / "x").read_text())

    @classmethod
    def advance_many(cls, trainings, to_steps):
        noted(together=[each.number for each in trainings], steps=list(to_steps))
        while len(trainings) == 4 and pathlib.Path("hold").exists():
            time.sleep(0.01)
        if pathlib.Path("slow").exists():
            time.sleep(0.5)
        return [{"value": each.x**2 / step} for each, step in zip(trainings, to_steps)]
"""
WORKER = ("--objective", "own:Walk", "--exit-when-idle", "--fuse", "4")


def study(name: str, n_trials: int, *, high: float = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "objective": {"name": "walk"},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [
            {"name": "x", "type": "float", "low": -1, "high": high},
            {"name": "kind", "type": "categorical", "choices": ["a"]},
        ],
        "suggester": {"name": "random", "seed": 3},
        "limits": {"max_trials": n_trials},
        **more,
    }


def calls(folder: Path) -> list[Mapping[str, Any]]:
    file = folder / "calls.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def together(folder: Path) -> list[list[int]]:
    """The trials' numbers in each call for several."""
    return [call["together"] for call in calls(folder) if "together" in call]


def held(folder: Path) -> list[int] | None:
    """The trials in the call that is held up, once one for four is."""
    found = together(folder)
    return found[-1] if found and len(found[-1]) == 4 else None


def test_trials_of_a_key_are_advanced_by_one_call_and_each_has_its_own_end(
    service: Service, folder: Path
) -> None:
    (folder / "own.py").write_text(OBJECTIVE)
    points = [{"x": x, "kind": "a"} for x in (0.5, 3.0, -1.0)]
    made = service.call(
        "POST", "/v1/studies", study("as-one", 6, high=4, failure_policy={"max_attempts": 1})
    )
    service.call(
        "POST", f"/v1/studies/{made['id']}/trials", {"trials": [{"params": p} for p in points]}
    )
    with workers(service, folder, 1, *WORKER):
        service.wait_ended(made["id"])
    trials = service.trials(made["id"])
    for trial in trials:
        x = trial["params"]["x"]
        logs = service.call("GET", f"/v1/trials/{trial['id']}/logs")["parts"]
        assert f"set up {trial['number']}\n" in "".join(part["text"] for part in logs)
        if x > 2:
            assert trial["failure"]["message"] == "ValueError: too far"
            continue
        assert (trial["state"], trial["values"]) == ("completed", {"value": x**2 / 9})
        assert trial["measurements"]["count"] == 9
    assert [trial["state"] for trial in trials[:3]] == ["completed", "failed", "completed"]
    assert {1, 3} <= set(max(together(folder), key=len))


def test_a_lane_that_is_stopped_frees_its_place_and_touches_no_other(
    service: Service, folder: Path
) -> None:
    (folder / "own.py").write_text(OBJECTIVE)
    (folder / "hold").touch()
    made = service.call("POST", "/v1/studies", study("refilled", 6))
    with workers(service, folder, 1, *WORKER):
        first = service.wait(lambda: held(folder))
        assert first == [1, 2, 3, 4]
        cancelled = service.trials(made["id"])[1]
        service.call("POST", f"/v1/trials/{cancelled['id']}:cancel")
        (folder / "hold").unlink()
        service.wait_ended(made["id"])
    trials = service.trials(made["id"])
    ends = [trial["state"] for trial in trials if trial["id"] != cancelled["id"]]
    assert (ends, trials[1]["state"]) == (["completed"] * 6, "cancelled")
    assert len({call["pid"] for call in calls(folder)}) == 1
    for trial in trials:
        assert len(trial["attempts"]) == 1


def test_a_group_that_is_killed_costs_each_of_its_trials_a_loss_and_all_run_again(
    service: Service, folder: Path
) -> None:
    (folder / "own.py").write_text(OBJECTIVE)
    (folder / "hold").touch()
    made = service.call("POST", "/v1/studies", study("killed", 4))
    with workers(service, folder, 1, *WORKER) as (worker,):
        service.wait(lambda: held(folder))
        (folder / "hold").unlink()
        os.kill(calls(folder)[-1]["pid"], signal.SIGKILL)
        worker.line("group_lost")
        service.wait_ended(made["id"])
    trials = service.trials(made["id"])
    assert [trial["state"] for trial in trials] == ["completed"] * 4
    for trial in trials:
        assert (trial["losses"], len(trial["attempts"])) == (1, 2)
        assert trial["measurements"]["count"] >= 9
        alone = [call["step"] for call in calls(folder) if call.get("alone") == trial["number"]]
        assert alone == list(range(1, 10))


def test_a_worker_that_ends_gives_each_lane_back_with_its_checkpoint(
    saving_service: Service, folder: Path
) -> None:
    service = saving_service
    (folder / "own.py").write_text(OBJECTIVE)
    (folder / "hold").touch()
    (folder / "slow").touch()
    made = service.call("POST", "/v1/studies", study("drained", 4))
    with workers(service, folder, 1, *WORKER) as (worker,):
        service.wait(lambda: held(folder))
        worker.process.send_signal(signal.SIGTERM)
        worker.line("worker_draining")
        (folder / "hold").unlink()
        assert worker.process.wait(timeout=30) == 0
    (folder / "slow").unlink()
    n_calls = len(calls(folder))
    with workers(service, folder, 1, *WORKER, prefix="next"):
        service.wait_ended(made["id"])
    trials = service.trials(made["id"])
    assert [trial["state"] for trial in trials] == ["completed"] * 4
    for trial in trials:
        first, second = trial["attempts"]
        assert (first["end"], trial["losses"]) == ("released", 1)
        assert second["from_step"] >= 1
    assert min(min(call["steps"]) for call in calls(folder)[n_calls:]) > 1
