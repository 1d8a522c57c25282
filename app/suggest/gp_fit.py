"""Hyper-parameters of the Gaussian process by maximum a posteriori, in logarithms.

The mean is profiled out by generalised least squares, so its derivative vanishes and the gradient
is that of a fixed mean (Rasmussen & Williams 2006, eq. 5.9). The vector theta is
(ln l_1 ... ln l_d, ln s_f^2, ln s_n^2), with a trend followed by (ln s_L^2, ln s_Q^2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.optimize import minimize

from .gp_kernel import Columns, Hyper
from .numerics import (
    Array,
    cholesky,
    lower_inverse,
    matern52_and_slope,
)

LENGTH_BOUNDS = (0.025, 100.0)
SIGNAL_BOUNDS = (0.05, 20.0)
NOISE_BOUNDS = (1e-7, 1.0)
TREND_BOUNDS = (1e-4, 100.0)
CLEAR_LEAD = 1.0
"""An explanation of the data that is doubted has to be better by so many nats."""
MANY_SCALES = 20
"""Above so many length scales their prior widens with the dimension."""
_MAX_ITERATIONS = 40
_GRADIENT_TOLERANCE = 1e-2
_VALUE_TOLERANCE = 1e-5
"""A fit ends when a step gains less than this share of the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """Log-normal priors (mean and sd of the logarithm) and the rule for the length scales.

    Up to `MANY_SCALES` scales each is penalised by 0.1 r^2 + 0.1 / r^2 of its share r of the
    parameter's typical length, which only keeps it off both extremes; above,
    ln l ~ N(sqrt 2 + ln(d) / 2, 3) as a density in l (Hvarfner et al. 2024).
    """

    signal: tuple[float, float] = (0.0, 1.0)
    noise: tuple[float, float] = (-8.0, 3.0)
    linear: tuple[float, float] = (-1.0, 2.0)
    quadratic: tuple[float, float] = (0.0, 2.0)

    def penalty(self, theta: Array, typical: Array) -> tuple[float, Array]:
        """Minus the log prior density up to a constant, and its gradient, shape of theta.

        Args:
            theta: logarithms of the hyper-parameters, shape (d + 2,) or, with a trend, (d + 4,).
            typical: `Columns.typical_lengths`, shape (d,).
        """
        d = typical.size
        gradient = np.empty_like(theta)
        value, gradient[:d] = _length_penalty(theta[:d], typical)
        rules = (self.signal, self.noise, self.linear, self.quadratic)
        for k, (mean, sd) in enumerate(rules[: theta.size - d], start=d):
            distance = (theta[k] - mean) / sd
            value += 0.5 * distance * distance
            gradient[k] = distance / sd
        return value, gradient


def _length_penalty(logs: Array, typical: Array) -> tuple[float, Array]:
    """Penalty of the logarithms of the d length scales, and its gradient, shape (d,)."""
    d = logs.size
    if d <= MANY_SCALES:
        square = np.exp(2.0 * logs) / (typical * typical)
        value = 0.1 * float(np.sum(square + 1.0 / square))
        return value, 0.2 * (square - 1.0 / square)
    distance = logs - (math.sqrt(2.0) + 0.5 * math.log(d))
    return float(np.sum(distance**2) / 6.0 + np.sum(logs)), distance / 3.0 + 1.0


def to_theta(hyper: Hyper) -> Array:
    """Logarithms of the hyper-parameters, shape (d + 2,) or, with a trend, (d + 4,)."""
    parts = [hyper.signal, hyper.noise]
    if hyper.has_trend:
        parts += [hyper.linear, hyper.quadratic]
    return np.asarray(np.log(np.concatenate([hyper.length, parts])))


def to_hyper(theta: Array, d: int) -> Hyper:
    """Hyper-parameters of their logarithms."""
    values = [float(v) for v in np.exp(theta[d:])]
    return Hyper(
        length=np.exp(theta[:d]),
        signal=values[0],
        noise=values[1],
        linear=values[2] if len(values) > 2 else 0.0,
        quadratic=values[3] if len(values) > 2 else 0.0,
    )


def default_hyper(d: int, *, has_trend: bool) -> Hyper:
    """Where a fit starts that knows nothing: long scales, unit signal, little noise.

    Long scales keep the gradient from vanishing in many dimensions (Hvarfner et al. 2024;
    Papenmeier
    et al. 2025).
    """
    return Hyper(
        length=np.full(d, 0.5 * max(d, 1) ** 0.25),
        signal=1.0,
        noise=math.exp(-8.0),
        linear=math.exp(-1.0) if has_trend else 0.0,
        quadratic=math.exp(-1.0) if has_trend else 0.0,
    )


