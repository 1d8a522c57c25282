"""Logarithm of the expected hypervolume improvement for two and three objectives, exact.

Independent normal posteriors; what the front leaves open is a union of disjoint boxes (l, u], and

    EHVI(x) = sum over boxes of prod_j (EI_j(u_j) - EI_j(l_j)),  EI_j(c) = s_j h((c - mu_j) / s_j)

with h(z) = phi(z) + z Phi(z) and EI_j(-inf) = 0 (Emmerich, Yang et al. 2016, eq. 14; Yang et al.
2019, arXiv 1904.12672, eq. 18; boxes: Lacour et al. 2017, arXiv 1510.01963). Everything is in
logarithms (Ament et al. 2023, arXiv 2310.20708), so the gradient lives where EHVI underflows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, logsumexp, softmax

from .acquisition import mean_and_sd, moments
from .boxes import Boxes
from .gp_model import GaussianProcess
from .numerics import LOG_SQRT_2PI, Array, log1mexp, log_h, log_h_tail
from .pareto import is_non_dominated
from .parzen import log_mass

_NARROW = 2e-2
"""Narrower than this, relative to max(1, |z|), an interval is its middle and a correction."""
REFERENCE_QUANTILE = 0.9
"""Share of the values known that lie within the reference point, objective by objective."""
_CHUNK = 200_000
"""Elements (rows x boxes x objectives) of one step of a large evaluation."""


def log_h_difference(upper: Array, width: Array) -> Array:
    """ln(h(upper) - h(upper - width)), elementwise, without cancellation.

    The difference is the integral of Phi over the interval. Wide intervals with their middle at or
    below 0 take ln h(u) + ln(1 - e^delta), delta = ln h(l) - ln h(u) from the difference of
    squares; those above 0 are mirrored by h(z) = z + h(-z); narrow ones take the middle m and the
    series w Phi(m) - w^3 m phi(m) / 24 + w^5 (3 m - m^3) phi(m) / 1920.

    Args:
        upper: finite, of any shape.
        width: positive, may be infinite, of a shape that broadcasts with `upper`.

    Returns:
        The broadcast shape; relative error of the difference below 1e-10.
    """
    upper, width = np.broadcast_arrays(upper, width)
    finite = np.minimum(width, 1e100)
    middle = upper - 0.5 * finite
    is_right = middle > 0.0
    # Mirrored: the interval (-upper, width - upper] in the place of (upper - width, upper].
    top = np.where(is_right, finite - upper, upper)
    left = log_h(top) + log1mexp(np.minimum(_log_h_step(top, finite), -1e-300))
    gap = np.minimum(left - np.log(finite), -1e-300)
    wide = np.where(is_right, np.log(finite) + log1mexp(gap), left)
    is_narrow = finite * np.maximum(1.0, np.abs(middle)) < _NARROW
    if not is_narrow.any():
        return wide
    m, w = np.where(is_narrow, middle, 0.0), np.where(is_narrow, finite, _NARROW)
    below = log_ndtr(m)
    hazard = np.exp(np.minimum(-0.5 * m * m - LOG_SQRT_2PI - below, 350.0))
    square = w * w
    bend = -m * square / 24.0 + (3.0 * m - m**3) * square * square / 1920.0
    narrow = np.log(w) + below + np.log1p(hazard * bend)
    return np.where(is_narrow, narrow, wide)


def _log_h_step(top: Array, width: Array) -> Array:
    """ln h(top - width) - ln h(top), elementwise; the squares in both are subtracted exactly."""
    low = top - width
    is_far = top <= -1.0
    a, b = np.clip(low, -1e100, -1.0), np.clip(top, -1e100, -1.0)
    far = 0.5 * width * (a + b) + log_h_tail(a) - log_h_tail(b)
    return np.where(is_far, far, log_h(low) - log_h(top))


def log_density_difference(upper: Array, width: Array) -> tuple[Array, Array]:
    """phi(upper) - phi(upper - width) as the logarithm of its magnitude and its sign."""
    upper, width = np.broadcast_arrays(upper, width)
    finite = np.minimum(width, 1e100)
    low = upper - finite
    half = 0.5 * finite * np.abs(upper + low)
    nearest = np.where(np.abs(upper) < np.abs(low), upper, low)
    with np.errstate(divide="ignore"):
        size = -0.5 * nearest * nearest - LOG_SQRT_2PI + np.log(-np.expm1(-half))
    return size, -np.sign(upper + low)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExpectedHypervolumeImprovement:
    """ln EHVI over the boxes that a front leaves open.

    Attributes:
        gps: one process an objective, in the order of the boxes' columns.
        boxes: b disjoint boxes in the processes' units.
    """

    gps: tuple[GaussianProcess, ...]
    boxes: Boxes

    def value(self, x: Array) -> Array:
        """Values at rows (q, c), shape (q,)."""
        pairs = [mean_and_sd(gp, x) for gp in self.gps]
        mean = np.column_stack([pair[0] for pair in pairs])
        sd = np.column_stack([pair[1] for pair in pairs])
        out = np.empty(x.shape[0])
        step = max(1, _CHUNK // self.boxes.upper.size)
        for low in range(0, x.shape[0], step):
            rows = slice(low, low + step)
            z, width = self._edges(mean[rows], sd[rows])
            terms = log_h_difference(z, width) + np.log(sd[rows])[:, None, :]
            out[rows] = logsumexp(terms.sum(axis=2), axis=1)
        return out

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """Values (q,), gradients (q, c).

        With D_j = ln(EI_j(u) - EI_j(l)) of a box: dD_j/dmu_j = -(Phi(u) - Phi(l)) / e^D_j and
        dD_j/ds_j = (phi(u) - phi(l)) / e^D_j at the scaled edges; boxes weigh as their shares.
        """
        at = [moments(gp, x) for gp in self.gps]
        mean, sd = (np.column_stack([getattr(m, name) for m in at]) for name in ("mean", "sd"))
        z, width = self._edges(mean, sd)
        difference = log_h_difference(z, width)
        total = (difference + np.log(sd)[:, None, :]).sum(axis=2)
        share = softmax(total, axis=1)[:, :, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            mass = np.exp(log_mass(z - width, z) - difference)
        size, sign = log_density_difference(z, width)
        by_mean = -(share * mass).sum(axis=1) / sd
        by_sd = (share * sign * np.exp(size - difference)).sum(axis=1) / sd
        gradient = np.zeros_like(x)
        for j, m in enumerate(at):
            gradient += by_mean[:, j, None] * m.dmean + by_sd[:, j, None] * m.dsd
        return np.asarray(logsumexp(total, axis=1)), gradient

    def _edges(self, mean: Array, sd: Array) -> tuple[Array, Array]:
        """Scaled upper edges and widths of the boxes, both (q, b, m), for moments (q, m)."""
        scale = sd[:, None, :]
        z = (self.boxes.upper - mean[:, None, :]) / scale
        return z, (self.boxes.upper - self.boxes.lower) / scale


def front_rows(values: Array) -> Array:
    """The distinct non-dominated rows of values to minimise: (n, m) -> (k, m), sorted."""
    rows = np.unique(values, axis=0)
    return np.asarray(rows[is_non_dominated(rows)])


def reference_of(front: Array, values: Array) -> Array:
    """A reference point, shape (m,): a tenth of the front's range beyond its worst values, and no
    nearer than nearly the worst value seen.

    A young front is short: were its ends the whole of what counts, it would never grow beyond.

    Args:
        front: shape (k, m), k >= 1.
        values: all values known, shape (n, m), n >= 1.
    """
    worst = front.max(axis=0)
    beyond = worst + 0.1 * np.maximum(worst - front.min(axis=0), 1e-6)
    return np.asarray(np.maximum(beyond, np.quantile(values, REFERENCE_QUANTILE, axis=0)))
