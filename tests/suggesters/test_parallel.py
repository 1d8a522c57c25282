"""Many workers at once: no two of them get the same work, whatever order results come in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from app.domain.space import Params, Space
from app.suggest.base import FinishedTrial, PendingTrial
from app.suggest.encode import Encoder
from app.suggest.registry import suggest

from .asking import MIXED, NUMERIC, PLANE, history, request
from .fleet import run

N_WORKERS = 8
APART = 1e-3
"""Points under way differ by more than this share of the range, along one parameter at least."""

ours = pytest.mark.parametrize("name", ["gp", "tpe", "auto"])


def _gap(space: Space, one: Params, other: Params) -> float:
    """Largest difference of two points along a parameter, in the unit cube."""
    encoder = Encoder(space)
    return float(np.nanmax(np.abs(encoder.to_unit(one) - encoder.to_unit(other))))


def _bowl(params: Params) -> float:
    """A minimum inside: soon found, and then there is every reason to come back to it."""
    return (float(params["a"]) - 0.37) ** 2 + 3.0 * (float(params["b"]) - 0.61) ** 2


def _corner(params: Params) -> float:
    """A minimum in a corner, where points that are cut to the range meet."""
    return float(params["a"]) + float(params["b"])


def _waves(params: Params) -> float:
    return _bowl(params) + 0.1 * math.sin(20.0 * float(params["a"]))


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("gp", _bowl),
        ("gp", _corner),
        ("gp", _waves),
        ("tpe", _bowl),
        ("tpe", _corner),
        ("auto", _bowl),
    ],
)
def test_points_under_way_do_not_collapse(name: str, f: Callable[[Params], float]) -> None:
    gaps = []

    def look(under_way: Sequence[PendingTrial], made: Params) -> None:
        gaps.extend(_gap(PLANE, trial.params, made) for trial in under_way)

    run(name, PLANE, f, n_trials=30, n_workers=N_WORKERS, seed=3, look=look)
    assert min(gaps) > APART


@pytest.mark.parametrize(
    "name",
    ["gp", "tpe", "auto"],
)
def test_a_batch_of_many_is_spread(name: str) -> None:
    known = history(PLANE, 25, lambda number, params: _bowl(params))
    made = [s.params for s in suggest(name, request(PLANE, known, count=16)).suggestions]
    gaps = [_gap(PLANE, made[i], made[j]) for i in range(16) for j in range(i)]
    assert min(gaps) > APART


@ours
@pytest.mark.parametrize("f", [_bowl, _corner])
def test_more_workers_than_results_extend_no_design(
    name: str, f: Callable[[Params], float]
) -> None:
    """The points of the design are counted when they are handed out."""
    known = history(PLANE, 3, lambda number, params: f(params))
    decision = suggest(name, request(PLANE, known, count=12, options={"n_initial": 5}))
    kinds = [made.source.value for made in decision.suggestions]
    assert kinds.count("initial") == 2


@ours
@pytest.mark.parametrize("space", [PLANE, NUMERIC, MIXED], ids=["plane", "numeric", "mixed"])
@pytest.mark.parametrize("n", [10, 30])
def test_the_same_results_under_other_numbers_give_the_same_point(
    name: str, space: Space, n: int
) -> None:
    """Up to what a fit is solved to, which depends on where it starts; at an even number, where
    `auto` does not look at how long ago the best result was.
    """
    known = history(space, n)
    (first,) = suggest(name, request(space, known, index=n + 2)).suggestions
    for seed in (1, 2):
        again_known = _renumbered(known, seed)
        (again,) = suggest(name, request(space, again_known, index=n + 2)).suggestions
        assert _gap(space, first.params, again.params) < 0.01


def _renumbered(known: tuple[FinishedTrial, ...], seed: int) -> tuple[FinishedTrial, ...]:
    places = np.random.default_rng(seed).permutation(len(known))
    return tuple(dataclasses.replace(known[k], number=i) for i, k in enumerate(places, start=1))
