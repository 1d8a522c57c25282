"""Which trials count as good: one objective, several, constraints, ties, odd values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.suggest.base import Floats
from app.suggest.pareto import hypervolume, non_dominated_ranks
from app.suggest.tpe_split import (
    MANY_ABOVE,
    MAX_BELOW,
    MAX_FRONT,
    Split,
    split,
    thinned,
    total_violation,
)


def one(y: object, gamma: float = 0.1) -> Split:
    return split(np.array(y, dtype=float).reshape(-1, 1), gamma)


class TestOneObjective:
    def test_takes_a_tenth_rounded_up(self) -> None:
        sizes = [len(one(np.arange(float(n))).below) for n in (1, 10, 11, 30, 100)]
        assert sizes == [1, 1, 2, 3, 10]

    def test_takes_at_most_25(self) -> None:
        assert len(one(np.arange(10_000.0)).below) == MAX_BELOW

    def test_puts_failed_trials_above(self) -> None:
        found = one([math.nan, 3.0, math.nan, 1.0, 2.0])
        assert list(found.below) == [3]
        assert list(found.above) == [4, 1, 0, 2]

    def test_never_calls_a_failed_trial_good(self) -> None:
        assert list(one([math.nan] * 30 + [5.0], 0.5).below) == [30]

    def test_of_failed_trials_alone_has_nothing_good(self) -> None:
        found = one(np.full(8, math.nan))
        assert found.below.size == 0
        assert found.weights.size == 0
        assert list(found.above) == list(range(8))

    def test_of_no_trials_is_empty(self) -> None:
        found = one([])
        assert (found.below.size, found.above.size) == (0, 0)

    def test_breaks_ties_by_number(self) -> None:
        found = one(np.zeros(30))
        assert list(found.below) == [0, 1, 2]
        assert found.weights == pytest.approx([1.0, 1.0, 1.0])

    def test_weighs_by_improvement_with_mean_one(self) -> None:
        found = one([0.0, 3.0, 4.0, *range(4, 21)])
        # Cut at the best of the rest, 4: improvements 4 and 1.
        assert found.weights == pytest.approx([1.6, 0.4])

    @pytest.mark.parametrize("size", [1.7e308, 1e-300, 0.0])
    def test_survives_floats_of_any_size(self, size: float) -> None:
        found = one([-size, size] * 10)
        assert found.weights == pytest.approx([1.0, 1.0])


def tradeoff(n: int, m: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).random((n, m))


class TestWeightsOfTheRest:
    def test_grow_from_the_best_to_the_worst(self) -> None:
        found = one([5.0, 0.0, 3.0, 2.0, 4.0])
        assert list(found.above) == [3, 2, 4, 0]
        assert found.above_weights == pytest.approx([0.25, 0.75, 1.25, 1.75])

    def test_of_equal_trials_are_equal(self) -> None:
        assert one(np.zeros(30)).above_weights == pytest.approx(np.ones(27))
        assert one([0.0, 1.0, 1.0, 2.0]).above_weights == pytest.approx([2 / 3, 2 / 3, 5 / 3])

    def test_of_failed_trials_are_the_largest(self) -> None:
        found = one([math.nan, 0.0, 1.0, math.nan, 2.0])
        assert list(found.above) == [2, 4, 0, 3]
        assert found.above_weights == pytest.approx([0.25, 0.75, 1.5, 1.5])

    @pytest.mark.parametrize("m", [1, 2])
    def test_have_the_mean_one(self, m: int) -> None:
        y = np.random.default_rng(m).integers(0, 9, (200, m)).astype(float)
        y[::7] = math.nan
        excess = np.random.default_rng(0).normal(size=(200, 2))
        assert split(y, 0.1, excess).above_weights.mean() == pytest.approx(1.0)


class TestManyObjectives:
    @pytest.mark.parametrize("m", [2, 3])
    def test_good_trials_are_of_the_first_fronts(self, m: int) -> None:
        y = tradeoff(100, m)
        found, ranks = split(y, 0.1), non_dominated_ranks(y)
        assert len(found.below) == 10
        assert ranks[found.below].max() <= ranks[found.above].min() + 1
        worst = ranks[found.below].max()
        assert set(np.flatnonzero(ranks < worst)) <= set(found.below)
        assert found.weights == pytest.approx(np.ones(10))

    def test_a_front_that_is_too_large_is_cut_to_points_that_lie_apart(self) -> None:
        x = np.linspace(0.0, 1.0, 101)
        y = np.stack([x, 1.0 - x], axis=1)
        below = split(y, 0.05).below
        reference = np.full(2, 1.1)
        middle = hypervolume(y[48:54], reference)
        assert hypervolume(y[below], reference) > middle
        assert np.diff(np.sort(x[below])).min() > 0.05

    def test_units_do_not_matter(self) -> None:
        y = tradeoff(60, 2)
        scaled = y * np.array([1e200, 1e-200]) + np.array([1e200, 0.0])
        assert list(split(scaled, 0.2).below) == list(split(y, 0.2).below)

    @pytest.mark.parametrize("value", [0.0, 1e300, 1e-300])
    def test_equal_trials_go_by_number(self, value: float) -> None:
        assert list(split(np.full((20, 2), value), 0.1).below) == [0, 1]

    def test_trials_without_a_target_are_never_good(self) -> None:
        y = tradeoff(30, 2)
        y[:25] = math.nan
        assert set(split(y, 0.5).below) == set(range(25, 30))

    def test_takes_no_more_than_a_limit(self) -> None:
        x = np.linspace(0.0, 1.0, 1_200)
        assert len(split(np.stack([x, 1.0 - x], axis=1), 0.1).below) == MAX_FRONT


class TestConstraints:
    def test_trials_beyond_a_constraint_are_good_only_after_all_others(self) -> None:
        y = np.arange(20.0)[:, None]
        excess = np.where(y < 18, 1.0 + y, -1.0)
        found = split(y, 0.2, excess)
        assert list(found.below) == [18, 19, 0, 1]

    def test_enough_trials_within_leave_the_others_out(self) -> None:
        y = np.arange(20.0)[:, None]
        excess = np.where(y < 10, 1.0, 0.0)
        found = split(y, 0.2, excess)
        assert list(found.below) == [10, 11, 12, 13]
        assert found.weights.mean() == pytest.approx(1.0)

    def test_violations_add_up_whatever_their_units(self) -> None:
        excess = np.array([[1.0, 0.0], [0.0, 1e6], [0.5, 0.4e6], [-3.0, -5.0]])
        assert total_violation(excess) == pytest.approx([1.0, 1.0, 0.9, 0.0])

    def test_no_constraints_are_never_violated(self) -> None:
        assert list(total_violation(np.empty((3, 0)))) == [0.0] * 3


class TestMany:
    def test_a_rest_of_few_is_kept_as_it_is(self) -> None:
        made = split(np.arange(2_000.0)[:, None], 0.1)
        assert thinned(made) is made

    @pytest.mark.parametrize("n", [MANY_ABOVE + 26, 3_500, 10_000])
    def test_a_rest_of_many_keeps_its_best_and_its_weight(self, n: int) -> None:
        rng = np.random.default_rng(n)
        made = split(rng.random((n, 1)), 0.1)
        part = thinned(made)
        half = MANY_ABOVE // 2
        assert part.above.size == np.unique(part.above).size == MANY_ABOVE
        np.testing.assert_array_equal(part.above[:half], made.above[:half])
        assert np.all(np.diff(np.flatnonzero(np.isin(made.above, part.above))) > 0)
        assert part.above_weights.sum() == pytest.approx(made.above_weights.sum())
        assert part.below is made.below
