"""Which trials count as good: by one objective, by several, within outcome constraints.

References: Watanabe 2023, arXiv:2304.11127 (sections 3.1 and 3.2); Ozaki et al. 2020
(multi-objective TPE, sections 4.1 and 4.2: ranks, then a subset of the last front by its
hypervolume); Guerreiro, Fonseca & Paquete 2021 (section 5: greedy subsets).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .base import Floats
from .pareto import greedy_subset, non_dominated_ranks
from .parzen import Ints

MAX_BELOW = 25
"""Largest number of trials that count as good, with one objective."""
MAX_FRONT = 100
"""The same with several objectives, whose good trials lie apart."""
MANY_ABOVE = 2_000
"""Of more other trials than this the density of the rest is made from a part."""
SMALLEST_WEIGHT = 1e-12
_MARGIN = 1.1
"""The reference point, where a front's worst values are 1 and its best are 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """The finished trials parted into good ones and the rest, as places among them.

    Attributes:
        below: the good ones, best first, shape (b,).
        weights: their weights, mean 1, shape (b,).
        above: the rest, best first, failed ones last, shape (n - b,).
        above_weights: their weights, larger for worse ones, mean 1, shape (n - b,).
    """

    below: Ints
    weights: Floats
    above: Ints
    above_weights: Floats


def split(y: Floats, gamma: float, excess: Floats | None = None) -> Split:
    """Parts trials by their targets, ties by their order.

    Good are the best ceil(gamma n), at least one, never one without a target; trials beyond a
    constraint come after all others, by how far they are beyond it.

    Args:
        y: targets to minimise, by trial number, shape (n, m); rows of NaN for none.
        gamma: share of all trials that count as good, in (0, 1).
        excess: what the trials have of each constraint beyond its threshold, shape (n, c); at most
            0 within it.
    """
    is_valued = ~np.isnan(y).any(axis=1)
    violation = np.zeros(y.shape[0]) if excess is None else total_violation(excess)
    is_valued &= ~np.isnan(violation)
    kept = np.flatnonzero(is_valued & (violation <= 0.0))
    barred = np.flatnonzero(is_valued & (violation > 0.0))
    largest = MAX_BELOW if y.shape[1] == 1 else MAX_FRONT
    wanted = min(max(1, math.ceil(gamma * y.shape[0] - 1e-9)), largest)
    ranked = _by_value(y[kept]) if y.shape[1] == 1 else _best_of_many(y[kept], wanted)
    order = kept[ranked]
    n_kept = min(wanted, kept.size)
    barred = barred[np.argsort(violation[barred], kind="stable")]
    below = np.concatenate([order[:wanted], barred[: wanted - n_kept]])
    above = [order[wanted:], barred[wanted - n_kept :], np.flatnonzero(~is_valued)]
    weights = np.ones(below.size)
    if y.shape[1] == 1 and n_kept < kept.size:
        weights = _improvements(y[order[: n_kept + 1], 0])
    merit = y[:, 0] if y.shape[1] == 1 else _ranks(y, kept)
    parts = [_levels(merit[above[0]]), _levels(violation[above[1]]), np.zeros(above[2].size)]
    return Split(
        below=below,
        weights=weights,
        above=np.concatenate(above),
        above_weights=_rank_weights(parts),
    )


def thinned(split: Split) -> Split:
    """The split with at most `MANY_ABOVE` trials in the rest, so that an ask stays quick.

    The better half of that number is kept whole, since the density is asked for near good trials;
    of the others every k-th along their order is, with the weight of those it stands for.
    """
    n, half = split.above.size, MANY_ABOVE // 2
    if n <= MANY_ABOVE:
        return split
    ends = np.linspace(half, n, half + 1).round().astype(np.intp)
    middles = (ends[:-1] + ends[1:]) // 2
    sums = np.add.reduceat(split.above_weights, ends[:-1])
    return replace(
        split,
        above=np.concatenate([split.above[:half], split.above[middles]]),
        above_weights=np.concatenate([split.above_weights[:half], sums]),
    )


def _ranks(y: Floats, kept: Ints) -> Floats:
    """Non-dominated ranks of some points, NaN for the others: (n, m) to (n,)."""
    ranks = np.full(y.shape[0], np.nan)
    ranks[kept] = non_dominated_ranks(y[kept])
    return ranks


def _levels(merit: Floats) -> Floats:
    """Numbers from 0 along ascending values, equal for equal ones: same shape."""
    levels = np.zeros(merit.shape)
    levels[1:] = np.cumsum(merit[1:] > merit[:-1])
    return levels


def _rank_weights(parts: Sequence[Floats]) -> Floats:
    """Weights that grow linearly from the best to the worst of the rest, mean 1.

    A trial just behind the good ones says little against its neighbourhood, the worst one much.

    Args:
        parts: levels of trials, best first, those of a part behind those of the part before;
            trials of one level share their mean weight.
    """
    n = sum(part.size for part in parts)
    if n == 0:
        return np.empty(0)
    place = np.concatenate([part + 2.0 * n * k for k, part in enumerate(parts)])
    counts = np.unique(place, return_counts=True)[1]
    ends = np.cumsum(counts)
    return np.repeat((2.0 * ends - counts) / n, counts)


def _by_value(y: Floats) -> Ints:
    """Places of targets (n, m) in lexicographic order, ties by place."""
    return np.lexsort(y.T[::-1])


def _improvements(ranked: Floats) -> Floats:
    """Weights of good trials: their improvements over the best of the rest, scaled to mean 1.

    Watanabe 2023, section 3.2. Argument: their targets and that of the best of the rest,
    ascending, shape (b + 1,).
    """
    largest = float(np.max(np.abs(ranked)))
    scaled = ranked / largest if largest > 0.0 else ranked  # so that no difference overflows
    weights = np.maximum(SMALLEST_WEIGHT, scaled[-1] - scaled[:-1])
    return np.asarray(weights / weights.mean())


def total_violation(excess: Floats) -> Floats:
    """How far trials are beyond their constraints: the sum of what each is beyond its threshold,
    as a share of the largest such value, so that units do not matter: (n, c) to (n,).
    """
    beyond = np.maximum(excess, 0.0)
    largest = np.nanmax(beyond, axis=0, initial=0.0)
    return np.asarray((beyond / np.where(largest > 0.0, largest, 1.0)).sum(axis=1))


def _best_of_many(y: Floats, k: int) -> Ints:
    """Points of several objectives front after front, the k-th point's front by hypervolume.

    Args:
        y: shape (n, m).
        k: how many points are wanted.

    Returns:
        Places of all points, the best k first, shape (n,).
    """
    ranks = non_dominated_ranks(y)
    order = np.lexsort((*y.T[::-1], ranks))
    if y.shape[0] <= k:
        return order
    last = ranks[order[k - 1]]
    n_whole = int(np.count_nonzero(ranks < last))
    front = order[n_whole : n_whole + np.count_nonzero(ranks == last)]
    reference = np.full(y.shape[1], _MARGIN)
    chosen = front[greedy_subset(unit_of_front(y[front]), reference, k - n_whole)]
    left = order[n_whole:]
    return np.concatenate([order[:n_whole], chosen, left[~np.isin(left, chosen)]])


def unit_of_front(y: Floats) -> Floats:
    """Points scaled to [0, 1] in each objective, 0 where all are equal: same shape."""
    largest = np.max(np.abs(y), axis=0)
    scaled = y / np.where(largest > 0.0, largest, 1.0)  # so that no difference overflows
    low = scaled.min(axis=0)
    width = scaled.max(axis=0) - low
    return np.asarray((scaled - low) / np.where(width > 0.0, width, 1.0))
