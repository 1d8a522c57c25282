"""The covariance function of the Gaussian process, its hyper-parameters and its derivatives.

    k(x, x') = s_f^2 Matern52(r) + s_L^2 (x-1/2)'(x'-1/2) + s_Q^2 sum_j (x_j-1/2)^2 (x'_j-1/2)^2
    r^2      = sum_j (x_j - x'_j)^2 / l_j^2

The two trend terms run over numeric columns only and may be absent (a quadratic trend with normal
coefficients; Rasmussen & Williams 2006, section 2.7). All columns of one category share a length
scale. Derivatives use moments of n x n matrices, never an n x n x d array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .numerics import Array, matern52, matern52_and_slope, squared_distances


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What the columns of a feature matrix are.

    Attributes:
        scale_of: index of each column's length scale, shape (c,), covering 0 ... n_scales - 1.
        is_numeric: which columns are coordinates in [0, 1] (the trend's), shape (c,), bool.
    """

    scale_of: NDArray[np.intp]
    is_numeric: NDArray[np.bool_]

    @property
    def n_scales(self) -> int:
        """Number of length scales d."""
        return int(self.scale_of.max()) + 1 if self.scale_of.size else 0

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """The covariance function for given columns and hyper-parameters."""

    columns: Columns
    hyper: Hyper

    @property
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

    def cross_and_slope(self, a: Array, b: Array) -> tuple[Array, Array]:
        """`cross`, and the derivative of its Matern part by r^2, both (n, m)."""
        value, slope = matern52_and_slope(self._r2(a, b))
        value *= self.hyper.signal
        if self.hyper.has_trend:
            value += self.trend(a, b)
        return value, self.hyper.signal * slope

    def contracted_gradient(self, slope: Array, a: Array, b: Array, weights: Array) -> Array:
        """Gradient by each row of `a` of sum_i weights_i k(a, b_i).

        Args:
            slope: derivative of the Matern part by r^2, shape (q, n).
            a: where, shape (q, c).
            b: the other rows, shape (n, c).
            weights: shape (q, n), or (n,) when equal for all rows of `a`.

        Returns:
            Shape (q, c).
        """
        inverse_square = 1.0 / self.column_scales**2
        sw = slope * weights
        differences = a * sw.sum(axis=1)[:, None] - sw @ b
        out: Array = 2.0 * inverse_square * differences
        if self.hyper.has_trend:
            numeric = self.columns.is_numeric
            ca, cb = self._centred(a), self._centred(b)
            linear = np.atleast_2d(weights @ cb)
            square = np.atleast_2d(weights @ (cb * cb))
            out[:, numeric] += self.hyper.linear * linear
            out[:, numeric] += 2.0 * self.hyper.quadratic * ca * square
        return out

    def own_gradient(self, a: Array) -> Array:
        """Gradient of k(x, x) by x at each row, shape (q, c)."""
        out = np.zeros_like(a)
        if self.hyper.has_trend:
            c = self._centred(a)
            grad = 2.0 * self.hyper.linear * c + 4.0 * self.hyper.quadratic * c**3
            out[:, self.columns.is_numeric] = grad
        return out

    def _r2(self, a: Array, b: Array) -> Array:
        scales = self.column_scales
        return squared_distances(a / scales, b / scales)

    def _centred(self, a: Array) -> Array:
        return np.asarray(a[:, self.columns.is_numeric] - 0.5)

    def trend(self, a: Array, b: Array) -> Array:
        """The trend terms' part of `cross`, shape (n, m)."""
        ca, cb = self._centred(a), self._centred(b)
        squares = (ca * ca) @ (cb * cb).T
        return np.asarray(self.hyper.linear * (ca @ cb.T) + self.hyper.quadratic * squares)


def traces(kernel: Kernel, x: Array, slope: Array, correlation: Array, w: Array) -> Array:
    """tr(W dK/dtheta) for every logarithm theta of a hyper-parameter.

    Args:
        kernel: the kernel at the present hyper-parameters.
        x: features, shape (n, c).
        slope: derivative of the Matern part by r^2, shape (n, n).
        correlation: Matern correlation, shape (n, n).
        w: symmetric, shape (n, n).

    Returns:
        Shape (d + 4,): ln l_1 ... ln l_d, ln s_f^2, ln s_n^2, ln s_L^2, ln s_Q^2. With
        B = W o dk/dr^2 the first are -2 (2 (B1)'x_j^2 - 2 x_j'B x_j) / l_j^2, summed over the
        columns that share a scale.
    """
    hyper, columns = kernel.hyper, kernel.columns
    scaled = (x - x.mean(axis=0)) / kernel.column_scales
    b = w * slope
    per_column = -4.0 * (b.sum(axis=1) @ scaled**2 - np.einsum("ij,ij->j", scaled, b @ scaled))
    lengths = np.bincount(columns.scale_of, weights=per_column, minlength=columns.n_scales)
    signal = hyper.signal * float(np.vdot(w, correlation))
    noise = hyper.noise * float(np.trace(w))
    centred = x[:, columns.is_numeric] - 0.5
    squares = centred * centred
    linear = hyper.linear * float(np.vdot(centred, w @ centred)) if hyper.has_trend else 0.0
    quadratic = hyper.quadratic * float(np.vdot(squares, w @ squares)) if hyper.has_trend else 0.0
    return np.concatenate([lengths, [signal, noise, linear, quadratic]])
