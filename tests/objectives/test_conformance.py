"""What holds for every built-in objective."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from typing import Any

import pytest

from workers.objectives.offers import BUILT_IN

from .trials import Kept, trial

CASES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "mnist-mlp": ({"batch_size": 250}, {"epochs": 2, "dataset": "mnist-5k"}),
    "random-forest": ({"n_estimators": 21, "max_depth": 2}, {"folds": 2}),
    "function": ({"x0": 1.0, "x1": -2.0}, {"steps": 3, "noise_sd": 0.1}),
}


def evaluate(name: str, kept: Kept, number: int = 1) -> dict[str, float]:
    params, options = CASES[name]
    module = importlib.import_module(f"workers.objectives.{BUILT_IN[name].module}")
    values: dict[str, float] = module.evaluate(trial(params, options, number=number, kept=kept))
    return values


def test_every_objective_has_a_case() -> None:
    assert set(CASES) == set(BUILT_IN)


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_reports_growing_steps_and_returns_its_metrics(name: str) -> None:
    kept = Kept()
    values = evaluate(name, kept)
    steps = [step for step, _ in kept.reports]
    assert steps == sorted(set(steps))
    assert len(steps) >= 2
    assert set(BUILT_IN[name].offer["metrics"]) <= set(values)
    assert all(math.isfinite(value) for value in values.values())
    assert kept.reports[-1][1] == values


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_same_trial_gives_the_same_values(name: str) -> None:
    assert evaluate(name, Kept()) == evaluate(name, Kept())


@pytest.mark.parametrize("name", sorted(CASES))
def test_it_ends_soon_after_it_was_asked_to_stop(name: str) -> None:
    kept = Kept(stop_after=1)
    values = evaluate(name, kept)
    assert len(kept.reports) == 1
    assert kept.reports[0][1] == values
