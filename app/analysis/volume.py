"""The hypervolume that two or three objectives dominate, exact, after each of many trials."""

from __future__ import annotations

import math

import numpy as np

from ..domain.front import hypervolume
from .table import Floats, Ints, Mask

_CHUNK = 512


def volume(costs: Floats, corner: Floats) -> float:
    """The volume between some points and a corner that all of them are better than.

    O(n log n).

    Args:
        costs: shape (n, m), m 2 or 3, lower is better; dominated ones do no harm.
        corner: shape (m,).
    """
    if not len(costs):
        return 0.0
    if costs.shape[1] == 3:
        found = hypervolume(costs.tolist(), corner.tolist())
        return math.inf if found is None else found
    with np.errstate(over="ignore", invalid="ignore"):
        x, place = np.unique(costs[:, 0], return_inverse=True)
        lowest = np.full(len(x), np.inf)
        np.minimum.at(lowest, place, costs[:, 1])
        widths = np.diff(x, append=corner[0])
        return float(widths @ (corner[1] - np.minimum.accumulate(lowest)))


def improving(costs: Floats, corner: Floats) -> Ints:
    """Places of the points that made the volume larger when they came, in their order.

    Args:
        costs: shape (n, m) in the order in which they came, lower is better.
        corner: shape (m,); a point that is not better in everything adds nothing.
    """
    front, found = np.empty((0, costs.shape[1])), []
    inside = np.flatnonzero((costs < corner).all(axis=1))
    for start in range(0, len(inside), _CHUNK):
        chunk = inside[start : start + _CHUNK]
        for place in chunk[~_is_covered(costs[chunk], front)].tolist():
            cost = costs[place]
            if (front <= cost).all(axis=1).any():
                continue
            front = np.vstack([front[~(front >= cost).all(axis=1)], cost])
            found.append(place)
    return np.array(found, dtype=np.int64)


def _is_covered(costs: Floats, front: Floats) -> Mask:
    """Which points some point of a front is as good as in everything."""
    is_as_good = np.all(front[None, :, :] <= costs[:, None, :], axis=2)
    return np.asarray(np.any(is_as_good, axis=1), dtype=np.bool_)
