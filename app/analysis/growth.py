"""Grows one regression tree on a bootstrap of trials whose parameters are cut into bins.

Level by level, all nodes of a level in one histogram. Choices without order are cut by their mean
(Fisher 1958: for squared error no other cut of them is better). Bins that a node has no trial in
are shared out between both sides of a cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .axes import Bools, Floats, Integers, Layout

MIN_DEPTH, MAX_DEPTH = 9, 12
MAX_LEVEL = 2**17
"""Cells of a level's histogram up to which a tree goes deeper than `MIN_DEPTH`: with few parameters
depth is cheap, and they need it more."""
MIN_LEAF = 2
"""Draws of a tree's bootstrap that a leaf holds at least."""
MIN_DRAWS = 4_096
MAX_CELLS = 50_000
"""A tree draws as many trials as there are, but not more than `MAX_CELLS` values of parameters or
`MIN_DRAWS` trials, whichever is more: with few parameters more trials cost little."""
MIN_GAIN = 1e-9
"""Share of the variance that a cut explains at least: less may be rounding."""
UNIT = 2.0**20
"""Values are rounded to 1 / UNIT standard deviations, so that what a shift or another unit does to
their last digits decides no cut."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cuts:
    """The best cut of each node of a level, or none.

    Attributes:
        is_cut: shape (k,).
        axis: which axis is cut, shape (k,).
        last: rank of the last column that goes left, shape (k,).
        ranks: where each column stands when its axis is in order, shape (k, s): the column itself,
            but for choices without order.
    """

    is_cut: Bools
    axis: Integers
    last: Integers
    ranks: Integers


class Growth:
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
        is_cut = gain[nodes, best] * counts > MIN_GAIN * UNIT**2 * self.weights.sum()
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
