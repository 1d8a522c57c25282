"""Ranks, hypervolumes and greedy subsets against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from app.suggest.base import Floats
from app.suggest.pareto import (
    greedy_subset,
    hypervolume,
    is_non_dominated,
    non_dominated_ranks,
)


def dominates(a: Floats, b: Floats) -> bool:
    return bool((a <= b).all() and (a < b).any())


def ranks_by_definition(y: Floats) -> list[int]:
    ranks = [-1] * len(y)
    for rank in range(len(y)):
        left = [i for i in range(len(y)) if ranks[i] < 0]
        front = [i for i in left if not any(dominates(y[j], y[i]) for j in left)]
        for i in front:
            ranks[i] = rank
    return ranks


def points(seed: int, n: int, m: int) -> Floats:
    """Points with ties in single objectives and in all of them."""
    return np.random.default_rng(seed).integers(0, 6, (n, m)).astype(float)


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_those_of_the_definition(m: int, seed: int) -> None:
    y = points(seed, 60, m)
    assert list(non_dominated_ranks(y)) == ranks_by_definition(y)


@pytest.mark.parametrize("m", [2, 3])
def test_fronts_larger_than_a_block(m: int) -> None:
    y = np.random.default_rng(m).random((700, m))
    y[:, -1] = m - y[:, :-1].sum(axis=1)
    assert is_non_dominated(y).all()
    assert not non_dominated_ranks(y).any()


def test_infinite_objectives_have_ranks() -> None:
    y = np.array([[math.inf, 0.0], [1.0, 1.0], [math.inf, math.inf], [0.0, -math.inf]])
    assert list(non_dominated_ranks(y)) == ranks_by_definition(y)


def test_no_points_have_no_ranks() -> None:
    assert non_dominated_ranks(np.empty((0, 2))).shape == (0,)
    assert non_dominated_ranks(np.empty((0, 3))).shape == (0,)


def volume_by_cells(y: Floats, reference: Floats) -> float:
    """Volume of integer points, unit cell by unit cell."""
    cells = itertools.product(*(range(int(r)) for r in reference))
    return float(sum(bool((y <= np.array(cell)).all(axis=1).any()) for cell in cells))


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_hypervolume_is_the_volume_of_the_dominated_cells(m: int, seed: int) -> None:
    y, reference = points(seed, 8, m), np.full(m, 5.0)
    assert hypervolume(y, reference) == pytest.approx(volume_by_cells(y, reference))


def test_points_beyond_the_reference_add_nothing() -> None:
    assert hypervolume(np.array([[2.0, 0.0]]), np.ones(2)) == 0.0


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_greedy_subset_adds_the_largest_gain_each_time(m: int, seed: int) -> None:
    y = np.random.default_rng(seed).random((12, m))
    reference = np.full(m, 1.1)
    chosen = list(greedy_subset(y, reference, 6))
    for k, place in enumerate(chosen):
        before = chosen[:k]
        volumes = [
            -math.inf if i in before else hypervolume(y[[*before, i]], reference) for i in range(12)
        ]
        assert volumes[place] == pytest.approx(max(volumes))


def test_greedy_subset_of_equal_points_takes_them_in_turn() -> None:
    assert list(greedy_subset(np.zeros((4, 2)), np.ones(2), 3)) == [0, 1, 2]


def test_greedy_subset_of_all_has_every_point() -> None:
    y = np.random.default_rng(0).random((7, 2))
    assert sorted(greedy_subset(y, np.full(2, 2.0), 7)) == list(range(7))
