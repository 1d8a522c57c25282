"""Posterior means, deviations and gradients at many rows, for the search: what is the same for
every row is worked out once.

Formulas: Rasmussen & Williams 2006, eq. 2.25 and 2.26, through K^-1; the derivative of the Matern
part goes by r^2, so that it is finite at an observed row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .gp_kernel import Kernel
from .numerics import Array, matern52, matern52_and_slope

_CHUNK = 500_000
"""Largest number of covariances held at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Posterior mean and sd at rows, with gradients where they were asked for.

    Attributes:
        mean, sd: shape (m,).
        dmean, dsd: by the features, shape (m, c).
    """

    mean: Array
    sd: Array
    dmean: Array
    dsd: Array


class Predictor:
    """One process, ready to be asked at many rows.

    Args:
        kernel: covariance function.
        x: rows of the process, shape (n, c).
        mean: the constant mean.
        weights: K^-1 (z - mu), shape (n,).
        inverse: K^-1, shape (n, n).
        floor: smallest variance.
    """

    def __init__(
        self, kernel: Kernel, x: Array, mean: float, weights: Array, inverse: Array, floor: float
    ) -> None:
        self.kernel, self.mean, self.weights, self.inverse = kernel, mean, weights, inverse
        self.floor = floor
        self._x = x
        self._scales = kernel.column_scales
        self._centre = x.mean(axis=0) / self._scales
        self._scaled = x / self._scales - self._centre
        self._minus_twice = -2.0 * self._scaled.T.copy()
        self._squares = (self._scaled * self._scaled).sum(axis=1)
        self._signal = kernel.hyper.signal
        self._trend = kernel.trend_features(x) if kernel.hyper.has_trend else None

    def covariance_weights(self, reference: int) -> tuple[Array, float]:
        """Weights t with c(x, x*) = k(x, X) t for the posterior covariance to row x*, and s^2(x*).

        x* is a row of X, so c = k(x, x*) - k(x, X) K^-1 k(X, x*) = k(x, X) (e - K^-1 k(X, x*)).
        """
        column = self.kernel.cross(self._x, self._x[reference : reference + 1])[:, 0]
        toward = -self.inverse @ column
        toward[reference] += 1.0
        return toward, max(float(column @ toward), 0.0)

    def mean_and_sd(self, x: Array, reference: int | None = None) -> tuple[Array, Array]:
        """Posterior mean and sd at rows (m, c), both (m,); see `moments`."""
        mean, sd = np.empty(x.shape[0]), np.empty(x.shape[0])
        toward, at = self.covariance_weights(reference) if reference is not None else (None, 0.0)
        step = max(64, _CHUNK // max(self._x.shape[0], 1))
        for low in range(0, x.shape[0], step):
            rows = x[low : low + step]
            k = self._signal * matern52(self._r2(rows)[0])
            if self._trend is not None:
                k += self.kernel.trend_features(rows) @ self._trend.T
            variance = self.kernel.own(rows) - ((k @ self.inverse) * k).sum(axis=1)
            if toward is not None:
                variance += at - 2.0 * (k @ toward)
            mean[low : low + step] = self.mean + k @ self.weights
            sd[low : low + step] = np.sqrt(np.maximum(variance, self.floor))
        return mean, sd

    def moments(self, x: Array, reference: int | None = None) -> Moments:
        """Posterior moments and their gradients.

        Args:
            x: features, shape (m, c).
            reference: a row of the process; then `sd` is that of the difference to the value
                there: s~^2 = s^2(x) + s^2(x*) - 2 c(x, x*).
        """
        r2, scaled = self._r2(x)
        k, slope = matern52_and_slope(r2)
        k *= self._signal
        if self._trend is not None:
            k += self.kernel.trend_features(x) @ self._trend.T
        solved = k @ self.inverse
        variance = self.kernel.own(x) - (solved * k).sum(axis=1)
        solved *= 2.0
        if reference is not None:
            toward, at = self.covariance_weights(reference)
            variance += at - 2.0 * (k @ toward)
            solved += 2.0 * toward
        dmean, pull = self._contracted(slope, x, scaled, (self.weights, solved))
        half = self.kernel.own_gradient(x) - pull
        floored = np.maximum(variance, self.floor)
        sd = np.sqrt(floored)
        half /= 2.0 * sd[:, None]
        half[variance < floored] = 0.0
        return Moments(mean=self.mean + k @ self.weights, sd=sd, dmean=dmean, dsd=half)

    def _r2(self, x: Array) -> tuple[Array, Array]:
        """Squared scaled distances (m, n), and the scaled rows (m, c)."""
        scaled = x / self._scales - self._centre
        r2 = scaled @ self._minus_twice
        r2 += (scaled * scaled).sum(axis=1)[:, None]
        r2 += self._squares
        return np.maximum(r2, 0.0, out=r2), scaled

    def _contracted(
        self, slope: Array, x: Array, scaled: Array, weights: Sequence[Array]
    ) -> list[Array]:
        """Gradients (m, c) by each row of x of sum_i w_i k(x, x_i), for each of some weights."""
        slope = slope * self._signal
        out = []
        for w in weights:
            sw = slope * w
            gradient = scaled * sw.sum(axis=1)[:, None] - sw @ self._scaled
            gradient *= 2.0 / self._scales
            if self._trend is not None:
                self.kernel.add_trend_gradient(gradient, x, np.atleast_2d(w @ self._trend))
            out.append(gradient)
        return out
