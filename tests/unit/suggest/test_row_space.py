"""The vectorised space agrees with the scalar encoder, point by point."""

from __future__ import annotations

import numpy as np
import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Parameter,
    Space,
    point_key,
)
from app.suggest.design import satisfies
from app.suggest.enumeration import Enumeration
from app.suggest.row_space import RowSpace, row_keys

NOT_C = Condition(param="model", choices=("a", "b"))
ONLY_A = Condition(param="model", choices=("a",))
SLOW = Condition(param="rate", high=0.01)
TREE: tuple[Parameter, ...] = (
    CategoricalParameter(name="model", choices=("a", "b", "c")),
    FloatParameter(
        name="rate", low=1e-5, high=1.0, log=True, when=Condition(param="model", choices=("a", "b"))
    ),
    IntParameter(name="layers", low=1, high=5, when=Condition(param="model", choices=("b",))),
    IntParameter(name="width", low=8, high=4096, log=True, when=Condition(param="layers", low=3)),
    FloatParameter(
        name="drop", low=0.0, high=0.9, step=0.1, when=Condition(param="rate", high=0.01)
    ),
    CategoricalParameter(name="size", choices=(1, 2, 4), ordered=True),
    CategoricalParameter(name="flag", choices=(True, False), when=Condition(param="size", low=2)),
    IntParameter(name="even", low=2, high=100, step=2),
    FloatParameter(name="fixed", low=3.0, high=3.0),
    FloatParameter(name="free", low=-2.0, high=7.0),
)
FINITE = Space(
    parameters=(
        CategoricalParameter(name="model", choices=("a", "b")),
        IntParameter(
            name="k", low=1, high=6, log=True, when=Condition(param="model", choices=("a",))
        ),
        FloatParameter(name="x", low=0.0, high=1.0, step=0.25),
    ),
    constraints=(LinearConstraint(terms={"k": 1.0, "x": 2.0}, op="<=", bound=5.0),),
)


def test_a_condition_makes_a_parameter_count_for_its_share_of_random_points() -> None:
    space = RowSpace(Space(parameters=TREE))
    share = space.columns.active_share
    assert share is not None
    varying = [axis.parameter.name for axis in space.axes if axis.n_cells != 1]
    told = dict(zip(varying, share, strict=True))
    assert told["free"] == told["model"] == 1.0
    assert told["rate"] == pytest.approx(2 / 3, abs=0.05)
    assert told["layers"] == pytest.approx(1 / 3, abs=0.05)
    assert told["width"] == pytest.approx(1 / 3 * 3 / 5, abs=0.05)
    assert RowSpace(Space(parameters=TREE[-1:])).columns.active_share is None


def test_points_are_those_of_the_encoder() -> None:
    space = RowSpace(Space(parameters=TREE))
    full = np.random.default_rng(0).random((400, space.p))
    points = space.points(full)
    decoded = [space.decode(row) for row in full]
    np.testing.assert_array_equal(np.isnan(points), np.isnan(space.encoder.to_unit_many(decoded)))
    np.testing.assert_allclose(points, space.encoder.to_unit_many(decoded), atol=1e-9)


def test_a_point_has_one_encoding_however_it_came_about() -> None:
    space = RowSpace(FINITE)
    points = space.points(np.random.default_rng(1).random((200, space.p)))
    again = space.encode([space.decode(row) for row in points])
    assert row_keys(points) == row_keys(again)


def test_features_of_inactive_parameters_are_neutral() -> None:
    space = RowSpace(Space(parameters=TREE))
    x = space.features(
        space.encode([{"model": "c", "size": 1, "even": 2, "fixed": 3.0, "free": 0.0}])
    )
    assert x.shape == (1, space.columns.scale_of.size)
    assert x[0, space.column_of[1]] == 0.5
    flag = space.column_of[6]
    np.testing.assert_array_equal(x[0, flag : flag + 2], [0.0, 0.0])


def test_a_parameter_that_never_varies_has_no_column() -> None:
    space = RowSpace(Space(parameters=TREE))
    assert space.column_of[8] == -1
    assert space.columns.n_scales == len(TREE) - 1


def test_enumeration_finds_every_point_once() -> None:
    space = RowSpace(FINITE)
    rows = space.enumerate(1_000)
    points = Enumeration(FINITE)
    every = [points.point(k) for k in range(points.total)]
    expected = [point for point in every if satisfies(FINITE, point)]
    assert rows is not None
    assert {point_key(space.decode(row)) for row in rows} == {point_key(p) for p in expected}
    assert len(rows) == len(expected)


def test_enumeration_stops_at_its_limit_and_at_continuous_parameters() -> None:
    assert RowSpace(FINITE).enumerate(20) is None
    assert RowSpace(Space(parameters=TREE)).enumerate(10**9) is None


@pytest.mark.parametrize("op", ["<=", ">=", "=="])
def test_constraints_agree_with_the_scalar_check(op: str) -> None:
    bound = LinearConstraint(terms={"even": 1.0, "layers": 4.0, "free": 0.0}, op=op, bound=40.0)
    space = RowSpace(Space(parameters=TREE, constraints=(bound,)))
    points = space.points(np.random.default_rng(2).random((500, space.p)))
    expected = [satisfies(space.space, space.decode(row)) for row in points]
    assert space.keeps_constraints(points).tolist() == expected
