"""Which points the built-in objectives say are equal work: they give the very same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workers.objectives import california, forest, mnist
from workers.objectives.offers import BUILT_IN

from .trials import Kept, trial

FOLDS = {"folds": 3}


@pytest.fixture
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (part[::60].copy() for part in california.load())
    monkeypatch.setattr(california, "load", lambda: (x, y))


def grow(store: Path | None, n_trees: int, max_depth: int) -> list[Any]:
    kept = Kept()
    params = {"n_estimators": n_trees, "max_depth": max_depth}
    forest.evaluate(trial(params, FOLDS, kept=kept, store_dir=store))
    return kept.reports


def depth_of(store: Path | None, n_trees: int, max_depth: int) -> int | None:
    """The canonical depth of a point."""
    params = {"n_estimators": n_trees, "max_depth": max_depth}
    point = forest.equivalent(trial(params, FOLDS, store_dir=store))
    assert point["n_estimators"] == n_trees
    found: int | None = point["max_depth"]
    return found


@pytest.mark.usefixtures("_few_rows")
def test_a_depth_that_no_tree_comes_to_is_no_limit_once_the_trees_are_grown(tmp_path: Path) -> None:
    assert depth_of(tmp_path, 12, 50) == 50  # not known yet
    curve = grow(tmp_path, 12, 50)
    assert depth_of(tmp_path, 12, 50) is None
    assert depth_of(tmp_path, 12, 60) is None
    assert grow(None, 12, 60) == curve  # without the store
    assert depth_of(tmp_path, 7, 60) is None
    assert depth_of(tmp_path, 13, 60) == 60  # one tree is not known
    assert depth_of(tmp_path, 12, 4) == 4
    assert grow(None, 12, 4) != curve
    assert depth_of(None, 12, 60) == 60  # nothing is


@pytest.mark.usefixtures("_few_rows")
def test_the_least_depth_without_a_limit_is_one_more_than_the_deepest_tree(tmp_path: Path) -> None:
    curve = grow(tmp_path, 5, 50)
    depths = [depth_of(tmp_path, 5, depth) for depth in range(1, 31)]
    first = depths.index(None)
    assert depths == [*range(1, first + 1), *[None] * (30 - first)]
    assert grow(None, 5, first + 1) == curve


@pytest.mark.usefixtures("_few_rows")
def test_trees_that_a_limit_has_cut_say_nothing_of_their_depth(tmp_path: Path) -> None:
    grow(tmp_path, 5, 4)
    assert depth_of(tmp_path, 5, 4) == 4
    assert depth_of(tmp_path, 5, 50) == 50


def point(params: dict[str, Any], number: int = 1, **options: Any) -> dict[str, Any] | None:
    return mnist.equivalent(trial(params, options, number=number))


def test_momentum_matters_only_with_batch_normalisation() -> None:
    simple, normed = ({"model": model, "momentum": 0.1} for model in ("simple", "batchnorm"))
    assert point(simple, seed=1) == point({**simple, "momentum": 0.9}, seed=1)
    assert point(normed, seed=1) != point({**normed, "momentum": 0.9}, seed=1)
    assert point(simple, seed=1) != point(normed, seed=1)


def test_a_default_that_is_spelled_out_is_the_same_point() -> None:
    spelled = {"model": "simple", "learning_rate": 0.001, "batch_size": 64, "momentum": 0.1}
    assert point({}, seed=1) == point(spelled, seed=1)
    assert point({}, seed=1) != point({"batch_size": 65}, seed=1)


def test_trials_are_equal_only_where_the_study_gives_their_seed() -> None:
    assert point({}, number=1) is None
    assert point({}, number=1, seed=7) == point({}, number=2, seed=7)
    assert point({}, seed=7) != point({}, seed=8)


def test_the_test_functions_are_for_load_and_claim_nothing() -> None:
    from workers.objectives import function

    assert BUILT_IN["function"].module == "function"
    assert not hasattr(function, "equivalent")
