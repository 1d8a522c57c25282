"""Targets as the Gaussian process sees them: plain, half-rank or soft, with penalised failures.

Plain targets are cut where a bad value lies far out. Half-rank ones keep the distances of the good
half and only the order of the bad half: values that span decades must not bend the length scales.
Neither wins everywhere, so the suggester uses both in turn. Soft ones are for noise: once most
points lie at one place the spread of the better half is that of the noise, and both other kinds
leave nothing of the slopes elsewhere, so bad values are compressed and never cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from .numerics import Array, standardise

PLAIN, HALF_RANK, SOFT = "plain", "half-rank", "soft"
FAR_OUT = 5.0
"""Plain targets are cut, soft ones bent, on the scale of so many times the distance from the lower
quartile to the median."""
FAILURE_PENALTY = 0.5
"""A failure counts as the worst value plus this share of the range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What the model is given.

    Attributes:
        z: standardised targets to minimise, failures included, shape (n,).
        is_ok: which of them are values rather than failures, shape (n,), bool.
        warp: name of the warp that was used: "plain", "half-rank", "soft", "rank" or "none".
    """

    z: Array
    is_ok: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    warp: str


def model_targets(y: Array, kind: str = HALF_RANK) -> Targets:
    """Standardised targets from raw ones.

    Args:
        y: values to minimise, shape (n,); NaN marks a failure.
        kind: `PLAIN`, `HALF_RANK` or `SOFT`.

    Returns:
        Zeros when there is nothing to tell apart; else mean 0 and sd 1 over all n.
    """
    is_ok = np.isfinite(y)
    if not is_ok.any():
        return Targets(z=np.zeros(y.size), is_ok=is_ok, warp="none")
    warped, name = _KINDS[kind](y[is_ok])
    low, high = float(warped.min()), float(warped.max())
    z = np.full(y.size, high + (FAILURE_PENALTY * (high - low) if high > low else 1.0))
    z[is_ok] = warped
    return Targets(z=standardise(z), is_ok=is_ok, warp=name)


def warp(y: Array) -> tuple[Array, str]:
    """Warped values and the warp's name.

    Args:
        y: finite values to minimise, shape (n,), n >= 1, of any magnitude.

    Returns:
        Values in the same order, shape (n,), of order 1. Half-rank, except where at least half of
        the values are the best one: then a rank warp, since the good half has no spread.
    """
    order = np.sort(y)
    if order[0] == order[-1]:
        return np.zeros(y.size), "none"
    middle = float(order[y.size // 2])
    scale = max(abs(float(order[0])), abs(middle), 1e-300)
    capped = np.minimum(y, middle) / scale
    median = 0.5 * (float(order[(y.size - 1) // 2]) / scale + middle / scale)
    is_worse = (y > middle) | (capped > median)
    depth = median - capped[~is_worse]
    deepest = float(depth.max())
    if deepest <= 1e-15 * max(abs(median), 1e-300):
        return _normal_ranks(y), "rank"
    spread = deepest * math.sqrt(float(np.mean((depth / deepest) ** 2)))
    return _half_rank(y, (capped - median) / spread, is_worse), "half-rank"


def plain(y: Array) -> tuple[Array, str]:
    """Standardised values with bad ones cut, and the warp's name.

    Args:
        y: finite values to minimise, shape (n,), n >= 1, of any magnitude.

    Returns:
        Values not above the median plus `FAR_OUT` times its distance from the lower quartile,
        shape (n,); a good value is never cut.
    """
    z = standardise(y)
    quartile, median = np.quantile(z, (0.25, 0.5))
    if median > quartile:
        z = np.minimum(z, median + FAR_OUT * (median - quartile))
    return z, PLAIN


def soft(y: Array) -> tuple[Array, str]:
    """Standardised values with bad ones compressed, and the warp's name.

    Args:
        y: finite values to minimise, shape (n,), n >= 1, of any magnitude.

    Returns:
        t below the median m; above it m + s ln(1 + (t - m) / s) of the standardised t, with s
        `FAR_OUT` times the distance from the lower quartile to the median: shape (n,).
    """
    z = standardise(y)
    quartile, median = np.quantile(z, (0.25, 0.5))
    if median > quartile:
        scale = FAR_OUT * (median - quartile)
        z = np.minimum(z, median) + scale * np.log1p(np.maximum(z - median, 0.0) / scale)
    return z, SOFT


def _half_rank(
    y: Array, distance: Array, is_worse: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> Array:
    """Half-rank: `distance` for the good half, normal quantiles of ranks for the worse (Vizier).

    A worse value becomes the quantile at 0.5 + 0.49 (rank - 0.5) / count of its rank among the
    worse ones; equal values stay equal (Song et al. 2024, arXiv 2408.11527).
    """
    out = distance.copy()
    ranks = rankdata(y[is_worse])
    out[is_worse] = ndtri(0.5 + 0.49 * (ranks - 0.5) / max(ranks.size, 1))
    return out


def _normal_ranks(y: Array) -> Array:
    return np.asarray(ndtri((rankdata(y) - 0.5) / y.size))


_KINDS: Mapping[str, Callable[[Array], tuple[Array, str]]] = MappingProxyType(
    {PLAIN: plain, HALF_RANK: warp, SOFT: soft}
)
