"""The surface over two parameters: right on average, blank where nothing was tried."""

from __future__ import annotations

import numpy as np
import pytest

from app.analysis.axes import places
from app.analysis.forest import TooFewTrials
from app.analysis.surface import N_CELLS, surface
from app.domain.space import CategoricalParameter, Condition, FloatParameter, IntParameter, Space

from .spaces import cube, uniform


def test_the_surface_is_the_mean_over_the_other_parameters() -> None:
    x = uniform(4_000, 3)
    values = 100 + 10 * x[:, 0] + np.where(x[:, 1] > 0.5, 5.0, 0.0) + 8 * (x[:, 2] - 0.5)
    found = surface(cube(3), x, values, x="x1", y="x0", is_maximized=True, clip=1.0)
    assert found.mean.shape == found.sd.shape == found.counts.shape == (N_CELLS, N_CELLS)
    middle = (found.x_edges[1:] + found.x_edges[:-1]) / 2
    truth = 100 + np.where(middle > 0.5, 5.0, 0.0)[:, None] + 10 * middle
    assert np.abs(found.mean - truth).mean() < 0.4
    assert found.counts.sum() == found.n == 4_000
    assert found.is_explored.all()
    assert (found.sd >= 0).all()
    assert found.r2_oob > 0.9


def test_directions_give_the_same_surface_turned() -> None:
    x = uniform(200, 2)
    values = np.exp(3 * x[:, 0])
    up = surface(cube(2), x, values, x="x0", y="x1", is_maximized=False)
    down = surface(cube(2), x, -values, x="x0", y="x1", is_maximized=True)
    assert np.array_equal(up.mean, -down.mean)
    assert np.array_equal(up.sd, down.sd)


def test_values_worse_than_the_clip_do_not_bend_the_surface() -> None:
    x = uniform(500, 2)
    values = x[:, 0] + np.where(x[:, 0] > 0.95, 1e6, 0.0)
    found = surface(cube(2), x, values, x="x0", y="x1", is_maximized=False)
    assert found.mean.max() < 1.0


def test_cells_far_from_any_trial_are_not_explored() -> None:
    x = np.full((20, 2), 0.5)
    x[:10] = 0.0
    found = surface(cube(2), x, x[:, 0].copy(), x="x0", y="x1", is_maximized=False)
    expected = np.zeros((N_CELLS, N_CELLS), dtype=bool)
    expected[:3, :3] = True
    expected[18:23, 18:23] = True
    assert np.array_equal(found.is_explored, expected)
    assert np.isfinite(found.mean).all()


def test_choices_and_integers_have_a_cell_each() -> None:
    space = Space(
        parameters=(
            CategoricalParameter(name="c", choices=("a", "b", "d")),
            IntParameter(name="k", low=1, high=4),
            FloatParameter(name="rate", low=1e-4, high=1.0, log=True),
        )
    )
    rng = np.random.default_rng(0)
    points = [
        {"c": "ab"[int(i)], "k": int(k), "rate": float(10**-r)}
        for i, k, r in zip(
            rng.integers(0, 2, 60), rng.integers(1, 5, 60), 4 * rng.random(60), strict=True
        )
    ]
    values = np.array([p["k"] for p in points], dtype=np.float64)
    found = surface(space, places(space, points), values, x="c", y="k", is_maximized=False, clip=1)
    assert found.mean.shape == (3, 4)
    assert found.x_choices is not None
    assert found.x_choices.tolist() == [0, 1, 2]
    assert found.y_choices is None
    assert found.x_edges.tolist() == [0, 1, 2, 3]
    assert found.y_edges.tolist() == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5])
    # Nothing is known of a choice from its neighbours in the list.
    assert found.is_explored.tolist() == [[True] * 4, [True] * 4, [False] * 4]
    assert np.abs(found.mean[:2] - np.arange(1, 5)).max() < 0.1
    rate = surface(space, places(space, points), values, x="rate", y="k", is_maximized=False)
    assert rate.x_edges[[0, 10, 40]].tolist() == pytest.approx([1e-4, 1e-3, 1.0])


def test_two_branches_that_never_meet_are_refused_with_0_trials() -> None:
    space = Space(
        parameters=(
            CategoricalParameter(name="c", choices=("a", "b")),
            FloatParameter(name="x", low=0, high=1, when=Condition(param="c", choices=("a",))),
            FloatParameter(name="y", low=0, high=1, when=Condition(param="c", choices=("b",))),
        )
    )
    x = np.array([[0.0, 0.3, np.nan], [1.0, np.nan, 0.3]] * 20)
    with pytest.raises(TooFewTrials) as refusal:
        surface(space, x, np.arange(40.0), x="x", y="y", is_maximized=False)
    assert refusal.value.n == 0
    both = surface(space, x, np.arange(40.0), x="c", y="x", is_maximized=False)
    assert both.mean.shape == (1, N_CELLS)
    assert (both.n, both.x_choices.tolist() if both.x_choices is not None else None) == (20, [0])


@pytest.mark.parametrize(("x", "y"), [("x0", "x0"), ("x0", "nothing")])
def test_two_parameters_of_the_space_are_needed(x: str, y: str) -> None:
    with pytest.raises(ValueError, match="two parameters"):
        surface(cube(2), uniform(20, 2), np.arange(20.0), x=x, y=y, is_maximized=False)
