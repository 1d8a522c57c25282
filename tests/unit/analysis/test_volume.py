"""The hypervolume, against counting cells, and which trials move it."""

from __future__ import annotations

import numpy as np
import pytest

from app.analysis.volume import improving, volume
from app.domain.front import hypervolume


def counted(costs: np.ndarray, corner: np.ndarray) -> float:
    """The volume by brute force: unit cells of an integer grid below the corner."""
    axes = np.meshgrid(*(np.arange(int(c)) for c in corner), indexing="ij")
    cell = np.stack([axis.ravel() for axis in axes], axis=1)
    return float((cell[:, None, :] >= costs[None, :, :]).all(axis=2).any(axis=1).sum())


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_the_volume_is_what_counting_cells_gives(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    corner = np.full(m, 12.0)
    costs = rng.integers(0, 12, (rng.integers(1, 30), m)).astype(float)
    found = volume(costs, corner)
    assert found == counted(costs, corner)
    assert found == hypervolume([tuple(row) for row in costs.tolist()], tuple(corner))
    assert volume(costs[:0], corner) == 0.0


@pytest.mark.parametrize("m", [2, 3])
def test_those_that_move_the_volume_are_found_in_order(m: int) -> None:
    costs = np.random.default_rng(m).random((700, m))
    corner = np.full(m, 0.9)
    inside = [(row < corner).all() for row in costs]
    grown, last = [], 0.0
    for at in range(len(costs)):
        now = volume(costs[: at + 1][inside[: at + 1]], corner)
        if now > last * (1 + 1e-12):
            grown.append(at)
        last = now
    assert improving(costs, corner).tolist() == grown


def test_values_near_the_largest_float_make_no_error() -> None:
    costs = np.array([[-1e308, 0.0], [0.0, -1e308]])
    assert volume(costs, np.array([1e308, 1e308])) == np.inf
