"""Which of too many points are drawn. Each rule keeps what a reader would miss: the best, the
extremes, the improvements.
"""

from __future__ import annotations

import itertools

import numpy as np

from .table import Floats, Ints, Mask

_N_BEST = 50
_GRID = (200, 100)
"""Cells along x and y: finer than a mark is wide."""


def cells(x: Floats, y: Floats, group: Ints, cost: Floats, keep: Mask, most: int) -> Ints:
    """One point for each cell of a grid and group, beside those to keep and the 50 best.

    The grid is made coarser until the points are few enough; of those to keep the last ones stay
    when they alone are too many.

    Args:
        x, y: shape (n,); a NaN has a cell of its own.
        group: shape (n,), e.g. states: marks that look different.
        cost: shape (n,), the lower the better, NaN for none.
        keep: shape (n,), points that are always drawn.
        most: how many points at most, >= 1.

    Returns:
        Places of the points, ascending.
    """
    n = len(x)
    if n <= most:
        return np.arange(n)
    chosen = keep.copy()
    ranked = np.argsort(cost, kind="stable")[: min(_N_BEST, int(np.isfinite(cost).sum()))]
    chosen[ranked] = True
    n_x, n_y = _GRID
    while n_x >= 1:
        found = chosen.copy()
        found[_one_a_cell(x, y, group, n_x, max(1, n_y))] = True
        if found.sum() <= most:
            return np.flatnonzero(found)
        n_x, n_y = n_x // 2, n_y // 2
    return np.flatnonzero(chosen)[-most:]


def _one_a_cell(x: Floats, y: Floats, group: Ints, n_x: int, n_y: int) -> Ints:
    cell = (_cell(x, n_x) * (n_y + 1) + _cell(y, n_y)) * (int(group.max()) + 1) + group
    places: Ints = np.unique(cell, return_index=True)[1].astype(np.int64)
    return places


def _cell(values: Floats, n: int) -> Ints:
    """Cell 0 to n - 1 of each value; n for a NaN or an infinity."""
    finite = np.isfinite(values)
    if not finite.any():
        return np.full(len(values), n, dtype=np.int64)
    # Halved, so that no difference overflows.
    low, high = values[finite].min() / 2, values[finite].max() / 2
    width = (high - low) or 1.0
    place = np.where(finite, (values / 2 - low) / width * n, 0.0)
    return np.where(finite, np.minimum(place, n - 1), n).astype(np.int64)


def strata(cost: Floats, most: int, seed: int, n_best: int = 300) -> Ints:
    """The best, and the rest spread evenly over the ranks of their costs; the same for the same
    trials and seed, so that nothing flickers.

    Args:
        cost: shape (n,), the lower the better, NaN for none.
        most: how many at most, >= 1.
        seed: decides between neighbours in rank.

    Returns:
        Places, ascending.
    """
    n = len(cost)
    if n <= most:
        return np.arange(n)
    ranked = np.argsort(cost, kind="stable")  # NaN last
    best, rest = np.split(ranked, [min(n_best, most)])
    n_rest = most - len(best)
    borders = np.linspace(0, len(rest), n_rest + 1).astype(np.int64)
    widths = np.diff(borders)
    offsets = np.random.default_rng(seed).integers(0, np.maximum(widths, 1))
    return np.sort(np.concatenate([best, rest[borders[:-1] + offsets]]))


def minmax_lttb(x: Floats, y: Floats, most: int) -> Ints:
    """Places of the points of a line: extremes of buckets first, then the largest triangles, so
    that no spike is lost (Van Der Donckt et al. 2023; Steinarsson 2013).

    Args:
        x: shape (n,), ascending.
        y: shape (n,), finite.
        most: how many points at most, >= 3.
    """
    n = len(x)
    if n <= most:
        return np.arange(n)
    return _largest_triangles(x, y, _extremes(y, 2 * most), most)


def _extremes(y: Floats, n_buckets: int) -> Ints:
    """The first, the last, and the lowest and highest place of each bucket between them."""
    borders = np.linspace(1, len(y) - 1, n_buckets + 1).astype(np.int64)
    kept = {0, len(y) - 1}
    for low, high in itertools.pairwise(borders):
        if low < high:
            kept |= {int(low + y[low:high].argmin()), int(low + y[low:high].argmax())}
    return np.array(sorted(kept), dtype=np.int64)


def _largest_triangles(x: Floats, y: Floats, places: Ints, most: int) -> Ints:
    """Of each bucket the point that spans the largest triangle with the one chosen before and the
    mean of the next bucket.
    """
    if len(places) <= most:
        return places
    xs, ys = x[places], y[places] / (float(np.abs(y[places]).max()) or 1.0)
    borders = np.linspace(1, len(places) - 1, most - 1).astype(np.int64)
    chosen = [0]
    for index in range(most - 2):
        low, high = borders[index], borders[index + 1]
        next_high = borders[index + 2] if index + 2 < len(borders) else len(places)
        mean_x, mean_y = xs[high:next_high].mean(), ys[high:next_high].mean()
        last = chosen[-1]
        area = np.abs(
            (xs[last] - mean_x) * (ys[low:high] - ys[last])
            - (xs[last] - xs[low:high]) * (mean_y - ys[last])
        )
        chosen.append(int(low + area.argmax()))
    return places[[*chosen, len(places) - 1]]
