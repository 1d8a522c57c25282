"""Budgets and grids are exact with many worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .running import Service, function_study, workers


def ended_once(trial: Any) -> bool:
    """Whether exactly one attempt of a trial ended it."""
    return [a["end"] for a in trial["attempts"]].count("completed") == 1


def test_a_budget_of_40_is_40_trials_with_8_workers(service: Service, folder: Path) -> None:
    study = service.call("POST", "/v1/studies", function_study("budget", limits={"max_trials": 40}))
    with workers(service, folder, 8, "--exit-when-idle"):
        ended = service.wait_ended(study["id"])
    trials = service.trials(study["id"])
    assert ended["state"] == "completed"
    assert ended["stop_reason"] == "max_trials"
    assert sorted(t["number"] for t in trials) == list(range(1, 41))
    assert all(t["state"] == "completed" and ended_once(t) for t in trials)


def test_a_grid_of_24_points_runs_each_point_once_with_8_workers(
    service: Service, folder: Path
) -> None:
    definition = function_study("grid", suggester={"name": "grid", "seed": 1})
    definition["space"] = [
        {"name": "x0", "type": "int", "low": 1, "high": 6},
        {"name": "x1", "type": "int", "low": 1, "high": 4},
    ]
    study = service.call("POST", "/v1/studies", definition)
    with workers(service, folder, 8, "--exit-when-idle"):
        ended = service.wait_ended(study["id"])
    trials = service.trials(study["id"])
    assert ended["stop_reason"] == "space_exhausted"
    points = [(t["params"]["x0"], t["params"]["x1"]) for t in trials]
    assert sorted(points) == [(a, b) for a in range(1, 7) for b in range(1, 5)]
    assert all(t["state"] == "completed" and ended_once(t) for t in trials)
