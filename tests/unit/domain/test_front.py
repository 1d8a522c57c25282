"""Pareto fronts and hypervolumes, also against plain counting."""

from __future__ import annotations

import itertools
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.front import hypervolume, pareto_front, reference_point
from app.domain.study import Direction

MIN, MAX = Direction.MINIMIZE, Direction.MAXIMIZE


def rows(m: int) -> st.SearchStrategy[list[tuple[float, ...]]]:
    """Up to 12 rows of small whole numbers, so that equal ones are common."""
    value = st.integers(0, 4).map(float)
    return st.lists(st.tuples(*[value] * m), max_size=12)


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


def test_the_front_of_two_metrics_follows_their_directions() -> None:
    values = [(1.0, 1.0), (2.0, 3.0), (3.0, 2.0), (0.5, 0.5), (2.0, 3.0)]
    assert pareto_front(values, [MIN, MAX]) == [0, 1, 3, 4]
    assert pareto_front(values, [MIN, MIN]) == [3]
    assert pareto_front(values, [MAX, MAX]) == [1, 2, 4]


def test_the_front_of_one_metric_is_its_best() -> None:
    assert pareto_front([(2.0,), (1.0,), (1.0,)], [MIN]) == [1, 2]


def test_rows_that_are_not_finite_are_left_out() -> None:
    assert pareto_front([(math.nan, 0.0), (1.0, 1.0), (-math.inf, 5.0)], [MIN, MIN]) == [1]


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        pareto_front([(1.0,)], [MIN, MIN])


@settings(deadline=None)
@given(st.integers(1, 4).flatmap(rows))
def test_the_front_is_what_nothing_dominates(values: list[tuple[float, ...]]) -> None:
    directions = [MIN] * (len(values[0]) if values else 1)
    plain = [
        k for k, row in enumerate(values) if not any(dominates(other, row) for other in values)
    ]
    assert pareto_front(values, directions) == plain


def counted(values: list[tuple[float, ...]], corner: int) -> int:
    """Unit cells below the corner that some row dominates."""
    m = len(values[0])
    cells = itertools.product(range(corner), repeat=m)
    return sum(
        any(all(v <= c for v, c in zip(row, cell, strict=True)) for row in values) for cell in cells
    )


@settings(deadline=None)
@given(st.integers(1, 3).flatmap(rows).filter(bool))
def test_the_hypervolume_is_what_counting_cells_gives(values: list[tuple[float, ...]]) -> None:
    m = len(values[0])
    assert hypervolume(values, (5.0,) * m) == pytest.approx(counted(values, 5))
    flipped = [tuple(-v for v in row) for row in values]
    assert hypervolume(flipped, (-5.0,) * m, [MAX] * m) == pytest.approx(counted(values, 5))


def test_known_volumes() -> None:
    assert hypervolume([(0.0, 0.0, 0.0)], (1.0, 2.0, 3.0)) == 6.0
    assert hypervolume([(1.0, 3.0), (3.0, 1.0)], (4.0, 4.0)) == 5.0


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume([(5.0, 0.0), (1.0, 1.0)], (2.0, 2.0)) == 1.0
    assert hypervolume([], (2.0, 2.0)) == 0.0


def test_there_is_no_volume_above_three_metrics_or_without_a_reference() -> None:
    assert hypervolume([(0.0,) * 4], (1.0,) * 4) is None
    assert hypervolume([(0.0,) * 2], None) is None


def test_the_reference_lies_a_tenth_beyond_the_worst() -> None:
    front = [(1.0, -4.0, 0.0), (2.0, -5.0, -1.0)]
    assert reference_point(front, [MIN] * 3) == pytest.approx((2.2, -3.6, 0.0))
    assert reference_point([(0.9, 10.0)], [MAX, MIN]) == pytest.approx((0.81, 11.0))
    assert reference_point([], [MIN]) is None


def test_what_is_larger_than_any_float_is_none() -> None:
    assert reference_point([(1.7e308, 1.0)], [MIN, MIN]) is None
    assert reference_point([(-1.7e308, 1.0)], [MAX, MIN]) is None
    assert hypervolume([(0.0, 0.0)], (1e200, 1e200)) is None
    assert hypervolume([(0.0, 1e308), (1e308, 0.0)], (1.5e308, 1.2e308)) is None
    assert hypervolume([(0.0,) * 3, (-1.0, 1.0, 0.0)], (1e200,) * 3) is None
    assert hypervolume([(-1.7e308,)], (1.7e308,)) is None


def test_a_front_of_ten_thousand_points_of_three_metrics_is_found_at_once() -> None:
    values = [(k / 100, (k * 37 % 10_000) / 100, -k / 100) for k in range(10_000)]
    began = time.process_time()
    assert len(pareto_front(values, [MIN] * 3)) == 10_000
    assert time.process_time() - began < 5  # minutes, if each is held against all others


def test_the_volume_below_ten_thousand_points_of_three_metrics_is_found_at_once() -> None:
    n = 10_000
    values = [(k / n, 1.0 - k / n, (k * 37 % n) / n) for k in range(n)]
    began = time.process_time()
    found = hypervolume(values, (1.0,) * 3)
    assert time.process_time() - began < 5
    # A few slices from the bottom the staircase is nearly the triangle above the diagonal.
    assert found == pytest.approx(0.495, abs=0.005)
