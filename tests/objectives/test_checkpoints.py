"""An objective that goes on from a checkpoint comes to the very values of one that was never
interrupted, and reports only the steps that are still missing.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from workers.objectives.offers import BUILT_IN

from .trials import Kept, trial

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("mnist-mlp", {"model": "simple", "batch_size": 128}, {"epochs": 3}),
    ("mnist-mlp", {"model": "simple", "batch_size": 128}, {"epochs": 2, "steps_per_epoch": 3}),
    (
        "mnist-mlp",
        {"model": "batchnorm", "batch_size": 96, "momentum": 0.3},
        {"epochs": 2, "steps_per_epoch": 3, "validation": True},
    ),
    ("random-forest", {"n_estimators": 50, "max_depth": 6}, {"folds": 2}),
    ("function", {"x0": 0.3, "x1": 0.7}, {"steps": 6, "noise_sd": 0.5}),
]


def evaluate(name: str, *args: Any, **more: Any) -> dict[str, float]:
    module = importlib.import_module(f"workers.objectives.{BUILT_IN[name].module}")
    values: dict[str, float] = module.evaluate(trial(*args, **more))
    return values


def kept_in(folder: Path, content: bytes) -> Path:
    """A folder as a worker unpacks a checkpoint."""
    folder.mkdir()
    (folder / "state").write_bytes(content)
    return folder


@pytest.mark.parametrize(("name", "params", "options"), CASES)
def test_a_resumed_trial_ends_with_the_same_bits(
    name: str, params: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    if name == "mnist-mlp":
        options = {**options, "dataset": "mnist-5k"}
    whole = Kept(checkpoints=True)
    values = evaluate(name, params, options, kept=whole)
    assert len(whole.checkpoints) == len(whole.reports) >= 3
    for step, content in whole.checkpoints:
        folder = kept_in(tmp_path / str(step), content)
        rest = Kept()
        again = evaluate(name, params, options, kept=rest, checkpoint_dir=folder, last_step=step)
        assert again == values
        assert rest.reports == [each for each in whole.reports if each[0] > step]


PAUSED_AT = {"mnist-mlp": 2, "random-forest": 7, "function": 2}
"""Where the trials of the next test pause: the forest at a number of trees that is no rung of its
own.
"""


@pytest.mark.parametrize(("name", "params", "options"), CASES)
def test_a_trial_that_pauses_at_a_rung_and_is_promoted_ends_with_the_same_bits(
    name: str, params: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    if name == "mnist-mlp":
        options = {**options, "dataset": "mnist-5k"}
    whole, first, second = Kept(), Kept(checkpoints=True), Kept()
    rung = PAUSED_AT[name]
    values = evaluate(name, params, options, kept=whole)
    first.pause_at = first.to_step = rung
    evaluate(name, params, options, kept=first)
    step, content = first.checkpoints[-1]
    folder = kept_in(tmp_path / "second", content)
    again = evaluate(name, params, options, kept=second, checkpoint_dir=folder, last_step=step)
    assert step == rung == first.reports[-1][0]
    assert again == values
    assert second.reports == [each for each in whole.reports if each[0] > rung]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_objective_offers_checkpoints(name: str) -> None:
    assert BUILT_IN[name].offer["checkpoints"] is True


def test_an_objective_that_nobody_asks_saves_nothing() -> None:
    kept = Kept()
    evaluate("function", {"x0": 0.0}, {"steps": 3}, kept=kept)
    assert kept.checkpoints == []
