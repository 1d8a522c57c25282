"""Places on a parameter's own scale, and bins that carry the uniform measure."""

from __future__ import annotations

import numpy as np
import pytest

from app.analysis.axes import N_BINS, Axis, active_axes, number_at, places, required
from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
)


def space_of(*parameters: Parameter) -> Space:
    return Space(parameters=parameters)


def axis_of(parameter: Parameter) -> Axis:
    return active_axes(space_of(parameter), {})[0]


RATE = FloatParameter(name="rate", low=1e-5, high=1e-1, log=True)
MODEL = CategoricalParameter(name="model", choices=("plain", "batchnorm", "deep"))


def test_places_are_linear_in_the_logarithm_and_indices_of_choices() -> None:
    space = space_of(
        RATE, MODEL, IntParameter(name="width", low=10, high=30, when=Condition(param="model"))
    )
    points = [{"rate": 1e-3, "model": "deep", "width": 15}, {"rate": 1e-5, "model": "plain"}]
    found = places(space, points)
    assert found[0].tolist() == pytest.approx([0.5, 2.0, 0.25])
    assert found[1, :2].tolist() == [0.0, 0.0]
    assert np.isnan(found[1, 2])


def test_places_and_numbers_are_inverse() -> None:
    for parameter in (RATE, FloatParameter(name="x", low=-1e308, high=1e308)):
        numbers = number_at(parameter, np.array([0.0, 0.3, 1.0]))
        back = places(space_of(parameter), [{parameter.name: float(v)} for v in numbers])
        assert back[:, 0].tolist() == pytest.approx([0.0, 0.3, 1.0])


def test_true_and_one_are_different_choices() -> None:
    space = space_of(CategoricalParameter(name="c", choices=(1, True, "x")))
    assert places(space, [{"c": True}, {"c": 1}])[:, 0].tolist() == [1.0, 0.0]
    holding = required(space, [Condition(param="c", choices=(True, "x"))])
    assert active_axes(space, holding)[0].bins(np.array([1.0, 2.0])).tolist() == [0, 1]


def test_a_value_that_is_no_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="'wide' is no choice of model"):
        places(space_of(MODEL), [{"model": "wide"}])


def test_a_point_list_that_is_empty_has_no_rows() -> None:
    assert places(space_of(RATE, MODEL), []).shape == (0, 2)


@pytest.mark.parametrize("log", [False, True])
def test_a_continuous_axis_has_equal_bins_on_its_scale(log: bool) -> None:
    axis = axis_of(FloatParameter(name="x", low=1.0, high=9.0, log=log))
    assert axis.masses.tolist() == pytest.approx([1 / N_BINS] * N_BINS)
    assert axis.bins(np.array([0.0, 0.5, 1.0])).tolist() == [0, N_BINS // 2, N_BINS - 1]


def test_few_integers_have_a_bin_and_an_equal_mass_each() -> None:
    parameter = IntParameter(name="k", low=2, high=8, step=2)
    found = places(space_of(parameter), [{"k": k} for k in (2, 4, 6, 8)])[:, 0]
    axis = axis_of(parameter)
    assert axis.bins(found).tolist() == [0, 1, 2, 3]
    assert axis.masses.tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("high", [20, 100, 2**53])
def test_bins_of_integers_hold_whole_values_and_all_of_the_scale(high: int, log: bool) -> None:
    parameter = IntParameter(name="k", low=1, high=high, log=log)
    axis = axis_of(parameter)
    assert (axis.masses > 0).all()
    assert axis.masses.sum() == pytest.approx(1.0)
    values = np.unique(np.geomspace(1, high, 500).astype(np.int64))
    bins = axis.bins(places(space_of(parameter), [{"k": int(v)} for v in values])[:, 0])
    assert bins[0] == 0
    assert bins[-1] == len(axis.masses) - 1
    assert (np.diff(bins) >= 0).all()
    if high == 100:
        # No bin without a value: its mass would belong to nobody.
        assert set(bins.tolist()) == set(range(len(axis.masses)))


def test_a_log_integer_weighs_as_its_cell_in_the_logarithm() -> None:
    axis = axis_of(IntParameter(name="k", low=1, high=3, log=True))
    cells = np.log([1.5 / 0.5, 2.5 / 1.5, 3.5 / 2.5])
    assert axis.masses.tolist() == pytest.approx((cells / cells.sum()).tolist())


def test_a_constant_has_one_bin() -> None:
    for parameter in (
        FloatParameter(name="x", low=2.0, high=2.0),
        IntParameter(name="x", low=2, high=2, log=True),
        CategoricalParameter(name="x", choices=("a",)),
    ):
        assert axis_of(parameter).masses.tolist() == [1.0]


def test_conditions_narrow_their_parent_and_bring_their_children() -> None:
    layers = IntParameter(name="layers", low=1, high=100)
    dropout = FloatParameter(name="dropout", low=0, high=1, when=Condition(param="layers", low=11))
    decay = FloatParameter(
        name="decay", low=0, high=1, when=Condition(param="dropout", low=0.5, high=0.75)
    )
    space = space_of(layers, dropout, decay)
    assert list(active_axes(space, {})) == [0]
    assert decay.when is not None
    axes = active_axes(space, required(space, [decay.when]))
    assert list(axes) == [0, 1, 2]
    assert (axes[0].low, axes[0].high) == (11.0, 100.0)
    assert (axes[1].edges[0], axes[1].edges[-1]) == (0.5, 0.75)
    assert axes[2].edges[-1] == 1.0


def test_a_weaker_condition_is_met_where_a_stronger_one_holds() -> None:
    wide = Condition(param="model", choices=("batchnorm", "deep"))
    narrow = Condition(param="model", choices=("deep",))
    space = space_of(
        MODEL,
        FloatParameter(name="momentum", low=0, high=1, when=wide),
        FloatParameter(name="skip", low=0, high=1, when=narrow),
    )
    assert list(active_axes(space, required(space, [narrow]))) == [0, 1, 2]
    assert list(active_axes(space, required(space, [wide]))) == [0, 1]


def test_a_condition_that_always_holds_makes_no_branch() -> None:
    when = Condition(param="x", low=-1.0)
    space = space_of(
        FloatParameter(name="x", low=0, high=1), FloatParameter(name="y", low=0, high=1, when=when)
    )
    assert list(active_axes(space, {})) == [0, 1]
