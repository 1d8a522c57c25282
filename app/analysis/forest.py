"""A random forest for regression over binned parameters, kept as boxes of bins.

Breiman 2001 with what functional ANOVA needs (Hutter, Hoos & Leyton-Brown 2014, "An efficient
approach for assessing hyperparameter importance"): each leaf is a product of sets of bins, one set
an axis, so that marginals are sums over leaves. How a tree grows is `growth.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .axes import Axis, Bools, Floats, Layout, layout_of
from .growth import MIN_DRAWS, UNIT, Growth

MIN_TRIALS = 10
"""With fewer trials there is nothing to say."""
N_TREES = 32
N_LARGE_TREES = 24
"""How many where a tree draws more than `MIN_DRAWS` trials: trees of many trials are more alike."""


class TooFewTrials(ValueError):
    """There are fewer trials than `MIN_TRIALS` to learn from.

    Attributes:
        n: trials with a finite value where all parameters asked for are active.
        needed: `MIN_TRIALS`.
    """

    def __init__(self, n: int) -> None:
        super().__init__(f"Needs {MIN_TRIALS} completed trials, {n} so far.")
        self.n = n
        self.needed = MIN_TRIALS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tree:
    """The leaves of a tree, disjoint and filling the space.

    Attributes:
        values: prediction of each leaf, in standard deviations from the trials' mean, shape (l,).
        inside: which columns each leaf covers, shape (l, s).
        extents: share of each axis that a leaf covers, shape (l, p).
        weights: (value - mean of the tree) * volume of each leaf, shape (l,), sum 0.
        mean: of the tree under the uniform measure.
        variance: of the tree under the uniform measure.
    """

    values: Floats
    inside: Bools
    extents: Floats
    weights: Floats
    mean: float
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forest:
    """Trees over the same bins.

    Attributes:
        layout: the bins.
        trees: `N_TREES` of them, or `N_LARGE_TREES`.
        centre: mean of the trials' values.
        scale: their standard deviation.
        r2_oob: 1 - squared error / variance on trials that a tree did not draw; 0 when all values
            are equal.
    """

    layout: Layout
    trees: tuple[Tree, ...]
    centre: float
    scale: float
    r2_oob: float


def grow(axes: Sequence[Axis], places: Floats, values: Floats, *, seed: int) -> Forest:
    """A forest on trials; equal for the same trials in any order.

    Args:
        axes: one or more.
        places: shape (n, p), a column an axis, finite.
        values: shape (n,), finite, at most 1e150 in magnitude.
        seed: of the bootstraps.

    Raises:
        TooFewTrials: n < MIN_TRIALS.
    """
    if len(values) < MIN_TRIALS:
        raise TooFewTrials(len(values))
    layout = layout_of(axes)
    bins = np.stack([axis.bins(column) for axis, column in zip(axes, places.T, strict=True)])
    centre, scale = float(values.mean()), float(values.std())
    # Equal values may differ from their mean by rounding.
    is_flat = scale <= 1e-12 * float(np.abs(values).max())
    z = np.zeros(len(values)) if is_flat else np.rint((values - centre) / scale * UNIT)
    order = np.lexsort((z, *bins.astype(np.int16)))
    columns = (bins + layout.starts[:-1, None]).T[order]
    rng = np.random.default_rng(seed)
    n_trees = N_TREES if len(values) <= MIN_DRAWS else N_LARGE_TREES
    grown = [Growth(layout, columns, z[order], rng) for _ in range(n_trees)]
    return Forest(
        layout=layout,
        trees=tuple(_tree(layout, g.inside(), g.leaf_values() / UNIT) for g in grown),
        centre=centre,
        scale=scale,
        r2_oob=_r2_oob(grown, z[order]),
    )


def _tree(layout: Layout, inside: Bools, values: Floats) -> Tree:
    extents = layout.sums(inside * layout.masses)
    volumes = extents.prod(axis=1)
    mean = float(values @ volumes)
    weights = (values - mean) * volumes
    variance = float(weights @ (values - mean))
    return Tree(
        values=values,
        inside=inside,
        extents=extents,
        weights=weights,
        mean=mean,
        # The trials' variance is 1, so less than that is rounding.
        variance=variance if variance > 1e-12 else 0.0,
    )


def _r2_oob(grown: Sequence[Growth], z: Floats) -> float:
    votes = np.sum([g.weights == 0 for g in grown], axis=0)
    total = np.sum([np.where(g.weights == 0, g.predicted, 0.0) for g in grown], axis=0)
    seen = votes > 0
    around = float(np.sum((z[seen] - z[seen].mean()) ** 2)) if seen.any() else 0.0
    if around == 0.0:
        return 0.0
    return 1.0 - float(np.sum((z[seen] - total[seen] / votes[seen]) ** 2)) / around


def densities(layout: Layout, tree: Tree, axis: int) -> Floats:
    """Of each leaf on one axis: 1 / its extent on its bins, 0 elsewhere; shape (l, bins)."""
    columns = slice(*layout.starts[axis : axis + 2])
    return tree.inside[:, columns] / tree.extents[:, axis, None]


def marginal(layout: Layout, tree: Tree, j: int, k: int) -> Floats:
    """a_jk minus the tree's mean: the tree with all axes but two averaged out; (bins j, bins k)."""
    weighted = densities(layout, tree, j) * tree.weights[:, None]
    return np.asarray(weighted.T @ densities(layout, tree, k))
