"""What is drawn of too many points: never too many, and never without what a reader would miss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.analysis.sampling import cells, minmax_lttb, strata


@pytest.mark.parametrize("most", [100, 1000])
def test_cells_keep_the_best_and_what_is_to_be_kept(most: int) -> None:
    rng = np.random.default_rng(1)
    n = 20_000
    x, y = rng.normal(size=n), rng.normal(size=n)
    cost = np.where(rng.random(n) < 0.1, np.nan, y)
    keep = np.zeros(n, dtype=bool)
    keep[:30] = True
    shown = cells(x, y, rng.integers(0, 3, n), cost, keep, most)
    assert len(shown) <= most
    assert set(range(30)) <= set(shown.tolist())
    assert set(np.argsort(cost)[:50].tolist()) <= set(shown.tolist())


def test_cells_keep_each_state_of_a_cell() -> None:
    n = 5_000
    group = np.zeros(n, dtype=np.int64)
    group[777] = 1
    flat = np.zeros(n)
    shown = cells(flat, flat, group, np.full(n, np.nan), np.zeros(n, dtype=bool), 100)
    assert 777 in shown
    assert len(shown) == 2


def test_cells_place_what_is_not_finite_on_its_own() -> None:
    y = np.zeros(1_000)
    y[[5, 6]] = np.nan, np.inf
    nobody = np.zeros(1_000, dtype=bool)
    shown = cells(np.zeros(1_000), y, np.zeros(1_000, dtype=np.int64), -y * np.nan, nobody, 100)
    assert {0, 5} <= set(shown.tolist())


def test_strata_keep_the_best_and_do_not_flicker() -> None:
    cost = np.random.default_rng(2).permutation(10_000).astype(float)
    shown = strata(cost, 1_500, seed=7)
    assert len(shown) == 1_500
    assert set(np.argsort(cost)[:300].tolist()) <= set(shown.tolist())
    assert np.array_equal(shown, strata(cost, 1_500, seed=7))
    # The rest is spread over all ranks.
    ranks = np.sort(cost[shown])[300:]
    assert np.abs(np.quantile(ranks, [0.25, 0.5, 0.75]) - np.array([2725, 5150, 7575])).max() < 60


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=400),
    st.integers(3, 80),
)
def test_a_thinned_line_keeps_its_ends_and_is_short_enough(values: list[float], most: int) -> None:
    y = np.array(values)
    at = minmax_lttb(np.arange(len(y), dtype=float), y, most)
    assert len(at) <= max(most, 3)
    assert (at[0], at[-1]) == (0, len(y) - 1)
    assert (np.diff(at) > 0).all()


def test_a_thinned_line_keeps_a_spike() -> None:
    y = np.sin(np.linspace(0, 6, 5_000))
    y[3_333] = 50.0
    assert 3_333 in minmax_lttb(np.arange(5_000, dtype=float), y, 60)


def test_values_near_the_largest_float_are_thinned_as_any_other() -> None:
    y = np.random.default_rng(3).normal(size=3_000)
    y[5], y[2_500] = 1.7e308, -1.7e308
    x, none = np.arange(3_000, dtype=float), np.zeros(3_000, dtype=np.int64)
    assert {5, 2_500} <= set(cells(x, y, none, y, none > 0, 500).tolist())
    assert {5, 2_500} <= set(minmax_lttb(x, y, 60).tolist())