class LogPosterior:
    """Minus the log posterior of theta for given data; callable as L-BFGS-B wants it.

    What does not depend on theta is worked out once, for each pair of rows i > j: their squared
    distance by each length scale, and their inner products in the trend. So an evaluation is two
    small products over pairs and one factor, and nothing is done twice for symmetry.

    Attributes:
        x: features, shape (n, c).
        z: standardised targets, shape (n,).
        columns: what the columns of `x` are.
        prior: priors of the hyper-parameters.
    """

    def __init__(self, *, x: Array, z: Array, columns: Columns, prior: Prior | None = None) -> None:
        self.x, self.z, self.columns, self.prior = x, z, columns, prior or Prior()
        n = z.size
        i, j = np.tril_indices(n, -1)
        self._pairs = i * n + j
        self._i, self._j = i, j
        self._gaps = np.zeros((columns.n_scales, i.size))
        for column, scale in enumerate(columns.scale_of):
            self._gaps[scale] += (x[i, column] - x[j, column]) ** 2
        centred = x[:, columns.is_numeric] - 0.5
        squares = centred * centred
        self._trend = np.stack([(t[i] * t[j]).sum(axis=1) for t in (centred, squares)])
        self._own_trend = np.stack([squares.sum(axis=1), (squares * squares).sum(axis=1)])

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """Value and gradient; infinite with a zero gradient where the matrix cannot be factored."""
        evidence, gradient = self.evidence(theta)
        penalty, slope = self.prior.penalty(theta, self.columns.typical_lengths)
        return penalty - evidence, slope - gradient

    def evidence(self, theta: Array) -> tuple[float, Array]:
        """Log marginal likelihood with the profiled mean, and its gradient by theta.

        Value: -(r'a + ln|K| + n ln 2 pi) / 2 with r = z - mu, a = K^-1 r; gradient:
        -tr((K^-1 - a a') dK) / 2 (Rasmussen & Williams 2006, eq. 2.30, 5.9).
        """
        d, n, values = self.columns.n_scales, self.z.size, np.exp(theta)
        inverse_square = values[:d] ** -2.0
        signal, noise, trend = values[d], values[d + 1], values[d + 2 :]
        correlation, slope = matern52_and_slope(inverse_square @ self._gaps)
        own = np.full(n, signal + noise)
        below = signal * correlation
        if trend.size:
            below += trend @ self._trend
            own += trend @ self._own_trend
        covariance = np.zeros((n, n))
        flat = covariance.reshape(-1)
        flat[self._pairs] = below
        flat[:: n + 1] = own
        try:
            factor, _ = cholesky(covariance)
        except np.linalg.LinAlgError:
            return -math.inf, np.zeros_like(theta)
        mean, weights = profile(factor, self.z)
        value = -0.5 * float((self.z - mean) @ weights)
        value -= float(np.log(factor.diagonal()).sum()) + 0.5 * n * math.log(2 * math.pi)
        inverse = lower_inverse(factor)
        w_own = inverse.diagonal() - weights * weights
        w = inverse[self._i, self._j] - weights[self._i] * weights[self._j]
        lengths = -2.0 * signal * inverse_square * (self._gaps @ (w * slope))
        gradient = np.empty_like(theta)
        gradient[:d] = 2.0 * lengths
        gradient[d] = signal * (2.0 * float(w @ correlation) + float(w_own.sum()))
        gradient[d + 1] = noise * float(w_own.sum())
        if trend.size:
            gradient[d + 2 :] = trend * (2.0 * (self._trend @ w) + self._own_trend @ w_own)
        return value, -0.5 * gradient


def profile(factor: Array, z: Array) -> tuple[float, Array]:
    """Mean by generalised least squares, and a = K^-1 (z - mean).

    Args:
        factor: Cholesky factor of K, shape (n, n).
        z: targets, shape (n,).

    Returns:
        mu = 1'K^-1 z / 1'K^-1 1 (Rasmussen & Williams 2006, eq. 2.42 with a constant and a vague
        prior), and the weights, shape (n,).
    """
    both = cho_solve((factor, True), np.column_stack([z, np.ones_like(z)]), check_finite=False)
    mean = float(both[:, 0].sum() / both[:, 1].sum())
    return mean, both[:, 0] - mean * both[:, 1]


class _Guarded:
    """A `LogPosterior` for L-BFGS-B: a failed factor is a step to reject, never infinity."""

    def __init__(self, function: LogPosterior) -> None:
        self._function = function
        self._last = 0.0

    def __call__(self, theta: Array) -> tuple[float, Array]:
        value, gradient = self._function(theta)
        if not (math.isfinite(value) and np.all(np.isfinite(gradient))):
            return self._last + 1e3, np.zeros_like(theta)
        self._last = value
        return value, gradient


def maximise(
    function: LogPosterior, starts: Sequence[Hyper], doubtful: Sequence[Hyper] = ()
) -> tuple[Hyper, float]:
    """The best local maximum of the posterior over some starts; earlier starts win ties.

    Args:
        function: minus the log posterior.
        starts: where to start.
        doubtful: further starts, which win only by more than `CLEAR_LEAD` nats.

    Returns:
        The hyper-parameters and minus their log posterior (up to the priors' constants).

    Raises:
        np.linalg.LinAlgError: no start has a finite posterior.
    """
    d = function.columns.n_scales
    best: tuple[float, Array] | None = None
    leads = [1e-9] * len(starts) + [CLEAR_LEAD] * len(doubtful)
    for start, lead in zip((*starts, *doubtful), leads, strict=True):
        theta = to_theta(start)
        limits = _bounds(d, theta.size)
        theta = np.clip(theta, limits[:, 0], limits[:, 1])
        found = minimize(
            _Guarded(function),
            theta,
            jac=True,
            method="L-BFGS-B",
            bounds=limits,
            options={
                "maxiter": _MAX_ITERATIONS,
                "gtol": _GRADIENT_TOLERANCE,
                "ftol": _VALUE_TOLERANCE,
            },
        )
        value, _ = function(found.x)
        if math.isfinite(value) and (best is None or value < best[0] - lead):
            best = (value, found.x)
    if best is None:
        raise np.linalg.LinAlgError("no hyper-parameters have a finite posterior")
    return to_hyper(best[1], d), best[0]


def _bounds(d: int, size: int) -> Array:
    rows = [LENGTH_BOUNDS] * d + [SIGNAL_BOUNDS, NOISE_BOUNDS, TREND_BOUNDS, TREND_BOUNDS]
    return np.asarray(np.log(np.array(rows[:size], dtype=float)))
