"""Parzen estimators on the unit cube: mixtures of product kernels, their masses, densities, draws.

A mixture has one component per observation and one prior component. Along a continuous parameter a
component is a normal truncated to [0, 1], along a discrete numeric one the mass that this normal
gives to each cell, along a category a smoothed indicator. Nothing here knows of studies or trials.

References: Bergstra et al. 2011 (section 4); Watanabe 2023, arXiv:2304.11127 (eqs. 7 to 14).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, log_ndtr, ndtr, ndtri

from .base import Floats
from .numerics import LOG_SQRT_2PI, log1mexp

Ints: TypeAlias = NDArray[np.intp]

FLOOR = 0.05
"""Smallest bandwidth, as a share of the range; half a cell where that is more."""
ALONE = 0.25
"""Bandwidth of a single observation, which has no neighbours."""
CENSORED = 0.15
"""Draws of continuous kernels up to this width that fall beyond a border are put on it."""
PRIOR_CENTRE, PRIOR_SD = 0.5, 1.0

_SQRT_HALF = math.sqrt(0.5)
_LEAST_LEVEL = 1e-300
_NARROW = 1e-4
"""Below this width in standard deviations a cell's mass is taken from its middle."""


# Normal masses


def log_mass(a: Floats, b: Floats) -> Floats:
    """ln(Phi(b) - Phi(a)) for a <= b, elementwise; -inf where a = b.

    Args:
        a: lower ends in standard deviations; infinite ones are allowed.
        b: upper ends, of a shape that broadcasts with `a`.

    Returns:
        The broadcast shape; absolute error below 1e-12 for |a|, |b| up to 40 or so.
    """
    a, b = np.broadcast_arrays(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    # Mirrored to the left, so that two ends of one sign lie in the lower tail.
    is_right = a > 0.0
    left, right = np.where(is_right, -b, a), np.where(is_right, -a, b)
    width = right - left
    with np.errstate(divide="ignore"):
        out = np.array(np.log(0.5 * (erf(right * _SQRT_HALF) - erf(left * _SQRT_HALF))))
    tail = (right < -1.0) & (width > 0.0)
    if np.any(tail):
        upper, lower = log_ndtr(right[tail]), log_ndtr(left[tail])
        out[tail] = upper + log1mexp(lower - upper)
    narrow = (width < _NARROW) & (width > 0.0)
    if np.any(narrow):
        w = width[narrow]
        m = 0.5 * (left[narrow] + right[narrow])
        out[narrow] = np.log(w) - 0.5 * m * m - LOG_SQRT_2PI + np.log1p((m * m - 1.0) * w * w / 24)
    return out


def truncated_normal(q: Floats, a: Floats, b: Floats) -> Floats:
    """Quantile `q` of a standard normal truncated to [a, b], elementwise, for a <= 0 <= b.

    Args:
        q: levels in [0, 1].
        a: lower ends, of the shape of `q`.
        b: upper ends.

    Returns:
        Values in [a, b]; beyond 8 standard deviations to the right, which no draw reaches, cut.
    """
    low = ndtr(a)
    return np.asarray(np.clip(ndtri(low + q * (ndtr(b) - low)), a, b))


def _log_whole(mu: Floats, sd: Floats) -> Floats:
    """ln of the mass in [0, 1] of normals centred in it, elementwise: no tail to care for."""
    return np.asarray(np.log(0.5 * (erf((1.0 - mu) / sd * _SQRT_HALF) + erf(mu / sd * _SQRT_HALF))))


def bandwidths(centres: Floats, floors: Floats) -> Floats:
    """Standard deviations of the kernels at `centres` along some parameters.

    The larger distance to the two sorted neighbours, within [floor, 1] (Bergstra et al. 2011,
    section 4.1). Neither the ends of the range nor the prior's centre count as neighbours, which
    would widen the outermost kernels; a centre that is alone has `ALONE`.

    Args:
        centres: shape (g, n), in [0, 1], a row a parameter.
        floors: smallest bandwidths, shape (g,), in (0, 1].

    Returns:
        Shape (g, n).
    """
    g, n = centres.shape
    if n < 2:
        found = np.full((g, n), ALONE)
    else:
        order = np.argsort(centres, axis=1, kind="stable")
        gaps = np.zeros((g, n + 1))
        gaps[:, 1:-1] = np.diff(np.take_along_axis(centres, order, axis=1), axis=1)
        found = np.empty((g, n))
        np.put_along_axis(found, order, np.maximum(gaps[:, :-1], gaps[:, 1:]), axis=1)
    return np.asarray(np.minimum(np.maximum(found, floors[:, None]), 1.0))


# What the parameters are


class Grid(Protocol):
    """The cells of a discrete numeric parameter on [0, 1]."""

    @property
    def count(self) -> int:
        """Number of cells."""
        ...

    def centre(self, cells: Floats) -> Floats:
        """Coordinates of the values of cells, same shape."""
        ...

    def borders(self, cells: Floats) -> tuple[Floats, Floats]:
        """Lower and upper ends of cells, same shape."""
        ...

    def cell(self, u: Floats) -> Floats:
        """Indices of the cells that hold coordinates, same shape."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvenGrid:
    """`count` cells of equal width."""

    count: int

    def centre(self, cells: Floats) -> Floats:
        """The middles of cells."""
        return (cells + 0.5) / self.count

    def borders(self, cells: Floats) -> tuple[Floats, Floats]:
        """Lower and upper ends of cells."""
        return cells / self.count, (cells + 1.0) / self.count

    def cell(self, u: Floats) -> Floats:
        """Indices of the cells that hold coordinates."""
        return np.minimum(np.floor(u * self.count), self.count - 1.0)


_LEAST_WIDTH = 1e-14
"""A cell on a logarithmic axis counts as so wide at least: one of no width has no mass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGrid:
    """Cells of the values `low + k step`, k = 0 ... count - 1, on a logarithmic axis.

    A value v lies at `offset + slope ln v`; cells meet half a step between values and the outer
    ones reach to 0 and 1.
    """

    count: int
    low: float
    step: float
    offset: float
    slope: float

    def centre(self, cells: Floats) -> Floats:
        """The coordinates of the values; not the middles of their cells."""
        return self._at(self.low + cells * self.step)

    def borders(self, cells: Floats) -> tuple[Floats, Floats]:
        """Lower and upper ends of cells."""
        # The lowest cell's own end may lie below any positive value; it is 0 by definition.
        below = self.low + np.maximum(cells - 0.5, 0.0) * self.step
        lower = np.where(cells <= 0.0, 0.0, self._at(below))
        above = self._at(self.low + (cells + 0.5) * self.step)
        # Of 1e15 values the upper ones lie closer together than floats near 1.
        lower = np.minimum(lower, 1.0 - _LEAST_WIDTH)
        upper = np.where(cells >= self.count - 1.0, 1.0, above)
        return lower, np.maximum(upper, lower + _LEAST_WIDTH)

    def cell(self, u: Floats) -> Floats:
        """Indices of the cells that hold coordinates."""
        values = np.exp((u - self.offset) / self.slope)
        nearest = np.floor((values - self.low) / self.step + 0.5)
        return np.clip(nearest, 0.0, self.count - 1.0)

    def _at(self, values: Floats) -> Floats:
        return np.asarray(np.clip(self.offset + self.slope * np.log(values), 0.0, 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One parameter of a mixture, and what its codes in arrays are.

    Attributes:
        grid: the cells of a discrete numeric parameter, whose code is the index of its cell.
        n_choices: number of choices of a category, whose code is the index of its choice.

    With neither the parameter is continuous and its code the coordinate in [0, 1].
    """

    grid: Grid | None = None
    n_choices: int | None = None


class _Kernels(Protocol):
    """All components along some columns; the prior is the last of n + 1."""

    def add_to(self, terms: Floats, x: Floats) -> None:
        """Adds log densities of codes x `(q, columns)` under each component: `(q, n + 1)`."""
        ...

    def draw(self, rng: np.random.Generator, which: Ints) -> Floats:
        """One draw from component `which[i]` for each i: shape `(q, columns)`."""
        ...


# Kernels


class _Normals:
    """Truncated normals along g continuous columns at once.

    ln k_i(x) = sum_j -(x_j - mu_ij)^2 / (2 sd_ij^2) - ln sd_ij - ln sqrt(2 pi) - ln Z_ij, with the
    square expanded so that all q (n + 1) sums are matrix products.
    """

    def __init__(self, mu: Floats, sd: Floats) -> None:
        """`mu`, `sd`: centres and bandwidths, shapes (g, n + 1), a row a column of the data."""
        self._mu, self._sd = mu, sd
        self._half_precision = 0.5 / (self._sd * self._sd)
        self._linear = 2.0 * self._mu * self._half_precision
        self._constant = -np.sum(
            0.5 * self._mu * self._linear
            + np.log(self._sd)
            + _log_whole(self._mu, self._sd)
            + LOG_SQRT_2PI,
            axis=0,
        )

    def add_to(self, terms: Floats, x: Floats) -> None:
        terms += np.hstack([x * x, x]) @ np.vstack([-self._half_precision, self._linear])
        terms += self._constant

    def draw(self, rng: np.random.Generator, which: Ints) -> Floats:
        mu, sd = self._mu[:, which].T, self._sd[:, which].T
        q = rng.random(mu.shape)
        x = truncated_normal(q, -mu / sd, (1.0 - mu) / sd)
        # The best value of a range is often its end, which truncated draws never meet.
        x = np.where(sd <= CENSORED, ndtri(np.maximum(q, _LEAST_LEVEL)), x)
        return np.asarray(np.clip(mu + sd * x, 0.0, 1.0))


class _CellMasses:
    """Truncated normals along g discrete columns: each cell has the mass between its borders.

    Many components are alike along a column, so that masses are computed once for each distinct
    kernel and cell, of all columns at once.
    """

    def __init__(self, mu: Floats, sd: Floats, grids: Sequence[Grid]) -> None:
        """`mu`, `sd`: centres and bandwidths, shapes (g, n + 1)."""
        self._grids = grids
        distinct: list[Floats] = []
        self._which: list[Ints] = []
        for centres, widths in zip(mu, sd, strict=True):
            kernels, which = _distinct_rows(np.stack([centres, widths], axis=1))
            distinct.append(kernels)
            self._which.append(which)
        self._kernels = distinct
        ends = np.cumsum([0, *(len(kernels) for kernels in distinct)])
        whole = _log_whole(*np.vstack(distinct).T)
        self._log_whole = [whole[i:k] for i, k in pairwise(ends)]

    def add_to(self, terms: Floats, x: Floats) -> None:
        rows, lows, highs = [], [], []
        for j, grid in enumerate(self._grids):
            cells, row = np.unique(x[:, j], return_inverse=True)
            mu, sd = self._kernels[j].T
            lower, upper = grid.borders(cells)
            lows.append((lower[:, None] - mu) / sd)
            highs.append((upper[:, None] - mu) / sd)
            rows.append(row)
        masses = log_mass(
            np.concatenate([low.ravel() for low in lows]),
            np.concatenate([high.ravel() for high in highs]),
        )
        ends = np.cumsum([0, *(low.size for low in lows)])
        for j, (start, end) in enumerate(pairwise(ends)):
            table = masses[start:end].reshape(lows[j].shape) - self._log_whole[j]
            terms += np.take(table[rows[j]], self._which[j], axis=1)

    def draw(self, rng: np.random.Generator, which: Ints) -> Floats:
        drawn = [
            kernels[own[which]] for kernels, own in zip(self._kernels, self._which, strict=True)
        ]
        mu, sd = np.stack(drawn, axis=1).transpose(2, 0, 1)
        x = truncated_normal(rng.random(mu.shape), -mu / sd, (1.0 - mu) / sd)
        u = np.clip(mu + sd * x, 0.0, 1.0)
        return np.stack([grid.cell(u[:, j]) for j, grid in enumerate(self._grids)], axis=1)


class _Categories:
    """Smoothed indicators along one categorical column, N = n + 1 components, C choices.

    k_i(c) = ([c = c_i] + 1/N) / (1 + C/N), the prior component uniform.
    """

    def __init__(self, choices: Floats, n_choices: int) -> None:
        """`choices`: shape (n,)."""
        n = choices.shape[0] + 1
        self._n_choices = n_choices
        self._own = np.append(choices, n_choices).astype(np.intp)  # the prior's is no choice
        self._uniform_share = n_choices / (n + n_choices)
        self._other = -math.log(n + n_choices)
        self._same = math.log(n + 1.0) + self._other

    def add_to(self, terms: Floats, x: Floats) -> None:
        table = np.full((x.shape[0], self._n_choices + 1), self._other)
        table[np.arange(x.shape[0]), x[:, 0].astype(np.intp)] = self._same
        table[:, -1] = -math.log(self._n_choices)
        terms += np.take(table, self._own, axis=1)

    def draw(self, rng: np.random.Generator, which: Ints) -> Floats:
        last = self._n_choices - 1.0
        anything = np.minimum(np.floor(rng.random(which.shape) * self._n_choices), last)
        own = self._own[which]
        is_uniform = (rng.random(which.shape) < self._uniform_share) | (own == self._n_choices)
        return np.where(is_uniform, anything, own)[:, None]


# The mixture


class Mixture:
    """p(x) = sum_i w_i prod_j k_ij(x_j): a joint estimate over some parameters.

    Watanabe 2023, eq. 8, in the multivariate form: one product of kernels per observation.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        codes: Floats,
        weights: Floats,
        *,
        prior_weight: float = 1.0,
    ) -> None:
        """Places the components.

        Args:
            columns: the g parameters.
            codes: the observations, shape (n, g), n >= 0; codes as `Column` says.
            weights: positive, shape (n,), on the scale of `prior_weight`.
            prior_weight: weight of the prior component, > 0.
        """
        shares = np.append(weights, prior_weight)
        shares = shares / shares.sum()
        self._width = len(columns)
        self._cumulated = np.cumsum(shares)
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(shares)
        self._parts = _parts(columns, codes)

    def log_density(self, x: Floats) -> Floats:
        """Log density (log mass along discrete parameters) of codes.

        Args:
            x: shape (q, g).

        Returns:
            Shape (q,), finite.
        """
        terms = np.tile(self._log_weights, (x.shape[0], 1))
        for where, kernels in self._parts:
            kernels.add_to(terms, x[:, where])
        largest = terms.max(axis=1)
        terms -= largest[:, None]
        return np.asarray(largest + np.log(np.exp(terms, out=terms).sum(axis=1)))

    def draw(self, rng: np.random.Generator, q: int) -> Floats:
        """q draws: codes of shape (q, g)."""
        last = len(self._cumulated) - 1
        which = np.minimum(np.searchsorted(self._cumulated, rng.random(q), side="right"), last)
        x = np.empty((q, self._width))
        for where, kernels in self._parts:
            x[:, where] = kernels.draw(rng, which)
        return x


def _parts(columns: Sequence[Column], codes: Floats) -> list[tuple[list[int], _Kernels]]:
    """The kernels, each with the places of its columns: continuous ones together, discrete
    numeric ones together, each category alone.
    """
    parts: list[tuple[list[int], _Kernels]] = []
    smooth = [j for j, column in enumerate(columns) if not (column.grid or column.n_choices)]
    grids = {j: column.grid for j, column in enumerate(columns) if column.grid is not None}
    mu, sd = _normal_kernels(codes, smooth, grids)
    if smooth:
        parts.append((smooth, _Normals(mu[: len(smooth)], sd[: len(smooth)])))
    if grids:
        cells = _CellMasses(mu[len(smooth) :], sd[len(smooth) :], list(grids.values()))
        parts.append((list(grids), cells))
    for j, column in enumerate(columns):
        if column.n_choices is not None:
            parts.append(([j], _Categories(codes[:, j], column.n_choices)))
    return parts


def _normal_kernels(
    codes: Floats, smooth: Sequence[int], grids: Mapping[int, Grid]
) -> tuple[Floats, Floats]:
    """Centres and bandwidths along the numeric columns, continuous ones first, the prior's last.

    Returns:
        Two arrays (g, n + 1).
    """
    n, g = codes.shape[0], len(smooth) + len(grids)
    mu, sd = np.full((g, n + 1), PRIOR_CENTRE), np.full((g, n + 1), PRIOR_SD)
    floors = np.full(g, FLOOR)
    mu[: len(smooth), :n] = codes[:, smooth].T
    for row, (j, grid) in enumerate(grids.items(), len(smooth)):
        mu[row, :n] = grid.centre(codes[:, j])
        floors[row] = min(1.0, max(FLOOR, 0.5 / grid.count))
    sd[:, :n] = bandwidths(mu[:, :n], floors)
    return mu, sd


def _distinct_rows(pairs: Floats) -> tuple[Floats, Ints]:
    """The distinct rows of (n, 2) and the place of each row among them."""
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    ordered = pairs[order]
    is_new = np.append(True, np.any(ordered[1:] != ordered[:-1], axis=1))
    which = np.empty(pairs.shape[0], dtype=np.intp)
    which[order] = np.cumsum(is_new) - 1
    return ordered[is_new], which
