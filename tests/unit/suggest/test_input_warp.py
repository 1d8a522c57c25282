"""Input warping: the shapes are one to one, chosen by the evidence, and survive the round trip."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import beta

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Parameter,
    Space,
)
from app.suggest.gp_kernel import Columns
from app.suggest.gp_space import GpSpace
from app.suggest.input_warp import SHAPES, STRAIGHT, Shape, chosen_shapes, n_looked_at
from app.suggest.numerics import Array, standardise


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_maps_the_unit_interval_onto_itself_and_back(shape: Shape) -> None:
    u = np.linspace(0.0, 1.0, 501)
    w = shape.bend(u)
    assert w[0] == 0.0
    assert w[-1] == 1.0
    assert (np.diff(w) > 0.0).all()
    np.testing.assert_allclose(shape.unbend(w), u, atol=1e-9)


def test_with_one_exponent_of_one_a_shape_is_a_beta_distribution() -> None:
    u = np.linspace(0.0, 1.0, 51)
    np.testing.assert_allclose(Shape(2.5, 1.0).bend(u), beta(2.5, 1.0).cdf(u), atol=1e-12)
    np.testing.assert_allclose(Shape(1.0, 3.0).bend(u), beta(1.0, 3.0).cdf(u), atol=1e-12)


def test_a_missing_coordinate_stays_missing() -> None:
    assert math.isnan(Shape(0.5, 1.0).bend(np.array([math.nan]))[0])


@pytest.mark.parametrize(
    ("n", "looked_at"), [(0, 0), (19, 0), (20, 20), (39, 20), (40, 40), (159, 80), (2_000, 160)]
)
def test_the_choice_is_renewed_when_the_trials_have_doubled(n: int, looked_at: int) -> None:
    assert n_looked_at(n) == looked_at


def data(n: int, seed: int = 0) -> tuple[Array, Columns]:
    return np.random.default_rng(seed).random((n, 2)), Columns.numeric(2)


def chosen(x: Array, y: Array, columns: Columns) -> dict[int, Shape]:
    return dict(chosen_shapes(x, standardise(y), columns, {0: 0, 1: 1}, has_trend=False))


def test_a_parameter_whose_effect_crowds_at_its_lower_end_is_stretched_there() -> None:
    x, columns = data(60)
    y = np.sin(9.0 * x[:, 0] ** 0.4) + 0.3 * np.sin(3.0 * x[:, 1])
    shapes = chosen(x, y, columns)
    stretched = shapes[0].bend(np.array([0.1]))[0]
    assert stretched > 0.2


def test_a_stationary_function_stays_straight() -> None:
    x, columns = data(60)
    y = np.sin(12.0 * x[:, 0] + 0.7) + np.cos(11.0 * x[:, 1] + 1.9)
    assert chosen(x, y, columns) == {}


def test_the_choice_is_a_function_of_the_data() -> None:
    x, columns = data(40, seed=3)
    y = np.exp(-8.0 * x[:, 0]) + x[:, 1]
    assert chosen(x, y, columns) == chosen(x.copy(), y.copy(), columns)


def test_targets_that_cannot_be_fitted_bend_nothing() -> None:
    x, columns = data(20)
    assert chosen_shapes(x, np.full(20, math.nan), columns, {0: 0}, has_trend=False) == STRAIGHT
    assert chosen_shapes(x, np.zeros(20), columns, {}, has_trend=False) == STRAIGHT


SPACE: tuple[Parameter, ...] = (
    FloatParameter(name="rate", low=1e-4, high=1.0, log=True),
    FloatParameter(name="parent", low=0.0, high=1.0),
    FloatParameter(name="child", low=0.0, high=1.0, when=Condition(param="parent", high=0.5)),
    FloatParameter(name="summed", low=0.0, high=1.0),
    FloatParameter(name="stepped", low=0.0, high=1.0, step=0.1),
    IntParameter(name="n", low=1, high=9),
    CategoricalParameter(name="c", choices=("a", "b")),
    FloatParameter(name="free", low=-3.0, high=5.0),
)
CONSTRAINED = Space(
    parameters=SPACE, constraints=(LinearConstraint(terms={"summed": 1.0}, op="<=", bound=0.9),)
)


def test_only_free_continuous_parameters_are_bent() -> None:
    space = GpSpace(CONSTRAINED)
    names = [space.axes[j].parameter.name for j in space.bendable()]
    assert names == ["rate", "free"]


def test_points_come_back_from_bent_coordinates() -> None:
    straight = GpSpace(CONSTRAINED)
    bent = GpSpace(CONSTRAINED, {0: Shape(0.5, 1.0), 7: Shape(1.7, 1.7)})
    full = np.random.default_rng(5).random((200, straight.p))
    points = straight.points(full)
    params = [straight.decode(row) for row in points]
    rows = bent.encode(params)
    assert (rows[:, 0] != points[:, 0]).all()
    for row, one in zip(rows, params, strict=True):
        back = bent.decode(row)
        assert back.keys() == one.keys()
        for name, value in one.items():
            near = value if isinstance(value, str) else pytest.approx(value, rel=1e-9, abs=1e-9)
            assert back[name] == near
