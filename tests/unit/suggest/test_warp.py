"""The output warp keeps what matters of the targets whatever their scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.suggest.numerics import standardise
from app.suggest.warp import model_targets, plain, soft, warp

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FINITE, min_size=1, max_size=30))
def test_the_warp_is_finite_and_never_turns_an_order_round(values: list[float]) -> None:
    y = np.array(values)
    z, _ = warp(y)
    assert np.all(np.isfinite(z))
    order = np.argsort(y, kind="stable")
    assert np.all(np.diff(z[order]) >= 0.0)


@given(st.lists(FINITE, min_size=2, max_size=30))
def test_equal_values_stay_equal(values: list[float]) -> None:
    y = np.array(values + values)
    z, _ = warp(y)
    np.testing.assert_array_equal(z[: len(values)], z[len(values) :])


def test_the_good_half_keeps_its_proportions() -> None:
    y = np.array([1.0, 2.0, 4.0, 7.0, 11.0, 500.0, 1e9])
    z, name = warp(y)
    assert name == "half-rank"
    assert (z[1] - z[0]) / (z[3] - z[0]) == pytest.approx(1.0 / 6.0)
    assert z[3] == 0.0
    assert 0.0 < z[4] < z[5] < z[6] < 2.4


@pytest.mark.parametrize("outlier", [1e12, 1e300])
def test_one_outlier_on_the_bad_side_changes_nothing(outlier: float) -> None:
    y = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 9.0])
    far = y.copy()
    far[5] = outlier
    np.testing.assert_array_equal(warp(y)[0], warp(far)[0])


def test_soft_targets_keep_every_slope_when_most_values_are_alike() -> None:
    crowd = 20.0 + 0.5 * np.sin(np.arange(40))
    y = np.concatenate([crowd, [60.0, 120.0, 500.0]])
    z, name = soft(y)
    assert name == "soft"
    assert np.all(np.diff(z[np.argsort(y)]) > 0.0)
    assert z[41] - z[40] > 0.5 * float(np.ptp(z[:40]))
    assert plain(y)[0][40] == plain(y)[0][42]  # cut: nothing is left to tell them apart
    is_good = y <= np.median(y)
    np.testing.assert_allclose(np.diff(z[is_good]), np.diff(standardise(y)[is_good]), atol=1e-12)


@given(st.lists(FINITE, min_size=1, max_size=30))
def test_soft_targets_are_finite_and_keep_the_order(values: list[float]) -> None:
    y = np.array(values)
    z, _ = soft(y)
    assert np.all(np.isfinite(z))
    assert np.all(np.diff(z[np.argsort(y, kind="stable")]) >= -1e-12)


def test_a_plateau_of_best_values_falls_back_to_ranks() -> None:
    z, name = warp(np.array([1.0, 1.0, 1.0, 1.0, 2.0, 3.0]))
    assert name == "rank"
    assert z[0] == z[3] < z[4] < z[5]


def test_a_failure_is_worse_than_the_worst_value_by_half_the_range() -> None:
    targets = model_targets(np.array([1.0, 2.0, 3.0, 4.0, math.nan]))
    z = targets.z
    assert targets.is_ok.tolist() == [True, True, True, True, False]
    assert z[4] - z[3] == pytest.approx(0.5 * (z[3] - z[0]))
    assert z.mean() == pytest.approx(0.0, abs=1e-12)
    assert z.std() == pytest.approx(1.0)


@pytest.mark.parametrize("values", [[5.0] * 6, [math.nan] * 3, []])
def test_nothing_to_tell_apart_gives_zeros(values: list[float]) -> None:
    assert np.all(model_targets(np.array(values)).z == 0.0)


def test_constant_values_beside_failures_are_still_better() -> None:
    z = model_targets(np.array([2.0, 2.0, math.nan])).z
    assert z[0] == z[1] < z[2]
