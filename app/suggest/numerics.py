"""Numerically exact building blocks of the Gaussian process suggester.

Logarithms of small expected improvements, the Matern kernel and its derivative, scaling that
survives any finite float, and a Cholesky factor with a ladder of jitters. Nothing here knows of
studies or trials.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.special import erfcx, ndtr

Array: TypeAlias = NDArray[np.float64]

LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_SQRT_HALF_PI = 0.5 * math.log(0.5 * math.pi)
_SQRT_HALF_PI = math.sqrt(0.5 * math.pi)
_SQRT_HALF = math.sqrt(0.5)
_HUGE = 1e100
_FAR = -1e6
"""Below this, 1 - |z| R(|z|) is 1 / z^2 to double precision."""
_SERIES = -100.0
"""Below this, the asymptotic series of Phi / h is exact to 1e-11."""
JITTERS = (0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)
"""Shares of the mean diagonal that `cholesky` adds, one after another."""


def log1mexp(w: Array) -> Array:
    """ln(1 - e^w) for w < 0, elementwise (Maechler 2012, two regimes that meet at -ln 2)."""
    w = np.asarray(w, dtype=float)
    with np.errstate(divide="ignore"):
        return np.where(w > -math.log(2.0), np.log(-np.expm1(w)), np.log1p(-np.exp(w)))


def log_h(z: Array) -> Array:
    """ln(phi(z) + z Phi(z)), elementwise: expected improvement for unit sd (Ament et al. 2023, eq.
    9).

    Args:
        z: any shape; magnitudes above 1e100 are cut to it.

    Returns:
        Same shape; relative error below 1e-14 from -1e8 to 1e8.
    """
    z = np.clip(np.asarray(z, dtype=float), -_HUGE, _HUGE)
    near = np.maximum(z, -1.0)
    mild = np.log(np.exp(-0.5 * near * near - LOG_SQRT_2PI) + near * ndtr(near))
    far = np.minimum(z, -1.0)
    return np.where(z > -1.0, mild, -0.5 * far * far - LOG_SQRT_2PI + log_h_tail(far))


def log_h_tail(z: Array) -> Array:
    """ln(h(z) / phi(z)) for -1e100 <= z <= -1, elementwise: what `log_h` adds to ln phi(z)."""
    t = -np.maximum(z, _FAR)
    w = np.log(t * erfcx(t * _SQRT_HALF)) + _LOG_SQRT_HALF_PI
    return np.where(z > _FAR, log1mexp(np.minimum(w, -1e-300)), -2.0 * np.log(-z))


def dlog_h(z: Array) -> Array:
    """d log_h / dz = Phi(z) / h(z), elementwise.

    Args:
        z: any shape; magnitudes above 1e100 are cut to it.

    Returns:
        Same shape, positive; relative error below 1e-11.
    """
    z = np.clip(np.asarray(z, dtype=float), -_HUGE, _HUGE)
    right = np.maximum(z, 0.0)
    phi = np.exp(-0.5 * right * right - LOG_SQRT_2PI)
    big = ndtr(right) / (phi + right * ndtr(right))
    left = np.clip(z, _SERIES, 0.0)
    ratio = _SQRT_HALF_PI * erfcx(-left * _SQRT_HALF)
    t = -np.minimum(z, _SERIES)
    series = t + 2.0 / t - 6.0 / t**3 + 36.0 / t**5
    return np.where(z > 0.0, big, np.where(z > _SERIES, ratio / (1.0 + left * ratio), series))


def matern52(r2: Array) -> Array:
    """Matern 5/2 correlation of a squared scaled distance (Rasmussen & Williams 2006, eq. 4.17)."""
    r = np.sqrt(5.0 * r2)
    return np.asarray((1.0 + r + r * r / 3.0) * np.exp(-r))


def matern52_and_slope(r2: Array) -> tuple[Array, Array]:
    """The correlation and its derivative by r2; finite at 0, since sqrt is never differentiated."""
    r = np.sqrt(5.0 * r2)
    e = np.exp(-r)
    return (1.0 + r + r * r / 3.0) * e, (-5.0 / 6.0) * (1.0 + r) * e


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances, exact 0 for equal rows where it matters.

    Args:
        a: rows, shape (n, d), of order 1.
        b: rows, shape (m, d).

    Returns:
        Shape (n, m), never negative. Small problems are summed from differences, larger ones from
        the expanded square, whose error is about 1e-16 times the squared norm.
    """
    if a.shape[0] * b.shape[0] * a.shape[1] <= 20_000:
        return np.asarray(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    out = a @ (-2.0 * b.T)
    out += np.einsum("ij,ij->i", a, a)[:, None]
    out += np.einsum("ij,ij->i", b, b)[None, :]
    return np.maximum(out, 0.0, out=out)


def cholesky(matrix: Array) -> tuple[Array, float]:
    """Lower factor of a symmetric positive definite matrix, with jitter if it needs some.

    Args:
        matrix: shape (n, n); it is not changed.

    Returns:
        The factor with a zero upper triangle, shape (n, n), and the jitter that was added to the
        diagonal.

    Raises:
        np.linalg.LinAlgError: not positive definite even with the largest jitter, or not finite.
    """
    scale = float(np.mean(np.diag(matrix))) if matrix.size else 0.0
    if not math.isfinite(scale) or not np.all(np.isfinite(matrix)):
        raise np.linalg.LinAlgError("the matrix has values that are not finite")
    for share in JITTERS:
        jitter = share * scale
        factor, info = lapack.dpotrf(
            matrix + jitter * np.eye(matrix.shape[0]) if jitter else matrix, lower=1, clean=1
        )
        if info == 0:
            return factor, jitter
    raise np.linalg.LinAlgError("the matrix is not positive definite")


def lower_inverse(factor: Array) -> Array:
    """Lower triangle of the inverse of L L', shape (n, n), zeros above."""
    inverse, _ = lapack.dpotri(factor, lower=1)
    return np.asarray(inverse)


def inverse_from_cholesky(factor: Array) -> Array:
    """Inverse of L L', shape (n, n), symmetric."""
    inverse = lower_inverse(factor)
    # The upper triangle is zero and stays so: add the mirror image, with the diagonal only once.
    diagonal = np.diag(inverse).copy()
    full: Array = np.ascontiguousarray(inverse + inverse.T)
    full.flat[:: full.shape[0] + 1] = diagonal
    return full


def standardise(values: Array) -> Array:
    """Values with mean 0 and standard deviation 1; all zeros when they are (nearly) all equal.

    Args:
        values: shape (n,), finite; magnitudes from 1e-300 to 1e300 neither overflow nor vanish.

    Returns:
        Shape (n,).
    """
    if values.size == 0:
        return values.astype(float)
    largest = float(np.max(np.abs(values)))
    if largest == 0.0:
        return np.zeros(values.shape)
    scaled = values / largest
    centred = scaled - scaled.mean()
    sd = float(np.sqrt(np.mean(centred * centred)))
    if sd <= 1e-14:
        return np.zeros(values.shape)
    return np.asarray(centred / sd)
