"""Climbing, sweeping and candidates: they find optima of known functions and keep their bounds."""

from __future__ import annotations

import numpy as np
import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
)
from app.suggest.gp_ascent import climb
from app.suggest.gp_candidates import CandidateMaker, Region
from app.suggest.gp_search import Known, Search
from app.suggest.row_space import RowSpace


class _Bowl:
    """Minus the scaled squared distance of the features to a target."""

    def __init__(self, target: np.ndarray) -> None:
        self.target = target
        self.weights = np.logspace(0, 2, target.size)

    def value(self, x: np.ndarray) -> np.ndarray:
        return -((x - self.target) ** 2 @ self.weights)

    def value_and_gradient(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.value(x), -2.0 * (x - self.target) * self.weights


def _search(
    parameters: tuple[Parameter, ...], best: dict[str, object], region: Region | None = None
) -> tuple[RowSpace, Search, _Bowl]:
    space = RowSpace(Space(parameters=parameters))
    wanted = space.features(space.encode([best]))[0]
    known = space.encode([space.decode(np.full(space.p, 0.1))])
    rng = np.random.default_rng(0)
    bowl = _Bowl(wanted)
    return space, Search(space, bowl, Known(points=known, best=known), rng, region), bowl


def test_climbs_of_an_ill_conditioned_bowl_arrive_together() -> None:
    bowl = _Bowl(np.linspace(0.2, 0.8, 8))
    start = np.random.default_rng(1).random((10, 8))
    box = np.zeros_like(start), np.ones_like(start)
    u, value = climb(bowl.value_and_gradient, start, *box, evaluations=60)
    np.testing.assert_allclose(u, np.tile(bowl.target, (10, 1)), atol=1e-2)
    assert np.all(value > -1e-3)


def test_a_climb_stops_at_its_bounds_and_leaves_held_coordinates() -> None:
    bowl = _Bowl(np.array([2.0, 0.5, 0.5]))
    start = np.array([[0.3, 0.2, 0.9]])
    lower, upper = np.array([[0.0, 0.2, 0.0]]), np.array([[1.0, 0.2, 1.0]])
    u, _ = climb(bowl.value_and_gradient, start, lower, upper)
    np.testing.assert_allclose(u, [[1.0, 0.2, 0.5]], atol=1e-3)


def test_a_climb_never_ends_below_its_start() -> None:
    def rough(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sin(90 * x).sum(axis=1), np.ones_like(x)

    start = np.random.default_rng(2).random((20, 3))
    _, value = climb(rough, start, np.zeros_like(start), np.ones_like(start))
    assert np.all(value >= rough(start)[0])


MIXED: tuple[Parameter, ...] = (
    FloatParameter(name="x", low=0.0, high=1.0),
    IntParameter(name="n", low=0, high=9),
    IntParameter(name="wide", low=1, high=1000, log=True),
    CategoricalParameter(name="c", choices=("a", "b", "c", "d")),
    FloatParameter(name="y", low=0.0, high=1.0, when=Condition(param="c", choices=("d",))),
)


def test_the_search_finds_the_optimum_of_a_mixed_conditional_space() -> None:
    best = {"x": 0.33, "n": 7, "wide": 137, "c": "d", "y": 0.9}
    space, search, _ = _search(MIXED, best)
    point, value = next(search.ranked())
    params = space.decode(point)
    assert (params["n"], params["wide"], params["c"]) == (7, 137, "d")
    assert params["x"] == pytest.approx(0.33, abs=1e-2)
    assert params["y"] == pytest.approx(0.9, abs=1e-2)
    assert value > -1e-2


def test_a_taken_optimum_gives_the_next_best_point() -> None:
    parameters: tuple[Parameter, ...] = (
        IntParameter(name="n", low=0, high=9),
        IntParameter(name="m", low=0, high=9),
    )
    space = RowSpace(Space(parameters=parameters))
    bowl = _Bowl(space.features(space.encode([{"n": 4, "m": 4}]))[0])
    known = space.encode([{"n": 4, "m": 4}])
    search = Search(space, bowl, Known(points=known, best=known), np.random.default_rng(0))
    ranked = [space.decode(point) for point, _ in search.ranked()]
    assert ranked[0] in ({"n": 3, "m": 4}, {"n": 5, "m": 4})
    assert {"n": 4, "m": 4} not in ranked


def test_the_guard_keeps_points_near_known_ones() -> None:
    best = {"x": 0.9, "n": 9, "wide": 1000, "c": "d", "y": 0.9}
    _, search, _ = _search(MIXED, best, Region(reach=0.25))
    known = search.maker.known[0]
    for point, _ in search.ranked():
        gap = np.abs(point - known)[[0, 1, 2]]
        assert np.nanmax(gap) <= 0.25 + 0.5 / 10 + 1e-9


def test_a_local_region_bounds_the_numbers_but_no_choices() -> None:
    best = {"x": 0.9, "n": 9, "wide": 1000, "c": "b"}
    space, search, _ = _search(MIXED, best, Region(half_sides=np.full(5, 0.2)))
    point, _ = next(search.ranked())
    assert abs(point[0] - 0.1) <= 0.2 + 1e-9
    assert space.decode(point)["c"] == "b"


@pytest.mark.parametrize("p", [1, 3, 60])
def test_candidates_are_distinct_and_inside_the_cube(p: int) -> None:
    parameters = tuple(FloatParameter(name=f"x{j}", low=0.0, high=1.0) for j in range(p))
    space = RowSpace(Space(parameters=parameters))
    known = np.random.default_rng(0).random((7, p))
    maker = CandidateMaker(space, known, known[:3], np.random.default_rng(1), Region())
    full = maker.make()
    assert full.min() >= 0.0
    assert full.max() <= 1.0
    assert len(np.unique(full, axis=0)) == len(full) >= 600
