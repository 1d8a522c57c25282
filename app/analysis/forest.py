"""A random forest for regression over binned parameters, kept as boxes of bins.

Breiman 2001 with what functional ANOVA needs (Hutter, Hoos & Leyton-Brown 2014, "An efficient
approach for assessing hyperparameter importance"): each leaf is a product of sets of bins, one set
an axis, so that marginals are sums over leaves. A tree grows level by level, all nodes of a level
in one histogram. Unordered choices are cut by their mean (Fisher 1958: for squared error no other
cut of them is better). Bins that a node has no trial in are shared out between both sides of a cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .axes import Axis, Floats, Integers

Bools: TypeAlias = NDArray[np.bool_]

MIN_TRIALS = 10
"""With fewer trials there is nothing to say."""
N_TREES = 32
MIN_DEPTH, MAX_DEPTH = 9, 12
MAX_LEVEL = 2**17
"""Cells of a level's histogram up to which a tree goes deeper than `MIN_DEPTH`: with few parameters
depth is cheap, and they need it more."""
MIN_LEAF = 2
"""Draws of a tree's bootstrap that a leaf holds at least."""
MIN_DRAWS = 4_096
MAX_CELLS = 100_000
"""A tree draws as many trials as there are, but not more than `MAX_CELLS` values of parameters or
`MIN_DRAWS` trials, whichever is more: with few parameters more trials cost little."""
MIN_GAIN = 1e-9
"""Share of the variance that a cut explains at least: less may be rounding."""
_UNIT = 2.0**20
"""Values are rounded to 1 / _UNIT standard deviations, so that what a shift or another unit does to
their last digits decides no cut."""


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
class Layout:
    """The bins of all axes in one row: axis j has columns starts[j] to starts[j + 1] - 1.

    Attributes:
        starts: shape (p + 1,); the last is s, the number of columns.
        axis: which axis a column belongs to, shape (s,).
        masses: share of a column in its axis, shape (s,).
        unordered: axes of three or more choices without order.
    """

    starts: Integers
    axis: Integers
    masses: Floats
    unordered: tuple[int, ...]

    def sums(self, columns: Floats) -> Floats:
        """Sums over each axis: (k, s) -> (k, p)."""
        return np.asarray(np.add.reduceat(columns, self.starts[:-1], axis=-1))


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
        trees: `N_TREES` of them.
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
    layout = _layout(axes)
    bins = np.stack([axis.bins(column) for axis, column in zip(axes, places.T, strict=True)])
    centre, scale = float(values.mean()), float(values.std())
    # Equal values may differ from their mean by rounding.
    is_flat = scale <= 1e-12 * float(np.abs(values).max())
    z = np.zeros(len(values)) if is_flat else np.rint((values - centre) / scale * _UNIT)
    order = np.lexsort((z, *bins.astype(np.int16)))
    columns = (bins + layout.starts[:-1, None]).T[order]
    rng = np.random.default_rng(seed)
    grown = [_Growth(layout, columns, z[order], rng) for _ in range(N_TREES)]
    return Forest(
        layout=layout,
        trees=tuple(_tree(layout, g.inside(), g.leaf_values() / _UNIT) for g in grown),
        centre=centre,
        scale=scale,
        r2_oob=_r2_oob(grown, z[order]),
    )


