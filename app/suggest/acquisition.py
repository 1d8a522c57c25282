"""Acquisition functions on a Gaussian process: what a point promises, and its gradient.

Everything is in logarithms (Ament et al. 2023), so that the gradient lives where the plain
expected improvement has long underflowed. Values are to be maximised; targets are minimised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import log_ndtr

from .gp_model import GaussianProcess
from .gp_predict import Moments
from .numerics import LOG_SQRT_2PI, Array, dlog_h, log_h

MIN_LOG_PROBABILITY = math.log(1e-3)
"""The probability of success is never held to be lower: a model of failures may be wrong."""


class Acquisition(Protocol):
    """A function of feature rows to be maximised."""

    def value(self, x: Array) -> Array:
        """Values at rows (m, c), shape (m,)."""
        ...

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """Values (m,) and gradients by the features (m, c) at rows (m, c)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExpectedImprovement:
    """ln E max(best - f, 0) = ln h((best - mu) / s) + ln s (Jones et al. 1998; Ament et al. 2023).

    Attributes:
        gp: process of the target.
        best: incumbent value, in the targets' units.
        reference: None for the plain form. With noise, the row x* of the lowest posterior mean:
            then `best` is its mean and s is that of the difference f(x) - f(x*), the corrected
            noisy form (Zhou et al. 2023, arXiv 2310.05166).
    """

    gp: GaussianProcess
    best: float
    reference: int | None = None

    def value(self, x: Array) -> Array:
        """Values at rows (m, c), shape (m,)."""
        mean, sd = self.gp.predictor.mean_and_sd(x, self.reference)
        return np.asarray(log_h((self.best - mean) / sd) + np.log(sd))

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """Values (m,), gradients (m, c): (h'/h) (-dmu/s - z ds/s) + ds/s."""
        at = self.gp.predictor.moments(x, self.reference)
        z = (self.best - at.mean) / at.sd
        slope = dlog_h(z)[:, None]
        ds = at.dsd / at.sd[:, None]
        gradient = slope * (-at.dmean / at.sd[:, None] - z[:, None] * ds) + ds
        return log_h(z) + np.log(at.sd), gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProbabilityBelow:
    """ln P(f < threshold), not below ln 1e-3: a factor for success or a constraint (Gardner 2014).

    Attributes:
        gp: process of the quantity that has to stay below.
        threshold: in the units of its targets.
    """

    gp: GaussianProcess
    threshold: float

    def value(self, x: Array) -> Array:
        """Values at rows (m, c), shape (m,)."""
        mean, sd = self.gp.predictor.mean_and_sd(x)
        return np.asarray(np.maximum(log_ndtr((self.threshold - mean) / sd), MIN_LOG_PROBABILITY))

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """Values (m,), gradients (m, c); zero gradient on the floor."""
        at = self.gp.predictor.moments(x)
        z = (self.threshold - at.mean) / at.sd
        value = log_ndtr(z)
        kept = np.maximum(z, -40.0)
        hazard = np.exp(-0.5 * kept * kept - LOG_SQRT_2PI - log_ndtr(kept))[:, None]
        gradient = hazard * (-at.dmean - z[:, None] * at.dsd) / at.sd[:, None]
        is_floored = (value < MIN_LOG_PROBABILITY)[:, None]
        return np.maximum(value, MIN_LOG_PROBABILITY), np.where(is_floored, 0.0, gradient)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Sum of acquisition functions: the logarithm of the product of what they stand for."""

    parts: tuple[Acquisition, ...]

    def value(self, x: Array) -> Array:
        """Values at rows (m, c), shape (m,)."""
        total = self.parts[0].value(x)
        for part in self.parts[1:]:
            total = total + part.value(x)
        return total

    def value_and_gradient(self, x: Array) -> tuple[Array, Array]:
        """Values (m,), gradients (m, c)."""
        value, gradient = self.parts[0].value_and_gradient(x)
        for part in self.parts[1:]:
            more, slope = part.value_and_gradient(x)
            value, gradient = value + more, gradient + slope
        return value, gradient


def moments(gp: GaussianProcess, x: Array, reference: int | None = None) -> Moments:
    return gp.predictor.moments(x, reference)


def mean_and_sd(gp: GaussianProcess, x: Array, reference: int | None = None) -> tuple[Array, Array]:
    return gp.predictor.mean_and_sd(x, reference)
