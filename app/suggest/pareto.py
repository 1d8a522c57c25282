"""Which points of several objectives are better: non-dominated ranks, hypervolumes, subsets.

All objectives are minimised. Nothing here knows of studies or trials.

References: Deb et al. 2002 (NSGA-II, section III.A: ranks); Fonseca et al. 2006 (hypervolume by
slicing one dimension); Bader & Zitzler 2011 (HypE, section 2: contributions); Guerreiro, Fonseca &
Paquete 2021 (The hypervolume indicator, section 5: greedy subset selection).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.intp]

_BLOCK = 256
"""How many points are compared with all others at once, so that memory stays small."""


def non_dominated_ranks(y: Floats) -> Ints:
    """The front to which each point belongs: 0 for the points that none dominates, 1 for those
    that are so without the points of rank 0, and so on.

    A point dominates another that is nowhere better and somewhere worse; equal points share a
    rank.

    Args:
        y: objectives to minimise, shape (n, m); infinite values are allowed, NaN is not.

    Returns:
        Ranks from 0, shape (n,).
    """
    if y.shape[1] == 1:
        return np.unique(y[:, 0], return_inverse=True)[1].astype(np.intp).reshape(-1)
    distinct, back = np.unique(y, axis=0, return_inverse=True)
    # In lexicographic order a point is dominated by earlier ones alone.
    ranks = _ranks_of_two(distinct) if y.shape[1] == 2 else _ranks_of_sorted(distinct)
    return ranks[back.reshape(-1)]


def _ranks_of_two(y: Floats) -> Ints:
    """Ranks of distinct points of two objectives in lexicographic order: O(n log n).

    A front's last point has its least second objective; these grow from front to front, so that
    bisection finds the first front which does not dominate a point (Jensen 2003).
    """
    ranks = np.empty(y.shape[0], dtype=np.intp)
    least: list[float] = []
    for k, value in enumerate(y[:, 1].tolist()):
        low, high = 0, len(least)
        while low < high:
            middle = (low + high) // 2
            if least[middle] <= value:
                low = middle + 1
            else:
                high = middle
        if low == len(least):
            least.append(value)
        else:
            least[low] = value
        ranks[k] = low
    return ranks


def _ranks_of_sorted(y: Floats) -> Ints:
    """Ranks of distinct points in lexicographic order, front after front."""
    ranks = np.full(y.shape[0], -1, dtype=np.intp)
    left = np.arange(y.shape[0])
    rank = 0
    while left.size:
        front = is_non_dominated(y[left])
        ranks[left[front]] = rank
        left = left[~front]
        rank += 1
    return ranks


def is_non_dominated(y: Floats) -> NDArray[np.bool_]:
    """Which points no other one dominates: (n, m) to (n,). Equal points do not dominate."""
    order = np.lexsort(y.T[::-1])
    kept = np.empty((0, y.shape[1]))
    out = np.zeros(y.shape[0], dtype=np.bool_)
    for start in range(0, order.size, _BLOCK):
        block = y[order[start : start + _BLOCK]]
        rivals = np.vstack([kept, block])
        no_worse = (rivals[None, :, :] <= block[:, None, :]).all(axis=2)
        better = (rivals[None, :, :] < block[:, None, :]).any(axis=2)
        is_free = ~np.any(no_worse & better, axis=1)
        kept = np.vstack([kept, block[is_free]])
        out[order[start : start + _BLOCK]] = is_free
    return out


def hypervolume(y: Floats, reference: Floats) -> float:
    """Volume that the points dominate within the reference point.

    Args:
        y: objectives to minimise, shape (n, m), m >= 1.
        reference: shape (m,); points that are not better in every objective count nothing.

    Returns:
        The volume in the product of the objectives' units, >= 0.
    """
    inside = y[(y < reference).all(axis=1)]
    if inside.shape[0] == 0:
        return 0.0
    front = np.unique(inside[is_non_dominated(inside)], axis=0)
    return _volume(front, reference)


def _volume(front: Floats, reference: Floats) -> float:
    """Hypervolume of distinct non-dominated points in lexicographic order."""
    m = front.shape[1]
    if m == 1:
        return float(reference[0] - front[:, 0].min())
    if m == 2:
        # In order of the first objective the second falls: strips side by side.
        widths = np.diff(np.append(front[:, 0], reference[0]))
        return float(widths @ (reference[1] - front[:, 1]))
    # Slices along the first objective, each with the front of the others so far.
    total = 0.0
    depths = np.diff(np.append(front[:, 0], reference[0]))
    for k in np.flatnonzero(depths > 0.0):
        total += float(depths[k]) * hypervolume(front[: k + 1, 1:], reference[1:])
    return total


def greedy_subset(y: Floats, reference: Floats, k: int) -> Ints:
    """k points whose hypervolume together is large: each one adds the most to those before it.

    At least 1 - 1/e of the best subset's volume (Nemhauser et al. 1978). Gains only shrink as the
    subset grows, so that only those that may still be the largest are worked out again.

    Args:
        y: objectives to minimise, shape (n, m).
        reference: shape (m,), worse than all points.
        k: how many, 0 <= k <= n.

    Returns:
        Places of the chosen points in the order in which they were chosen, shape (k,); ties go to
        the smaller place.
    """
    gains = np.prod(np.maximum(reference - y, 0.0), axis=1)
    fresh = np.zeros(y.shape[0], dtype=np.intp)
    chosen: list[int] = []
    for step in range(k):
        while fresh[best := int(np.argmax(gains))] != step:
            gains[best] = _gain(y[best], y[chosen], reference)
            fresh[best] = step
        chosen.append(best)
        gains[best] = -np.inf
    return np.array(chosen, dtype=np.intp)


def _gain(point: Floats, others: Floats, reference: Floats) -> float:
    """Volume that a point adds to others: its box less what they dominate of it."""
    box = float(np.prod(np.maximum(reference - point, 0.0)))
    return box - hypervolume(np.maximum(others, point), reference)
