"""Processes of outcomes: targets of several objectives, constraints, failures.

Each constraint has a process of its own on its excess over the threshold, and enters as
sum_c ln Phi((t_c - mu_c) / s_c) (Gardner et al. 2014; Gelbart et al. 2014, eq. 9). The excess is
warped by the bilog transform, which keeps the threshold at 0 and is finest there (Eriksson &
Poloczek 2021, arXiv 2002.08526, section 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import erfcx, log_ndtr

from .acquisition import LogProbabilityBelow, mean_and_sd, moments
from .gp_kernel import Columns
from .gp_model import GaussianProcess
from .gp_training import MIN_FAILURES
from .numerics import Array, standardise
from .warp import FAILURE_PENALTY

_FAR_OUT = 5.0
"""A value is far out so many times the distance of median and lower quartile beyond the median."""
_SAME = 1e-9
"""Standardised columns that differ by less are one and the same constraint."""
_MIN_COMPARED = 4
"""From so many values on two constraints can be held to be the same."""
_SCALE = float(np.sqrt(2.0 / np.pi))
_SQRT_HALF = float(np.sqrt(0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A process with the targets that it was given.

    Attributes:
        gp: the process.
        z: standardised targets, shape (n,); failures have a penalty.
    """

    gp: GaussianProcess
    z: Array


def unwarped_targets(y: Array, front: Array) -> Array:
    """Standardised targets of one of several objectives, shape (n,).

    Volumes need distances, so nothing is warped; but a value beyond all of the front and far out
    is cut, lest it flatten the rest. Failures get the worst value plus half the range.

    Args:
        y: values to minimise, shape (n,), NaN for failures.
        front: the front's values, shape (k,), k >= 1.
    """
    ok = np.isfinite(y)
    scale = float(np.max(np.abs(y[ok]))) or 1.0
    v = y[ok] / scale
    quarter, middle = np.quantile(v, [0.25, 0.5])
    top = max(middle + _FAR_OUT * (middle - quarter), float(front.max()) / scale)
    v = np.minimum(v, top) if top > v.min() else v
    out = np.full(y.size, v.max() + FAILURE_PENALTY * ((v.max() - v.min()) or 1.0))
    out[ok] = v
    return standardise(out)


def fitted(x: Array, z: Array, columns: Columns) -> Fitted:
    """The fitted process of targets (n,) at features (n, c), with a trend where n allows one.

    Raises:
        np.linalg.LinAlgError: no covariance could be factored.
    """
    d = int(columns.is_numeric.sum())
    has_trend = d > 0 and x.shape[0] >= 2 * d + 2
    return Fitted(gp=GaussianProcess.fit(x, z, columns=columns, has_trend=has_trend), z=z)


def success(
    x: Array, failed: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], columns: Columns
) -> LogProbabilityBelow | None:
    """ln P(success) from the labels 0 and 1; None with fewer than `MIN_FAILURES` failures."""
    if failed.sum() < MIN_FAILURES or failed.all():
        return None
    share = float(failed.mean())
    sd = math.sqrt(share * (1.0 - share))
    gp = GaussianProcess.fit(x, (failed.astype(float) - share) / sd, columns=columns)
    return LogProbabilityBelow(gp=gp, threshold=(0.5 - share) / sd)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFeasibility:
    """ln P(f <= threshold) = ln Phi((t - mu) / s), without a floor: it leads back from far outside.

    Attributes:
        gp: process of the warped excess of a constraint.
        threshold: the constraint's threshold in the units of its targets.
    """

    gp: GaussianProcess
    threshold: float

    def value(self, x: Array) -> Array:
        """Values at rows (q, c), shape (q,)."""
        mean, sd = mean_and_sd(self.gp, x)
        return np.asarray(log_ndtr((self.threshold - mean) / sd))

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """Values (q,), gradients (q, c): phi(z)/Phi(z) = sqrt(2/pi) / erfcx(-z/sqrt 2) times dz."""
        at = moments(self.gp, x)
        z = (self.threshold - at.mean) / at.sd
        with np.errstate(over="ignore"):
            hazard = _SCALE / erfcx(-z * _SQRT_HALF)
        by_feature = -(at.dmean + z[:, None] * at.dsd) / at.sd[:, None]
        return log_ndtr(z), hazard[:, None] * by_feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """Targets of one constraint.

    Attributes:
        z: standardised bilog of the excess, shape (n,).
        threshold: where an excess of 0 lies among them.
    """

    z: Array
    threshold: float


def bounded_targets(excess: Array) -> Bounded:
    """Standardised bilog of an excess (n,), finite, n >= 1: sign(e) ln(1 + |e| / median |e|)."""
    size = np.abs(excess)
    largest = float(size.max()) or 1.0
    scale = largest * float(np.median(size / largest)) or largest
    with np.errstate(over="ignore"):
        warped = np.sign(excess) * np.log1p(np.minimum(size / scale, 1e300))
    mean, sd = float(warped.mean()), float(warped.std())
    if sd <= 1e-12 * max(abs(mean), 1.0):
        return Bounded(z=np.zeros(excess.size), threshold=float(-np.sign(mean)))
    return Bounded(z=(warped - mean) / sd, threshold=-mean / sd)


def feasibility(x: Array, excess: Array, columns: Columns) -> LogFeasibility:
    """The fitted part of one constraint.

    Args:
        x: features, shape (n, c), n >= 1.
        excess: how far the constraint is exceeded at them, shape (n,), finite.
        columns: what the features are.

    Raises:
        np.linalg.LinAlgError: no covariance could be factored.
    """
    targets = bounded_targets(excess)
    gp = GaussianProcess.fit(x, targets.z, columns=columns)
    return LogFeasibility(gp=gp, threshold=targets.threshold)


def distinct_constraints(excess: Array) -> list[int]:
    """The constraints to model: of those that measure the same thing the strictest alone.

    Two constraints are the same when one excess is a positive multiple of the other plus a
    constant: independent processes would count their one probability twice.

    Args:
        excess: shape (n, c), NaN where a trial has no value.

    Returns:
        Columns in ascending order, without those that have no value.
    """
    kept: list[int] = []
    for k in range(excess.shape[1]):
        if not np.isfinite(excess[:, k]).any():
            continue
        rival = next((j for j in kept if _are_same(excess[:, j], excess[:, k])), None)
        if rival is None:
            kept.append(k)
        elif _margin(excess[:, k]) > _margin(excess[:, rival]):
            kept[kept.index(rival)] = k
    return sorted(kept)


def _are_same(a: Array, b: Array) -> bool:
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if a.size < _MIN_COMPARED:
        return a.size > 0 and bool(np.array_equal(a, b))
    left, right = _unit(a), _unit(b)
    return bool(np.max(np.abs(left - right)) < _SAME) and bool(np.any(left != 0.0))


def _unit(a: Array) -> Array:
    """Centred and of largest magnitude 1; zeros for a constant."""
    largest = float(np.max(np.abs(a))) or 1.0
    centred = a / largest - float(np.mean(a / largest))
    return np.asarray(centred / (float(np.max(np.abs(centred))) or 1.0))


def _margin(a: Array) -> float:
    """Mean excess in units of its spread: the larger, the stricter of two that are the same."""
    known = a[np.isfinite(a)]
    largest = float(np.max(np.abs(known))) or 1.0
    scaled = known / largest
    return float(scaled.mean()) / (float(scaled.max() - scaled.min()) or 1.0)
