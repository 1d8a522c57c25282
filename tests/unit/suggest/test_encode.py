"""The unit cube: exact both ways, equal shares, borders kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
    Value,
    values_of,
)
from app.suggest.encode import CATEGORY, FLOAT, INTEGER, Axis, Encoder


def axis_of(parameter: Parameter) -> Axis:
    return Encoder(Space(parameters=(parameter,))).axes[0]


def test_integers_stand_at_the_centres_of_equal_cells() -> None:
    axis = axis_of(IntParameter(name="n", low=3, high=6))
    assert [axis.to_unit(n) for n in range(3, 7)] == [0.125, 0.375, 0.625, 0.875]
    assert [axis.from_unit(u) for u in (0.0, 0.24, 0.26, 0.74, 0.76, 1.0)] == [3, 3, 4, 5, 6, 6]


def test_a_step_that_does_not_reach_high_leaves_no_half_cell() -> None:
    axis = axis_of(IntParameter(name="n", low=0, high=10, step=4))
    assert axis.n_cells == 3
    assert [axis.from_unit(u) for u in (0.0, 0.32, 0.34, 0.66, 0.67, 1.0)] == [0, 0, 4, 4, 8, 8]


def test_floats_with_a_step_are_cells_too() -> None:
    axis = axis_of(FloatParameter(name="x", low=0.1, high=0.3, step=0.1))
    assert [axis.to_unit(x) for x in (0.1, 0.2, 0.3)] == pytest.approx([1 / 6, 0.5, 5 / 6])
    assert [axis.from_unit(u) for u in (0.0, 0.5, 1.0)] == [0.1, 0.2, 0.3]


def test_log_integers_reach_half_a_step_beyond_both_ends() -> None:
    axis = axis_of(IntParameter(name="n", low=1, high=100, log=True))
    low, high = math.log(0.5), math.log(100.5)
    for n in (1, 7, 100):
        assert axis.to_unit(n) == pytest.approx((math.log(n) - low) / (high - low), abs=1e-15)
    assert (axis.from_unit(0.0), axis.from_unit(1.0)) == (1, 100)
    for n in (1, 2, 50, 99):
        edge = (math.log(n + 0.5) - low) / (high - low)
        assert (axis.from_unit(edge - 1e-9), axis.from_unit(edge + 1e-9)) == (n, n + 1)


def test_log_floats_are_linear_in_the_logarithm() -> None:
    axis = axis_of(FloatParameter(name="x", low=1e-4, high=1.0, log=True))
    assert axis.to_unit(1e-2) == pytest.approx(0.5)
    assert axis.from_unit(0.25) == pytest.approx(1e-3)


@pytest.mark.parametrize("log", [False, True])
@given(low=st.floats(1e-300, 1e300), factor=st.floats(1.0 + 1e-9, 1e6), u=st.floats(0, 1))
@settings(deadline=None)
def test_floats_never_leave_their_range_and_meet_its_ends(
    log: bool, low: float, factor: float, u: float
) -> None:
    high = low * factor
    axis = axis_of(FloatParameter(name="x", low=low, high=high, log=log))
    value = axis.from_unit(u)
    assert isinstance(value, float)
    assert low <= value <= high
    assert axis.from_unit(0.0) == low
    assert axis.from_unit(1.0) == high
    assert axis.from_unit(axis.to_unit(high)) == high


def test_the_widest_range_does_not_overflow() -> None:
    axis = axis_of(FloatParameter(name="x", low=-1.7e308, high=1.7e308))
    assert axis.from_unit(0.5) == 0.0
    assert axis.to_unit(0.0) == 0.5


@st.composite
def discrete(draw: st.DrawFn) -> Parameter:
    """A discrete parameter of any kind."""
    kind = draw(st.sampled_from(["int", "log int", "float", "category"]))
    if kind == "category":
        choices = draw(
            st.lists(st.one_of(st.text(min_size=1), st.booleans()), min_size=1, unique=True)
        )
        return CategoricalParameter(name="p", choices=tuple(choices), ordered=draw(st.booleans()))
    if kind == "float":
        low = draw(st.floats(-1e6, 1e6))
        step = draw(st.floats(1e-3, 1e3))
        count = draw(st.integers(1, 500))
        return FloatParameter(name="p", low=low, high=low + count * step, step=step)
    low_int = draw(st.integers(1 if kind == "log int" else -(2**40), 2**40))
    step_int = draw(st.integers(1, 10**6)) if kind == "int" else draw(st.sampled_from([1, 3]))
    high_int = low_int + draw(st.integers(0, 2**40))
    return IntParameter(name="p", low=low_int, high=high_int, step=step_int, log=kind == "log int")


@given(parameter=discrete(), pick=st.floats(0, 1))
@settings(deadline=None)
def test_every_discrete_value_survives_the_way_there_and_back(
    parameter: Parameter, pick: float
) -> None:
    axis = axis_of(parameter)
    values = values_of(parameter)
    assert values is not None
    for index in (0, len(values) - 1, int(pick * (len(values) - 1))):
        value: Value = values[index]
        back = axis.from_unit(axis.to_unit(value))
        if isinstance(parameter, IntParameter) and parameter.log and value > 10**12:
            continue  # neighbours that large share their logarithm
        assert type(back) is type(value)
        assert back == value
        assert axis.exact_cell(value) == index


@given(parameter=discrete(), u=st.floats(0, 1))
@settings(deadline=None)
def test_every_coordinate_stands_for_a_value(parameter: Parameter, u: float) -> None:
    axis = axis_of(parameter)
    value = axis.from_unit(u)
    assert axis.value_of_cell(axis.exact_cell(value)) == value


def test_uniform_draws_hit_every_value_alike() -> None:
    axis = axis_of(IntParameter(name="n", low=0, high=9))
    hits = np.bincount([int(axis.from_unit((k + 0.5) / 1_000)) for k in range(1_000)])
    assert hits.tolist() == [100] * 10


def test_true_and_one_are_different_choices() -> None:
    axis = axis_of(CategoricalParameter(name="c", choices=(True, 1, "1")))
    assert [axis.to_unit(c) for c in (True, 1, "1")] == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert [type(axis.from_unit(u)) for u in (0.1, 0.5, 0.9)] == [bool, int, str]
    with pytest.raises(ValueError, match="is no choice"):
        axis.to_unit(False)


def test_exact_cell_refuses_what_lies_between_values() -> None:
    with pytest.raises(ValueError, match="is no value"):
        axis_of(IntParameter(name="n", low=0, high=10, step=2)).exact_cell(3)


BRANCHED = Space(
    parameters=(
        CategoricalParameter(name="c", choices=("a", "b")),
        IntParameter(name="n", low=0, high=1, when=Condition(param="c", choices=("b",))),
        FloatParameter(name="x", low=0.0, high=1.0),
    )
)


def test_inactive_parameters_are_nan_in_the_cube_and_absent_from_points() -> None:
    encoder = Encoder(BRANCHED)
    u = encoder.to_unit({"c": "a", "x": 0.5})
    assert np.isnan(u).tolist() == [False, True, False]
    assert encoder.from_unit(u) == {"c": "a", "x": 0.5}
    assert encoder.from_unit([0.9, 0.9, 0.5]) == {"c": "b", "n": 1, "x": 0.5}
    assert encoder.active([0.1, 0.9, 0.5]).tolist() == [True, False, True]
    assert encoder.from_unit([0.9, math.nan, 0.5])["n"] == 1


def test_shapes_kinds_and_cells() -> None:
    encoder = Encoder(BRANCHED)
    assert encoder.d == 3
    assert encoder.kinds == (CATEGORY, INTEGER, FLOAT)
    assert encoder.cells == (2, 2, None)
    assert encoder.to_unit_many([]).shape == (0, 3)
    assert encoder.to_unit_many([{"c": "a", "x": 0.0}] * 4).shape == (4, 3)