def _layout(axes: Sequence[Axis]) -> Layout:
    sizes = [len(axis.masses) for axis in axes]
    return Layout(
        starts=np.concatenate(([0], np.cumsum(sizes))),
        axis=np.repeat(np.arange(len(axes)), sizes),
        masses=np.concatenate([axis.masses for axis in axes]),
        unordered=tuple(j for j, a in enumerate(axes) if not a.is_ordered and sizes[j] > 2),
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


def _r2_oob(grown: Sequence[_Growth], z: Floats) -> float:
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cuts:
    """The best cut of each node of a level, or none.

    Attributes:
        is_cut: shape (k,).
        axis: which axis is cut, shape (k,).
        last: rank of the last column that goes left, shape (k,).
        ranks: rank of each column within its axis, counted from the axis' start, shape (k, s).
    """

    is_cut: Bools
    axis: Integers
    last: Integers
    ranks: Integers


class _Growth:
    """One tree, grown on a bootstrap of the trials.

    Attributes:
        weights: how often each trial was drawn, whole numbers, shape (n,).
        predicted: the tree's value at each trial, shape (n,).
    """

    def __init__(
        self, layout: Layout, columns: Integers, z: Floats, rng: np.random.Generator
    ) -> None:
        n, p = columns.shape
        self._layout, self._columns, self._z = layout, columns, z
        draws = rng.integers(0, n, size=min(n, max(MIN_DRAWS, MAX_CELLS // p)))
        self.weights = np.bincount(draws, minlength=n).astype(np.float64)
        self.predicted = np.empty(n)
        # Equal gains would go to the parameter declared first; a grain of chance shares them out.
        self._favour = 1.0 + 1e-6 * rng.random((p,))[layout.axis]
        self._done: list[tuple[Floats, Bools]] = []
        self._run()

    def leaf_values(self) -> Floats:
        """Value of each leaf, shape (l,)."""
        return np.concatenate([values for values, _ in self._done])

    def inside(self) -> Bools:
        """Which columns each leaf covers, shape (l, s)."""
        return np.concatenate([inside for _, inside in self._done])

    def _run(self) -> None:
        rows = np.arange(len(self._z))
        node = np.zeros(len(rows), dtype=np.int64)
        inside = np.ones((1, len(self._layout.axis)), dtype=np.bool_)
        deepest = min(max((MAX_LEVEL // inside.size).bit_length(), MIN_DEPTH), MAX_DEPTH)
        for depth in range(deepest + 1):
            counts, means = self._node_means(rows, node, len(inside))
            cuts = self._cuts(rows, node, counts, means) if depth < deepest else None
            is_cut = np.zeros(len(inside), dtype=np.bool_) if cuts is None else cuts.is_cut
            self._done.append((means[~is_cut], inside[~is_cut]))
            stays = ~is_cut[node]
            self.predicted[rows[stays]] = means[node[stays]]
            if cuts is None or not is_cut.any():
                return
            rows, node = rows[~stays], node[~stays]
            inside = self._children(inside, cuts)
            node = self._step(rows, node, cuts)

    def _node_means(self, rows: Integers, node: Integers, k: int) -> tuple[Floats, Floats]:
        """Draws of each node and their mean, shapes (k,)."""
        weights = self.weights[rows]
        counts = _sums(node, weights, k)
        return counts, _sums(node, weights * self._z[rows], k) / counts

    def _cuts(self, rows: Integers, node: Integers, counts: Floats, means: Floats) -> _Cuts:
        """The cut of each node that lowers the squared error most.

        With residuals from the node's mean, n draws in a node and l of them left of a cut, whose
        residuals sum to a, the squared error falls by a^2 n / (l (n - l)).
        """
        layout, nodes = self._layout, np.arange(len(counts))
        left, gain = self._histograms(rows, node, means)
        ranks = np.broadcast_to(np.arange(len(layout.axis)), left.shape)
        if layout.unordered:
            ranks = ranks.copy()
            for j in layout.unordered:
                _sort_by_mean(slice(*layout.starts[j : j + 2]), left, gain, ranks)
        np.cumsum(gain, axis=1, out=gain)
        np.cumsum(left, axis=1, out=left)
        # Each axis holds all of a node: the axes before a column sum to a multiple of its draws.
        left -= np.multiply.outer(counts, layout.axis)
        right = counts[:, None] - left
        gain *= gain
        gain *= self._favour
        gain /= np.maximum(left * right, 1.0)
        gain[np.minimum(left, right, out=right) < MIN_LEAF] = 0.0
        best = gain.argmax(axis=1)
        axis = layout.axis[best]
        is_cut = gain[nodes, best] * counts > MIN_GAIN * _UNIT**2 * self.weights.sum()
        last = best + _empty_after(layout, left, best) // 2
        return _Cuts(is_cut=is_cut, axis=axis, last=last, ranks=ranks)

    def _histograms(self, rows: Integers, node: Integers, means: Floats) -> tuple[Floats, Floats]:
        """Draws, and their sum of residuals from the node's mean, by node and column: (k, s)."""
        shape = len(means), len(self._layout.axis)
        p = self._columns.shape[1]
        is_drawn = self.weights[rows] > 0
        rows, node = rows[is_drawn], node[is_drawn]
        keys = (self._columns[rows] + (node * shape[1])[:, None]).ravel()
        weights = self.weights[rows]
        residuals = weights * (self._z[rows] - means[node])
        size = shape[0] * shape[1]
        count = _sums(keys, np.repeat(weights, p), size)
        total = _sums(keys, np.repeat(residuals, p), size)
        return count.reshape(shape), total.reshape(shape)

    def _children(self, inside: Bools, cuts: _Cuts) -> Bools:
        """Columns of the nodes of the next level: all left ones, then all right ones."""
        cut = cuts.is_cut
        other = self._layout.axis != cuts.axis[cut, None]
        goes_left = cuts.ranks[cut] <= cuts.last[cut, None]
        return np.concatenate(
            (inside[cut] & (other | goes_left), inside[cut] & (other | ~goes_left))
        )

    def _step(self, rows: Integers, node: Integers, cuts: _Cuts) -> Integers:
        """The node of the next level that each trial falls into."""
        column = self._columns[rows, cuts.axis[node]]
        goes_right = cuts.ranks[node, column] > cuts.last[node]
        index = np.cumsum(cuts.is_cut) - 1
        return np.asarray(index[node] + goes_right * int(cuts.is_cut.sum()))


def _sums(keys: Integers, amounts: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(keys, weights=amounts, minlength=size), dtype=np.float64)


def _empty_after(layout: Layout, left: Floats, best: Integers) -> Integers:
    """How many columns of its axis follow each node's best cut at once and have no draw, (k,)."""
    widest = int(np.diff(layout.starts).max())
    ends = layout.starts[layout.axis[best] + 1]
    columns = best[:, None] + np.arange(1, widest)
    is_inside = columns < ends[:, None]
    nodes = np.arange(len(best))
    after = left[nodes[:, None], np.minimum(columns, left.shape[1] - 1)]
    return np.asarray(((after == left[nodes, best][:, None]) & is_inside).sum(axis=1))


def _sort_by_mean(part: slice, count: Floats, total: Floats, ranks: Integers) -> None:
    """Order the columns of an axis by their mean in each node, in place.

    Args:
        part: the columns.
        count: draws, shape (k, s).
        total: their sums of residuals, shape (k, s); an empty column counts as 0, the node's mean.
        ranks: where each column comes to stand, shape (k, s).
    """
    order = np.argsort(total[:, part] / np.maximum(count[:, part], 1), axis=1, kind="stable")
    count[:, part] = np.take_along_axis(count[:, part], order, axis=1)
    total[:, part] = np.take_along_axis(total[:, part], order, axis=1)
    ranks[:, part] = part.start + np.argsort(order, axis=1, kind="stable")
