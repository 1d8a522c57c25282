"""Functional ANOVA of a forest: how its variance falls to parameters and to pairs of them.

After Hutter, Hoos & Leyton-Brown 2014: for a function f under the uniform measure over the declared
space, V = Var f, a_j(x) = mean of f over all parameters but j, F_j = Var(a_j) / V; of a pair,
Var(a_jk) / V - F_j - F_k. A leaf is a product of sets of bins, so a_j and a_jk are sums over
leaves, and exact. Shares are means over trees; their quantiles are the spread.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from .axes import Floats, Integers, Layout
from .forest import Forest, Tree, marginal

N_PAIRS = 10
"""Pairs that are reported, the largest ones."""
_SCREENED, _COARSE_BINS, _SCREENING_TREES = 2 * N_PAIRS, 8, 8
"""All pairs are first compared roughly, the `_SCREENED` largest of them then computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one axis, or a pair of axes beyond the two, explains of a forest's variance.

    Attributes:
        axes: (j,) or (j, k).
        share: mean over trees, in [0, 1].
        low: 5 % quantile over trees.
        high: 95 % quantile over trees.
    """

    axes: tuple[int, ...]
    share: float
    low: float
    high: float


def decompose(forest: Forest) -> tuple[list[Part], list[Part]]:
    """The parts of all axes, in order, and of the `N_PAIRS` pairs that explain most.

    A tree that is constant has shares of 0.
    """
    single = np.stack([_single(forest.layout, tree) for tree in forest.trees])
    p = single.shape[1]
    singles = [_part((j,), single[:, j]) for j in range(p)]
    rough = _rough_pairs(forest)
    likely = sorted(combinations(range(p), 2), key=lambda pair: -rough[pair])[:_SCREENED]
    pairs = [
        # Never below 0 but for rounding.
        _part((j, k), np.maximum(_joint(forest, j, k) - single[:, j] - single[:, k], 0.0))
        for j, k in likely
    ]
    return singles, sorted(pairs, key=lambda part: -part.share)[:N_PAIRS]


def _part(axes: tuple[int, ...], shares: Floats) -> Part:
    low, high = np.quantile(shares, (0.05, 0.95))
    return Part(axes=axes, share=float(shares.mean()), low=float(low), high=float(high))


def _single(layout: Layout, tree: Tree) -> Floats:
    """F_j of one tree for all axes, shape (p,)."""
    if tree.variance == 0.0:
        return np.zeros(len(layout.starts) - 1)
    marginals = tree.weights @ (tree.inside / tree.extents[:, layout.axis])
    return layout.sums(marginals**2 * layout.masses) / tree.variance


def _joint(forest: Forest, j: int, k: int) -> Floats:
    """Var(a_jk) / V of each tree, shape (t,)."""
    layout = forest.layout
    one, two = (layout.masses[slice(*layout.starts[axis : axis + 2])] for axis in (j, k))
    found = np.zeros(len(forest.trees))
    for t, tree in enumerate(forest.trees):
        if tree.variance > 0.0:
            found[t] = one @ marginal(layout, tree, j, k) ** 2 @ two / tree.variance
    return found


def _rough_pairs(forest: Forest) -> Floats:
    """A lower bound of each pair's share beyond its two parameters, shape (p, p).

    Of the first trees, with the bins of an axis joined into `_COARSE_BINS`.
    """
    layout = forest.layout
    starts, axis_starts = _coarse(layout)
    masses = np.add.reduceat(layout.masses, starts)
    found = np.zeros((len(axis_starts), len(axis_starts)))
    for tree in forest.trees[:_SCREENING_TREES]:
        if tree.variance == 0.0:
            continue
        mean_density = np.add.reduceat(tree.inside * layout.masses, starts, axis=1) / masses
        mean_density /= np.repeat(tree.extents, np.diff([*axis_starts, len(starts)]), axis=1)
        joint = (mean_density * tree.weights[:, None]).T @ mean_density
        squares = np.multiply.outer(masses, masses) * joint**2
        blocks = np.add.reduceat(np.add.reduceat(squares, axis_starts, axis=0), axis_starts, axis=1)
        single = np.add.reduceat((tree.weights @ mean_density) ** 2 * masses, axis_starts)
        found += (blocks - np.add.outer(single, single)) / tree.variance
    return found


def _coarse(layout: Layout) -> tuple[Integers, Integers]:
    """First column of each coarse bin, shape (c,), and first coarse bin of each axis, (p,)."""
    before = np.cumsum(layout.masses) - layout.masses - layout.axis
    group = np.floor((before + layout.masses / 2) * _COARSE_BINS).astype(np.int64)
    keys = layout.axis * _COARSE_BINS + np.clip(group, 0, _COARSE_BINS - 1)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return starts, np.searchsorted(starts, layout.starts[:-1])
