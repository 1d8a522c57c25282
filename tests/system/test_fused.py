"""Trials that are trained as one, by a real worker of a real service."""

from __future__ import annotations

import json
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
    def setup(self, trial):
        print("set up", trial.number)
        self.number, self.x = trial.number, trial.params["x"]
        if trial.params["x"] > 2:
            raise ValueError("too far")

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
        while pathlib.Path("hold").exists():
            time.sleep(0.01)
        return [{"value": each.x**2 / step} for each, step in zip(trainings, to_steps)]
"""
WORKER = ("--objective", "own:walk", "--objective", "walk", "--exit-when-idle")


def study(name: str, n_trials: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "objective": {"name": "walk"},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [
            {"name": "x", "type": "float", "low": -1, "high": 1},
            {"name": "kind", "type": "categorical", "choices": ["a"]},
        ],
        "suggester": {"name": "random", "seed": 3},
        "limits": {"max_trials": n_trials},
        **more,
    }


def calls(folder: Path) -> list[Mapping[str, Any]]:
    file = folder / "calls.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_trials_of_a_key_are_advanced_by_one_call_each_with_its_own_curve(
    service: Service, folder: Path
) -> None:
    (folder / "own.py").write_text(OBJECTIVE)
    made = service.call("POST", "/v1/studies", study("as-one", 6))
    with workers(service, folder, 1, "--objective", "own:walk", "--exit-when-idle", "--fuse", "4"):
        service.wait_ended(made["id"])
    trials = service.trials(made["id"])
    assert [trial["state"] for trial in trials] == ["completed"] * 6
    for trial in trials:
        assert trial["values"] == {"value": trial["params"]["x"] ** 2 / 9}
        assert trial["measurements"]["count"] == 9
    assert max(len(call["together"]) for call in calls(folder)) == 4
    assert len({call["pid"] for call in calls(folder)}) == 1
