"""The covariance function of the Gaussian process, its hyper-parameters and its derivatives.

    k(x, x') = s_f^2 Matern52(r) + s_L^2 (x-1/2)'(x'-1/2) + s_Q^2 sum_j (x_j-1/2)^2 (x'_j-1/2)^2
    r^2      = sum_j (x_j - x'_j)^2 / l_j^2

The two trend terms run over numeric columns only and may be absent (a quadratic trend with normal
coefficients; Rasmussen & Williams 2006, section 2.7). All columns of one category share a length
scale. Derivatives use moments of n x n matrices, never an n x n x d array.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .numerics import Array, matern52, squared_distances


@dataclass(frozen=True, kw_only=True)
class Columns:
    """What the columns of a feature matrix are.

    Attributes:
        scale_of: index of each column's length scale, shape (c,), covering 0 ... n_scales - 1.
        is_numeric: which columns are coordinates in [0, 1] (the trend's), shape (c,), bool.
        active_share: share of random points in which the parameter of each length scale is active,
            shape (d,); all when left out.
    """

    scale_of: NDArray[np.intp]
    is_numeric: NDArray[np.bool_]
    active_share: Array | None = None

    @cached_property
    def numbers(self) -> NDArray[np.intp]:
        """Places of the numeric columns."""
        return np.flatnonzero(self.is_numeric)

    @cached_property
    def n_scales(self) -> int:
        """Number of length scales d."""
        return int(self.scale_of.max()) + 1 if self.scale_of.size else 0

    @cached_property
    def typical_lengths(self) -> Array:
        """Length scale that is nothing special for each parameter, shape (d,).

        Those at which two random points are at distance 1 by their numbers, and at distance 1 by
        their categories. With a share a of points in which it is active, a number is on average
        a / 6 apart in square (a^2 / 6 where both are, 1 / 12 where one is at 0.5), a category of c
        choices a (1 - a / c) (1 - 1 / c where both are, 1 / 2 where one is at nought). Numbers that
        are seldom active count as one that always is; categories that are less than 1 apart as 1.
        """
        share = np.ones(self.n_scales) if self.active_share is None else self.active_share
        choices = np.bincount(self.scale_of[~self.is_numeric], minlength=self.n_scales)
        is_category = choices > 0
        a = share[is_category]
        by_category = max(float(np.sum(a * (1.0 - a / choices[is_category]))), 1.0)
        by_number = max(float(share[~is_category].sum()), 1.0) / 6.0
        return np.sqrt(np.where(is_category, by_category, by_number))

    @classmethod
    def numeric(cls, d: int) -> Columns:
        """d coordinates, each with a length scale of its own."""
        return cls(scale_of=np.arange(d), is_numeric=np.ones(d, dtype=bool))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyper:
    """Hyper-parameters of the kernel.

    Attributes:
        length: length scales, shape (d,), in units of the columns.
        signal: s_f^2, variance of the Matern term.
        noise: s_n^2, variance of the observation noise.
        linear: s_L^2, or 0 for no linear trend.
        quadratic: s_Q^2, or 0 for no quadratic trend.
    """

    length: Array
    signal: float = 1.0
    noise: float = 1e-6
    linear: float = 0.0
    quadratic: float = 0.0

    @property
    def has_trend(self) -> bool:
        """Whether the trend terms are part of the kernel."""
        return self.linear > 0.0 or self.quadratic > 0.0


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The covariance function for given columns and hyper-parameters."""

    columns: Columns
    hyper: Hyper

    @cached_property
    def column_scales(self) -> Array:
        """Length scale of each column, shape (c,)."""
        return np.asarray(self.hyper.length[self.columns.scale_of])

    def correlation(self, a: Array, b: Array) -> Array:
        """Matern correlation of rows (n, c) and (m, c), shape (n, m)."""
        return matern52(self._r2(a, b))

    def cross(self, a: Array, b: Array) -> Array:
        """Covariance of noise-free values at rows (n, c) and (m, c), shape (n, m)."""
        out = self.hyper.signal * self.correlation(a, b)
        return out + self.trend(a, b) if self.hyper.has_trend else out

    def own(self, a: Array) -> Array:
        """Prior variance k(x, x) at each row, shape (n,)."""
        out = np.full(a.shape[0], self.hyper.signal)
        if self.hyper.has_trend:
            t = self._centred(a) ** 2
            out += self.hyper.linear * t.sum(axis=1) + self.hyper.quadratic * (t * t).sum(axis=1)
        return out

    def trend_features(self, a: Array) -> Array:
        """Rows (n, t) whose inner products are the trend terms."""
        centred = self._centred(a)
        parts = [math.sqrt(self.hyper.linear) * centred]
        if self.hyper.quadratic > 0.0:
            parts.append(math.sqrt(self.hyper.quadratic) * centred * centred)
        return np.concatenate(parts, axis=1)

    def add_trend_gradient(self, gradient: Array, a: Array, pulled: Array) -> None:
        """Adds the gradient by each row of `a` of its trend features times `pulled`.

        Args:
            gradient: shape (q, c), changed in place.
            a: where, shape (q, c).
            pulled: shape (q or 1, t).
        """
        numeric, d = self.columns.numbers, self.columns.numbers.size
        more = math.sqrt(self.hyper.linear) * pulled[:, :d]
        if self.hyper.quadratic > 0.0:
            centred = self._centred(a)
            more = more + 2.0 * math.sqrt(self.hyper.quadratic) * centred * pulled[:, d:]
        gradient[:, numeric] += more

    def own_gradient(self, a: Array) -> Array:
        """Gradient of k(x, x) by x at each row, shape (q, c)."""
        out = np.zeros_like(a)
        if self.hyper.has_trend:
            c = self._centred(a)
            grad = 2.0 * self.hyper.linear * c + 4.0 * self.hyper.quadratic * c**3
            out[:, self.columns.numbers] = grad
        return out

    def _r2(self, a: Array, b: Array) -> Array:
        scales = self.column_scales
        return squared_distances(a / scales, b / scales)

    def _centred(self, a: Array) -> Array:
        return np.asarray(a[:, self.columns.numbers] - 0.5)

    def trend(self, a: Array, b: Array) -> Array:
        """The trend terms' part of `cross`, shape (n, m)."""
        return np.asarray(self.trend_features(a) @ self.trend_features(b).T)
