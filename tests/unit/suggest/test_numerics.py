"""Numerical building blocks against 60 digits and more."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from app.suggest.numerics import (
    cholesky,
    dlog_h,
    inverse_from_cholesky,
    log1mexp,
    log_h,
    matern52,
    matern52_and_slope,
    squared_distances,
    standardise,
)

POINTS = [50.0, 5.0, 0.5, 0.0, -0.5, -0.999, -1.001, -2.0, -5.0, -10.0, -25.0, -37.5, -99.9]
POINTS += [-100.1, -1e3, -1e4, -1e5, -9.99e5, -1.01e6, -1e7, -1e8]


def _exact(z: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    """ln h and Phi / h with enough digits, the Mills ratio by its continued fraction far out."""
    with mpmath.workdps(120):
        point = mpmath.mpf(z)
        log_phi = -point * point / 2 - mpmath.log(2 * mpmath.pi) / 2
        if z > -30:
            mills = mpmath.erfc(-point / mpmath.sqrt(2)) / 2 / mpmath.exp(log_phi)
        else:
            mills = mpmath.mpf(0)
            for k in range(300, 0, -1):
                mills = k / (-point + mills)
            mills = 1 / (-point + mills)
        rest = 1 + point * mills
        return log_phi + mpmath.log(rest), mills / rest


@pytest.mark.parametrize("z", POINTS)
def test_log_h_is_exact_in_every_regime(z: float) -> None:
    value, _ = _exact(z)
    got = float(log_h(np.array(z)))
    assert abs(got - value) <= 1e-15 * max(abs(value), 0.2)


@pytest.mark.parametrize("z", POINTS)
def test_the_derivative_of_log_h_is_exact_in_every_regime(z: float) -> None:
    _, slope = _exact(z)
    assert abs(float(dlog_h(np.array(z))) - slope) <= 1e-11 * slope


@pytest.mark.parametrize("seam", [-1.0, -100.0, -1e6, 0.0])
def test_log_h_rises_through_its_seams(seam: float) -> None:
    z = seam + max(abs(seam), 1.0) * np.linspace(-1e-6, 1e-6, 101)
    assert np.all(np.diff(log_h(z)) > 0)
    assert np.all(np.diff(dlog_h(z)) <= 1e-9 * max(abs(seam), 1.0))


def test_log_h_takes_any_magnitude() -> None:
    got = log_h(np.array([-1e300, -1e120, 1e120, 1e300]))
    assert np.all(np.isfinite(got))


@pytest.mark.parametrize("w", [-1e-300, -1e-17, -1e-8, -0.5, -0.7, -5.0, -40.0, -700.0])
def test_log1mexp_is_exact(w: float) -> None:
    with mpmath.workdps(350):
        exact = mpmath.log(1 - mpmath.exp(mpmath.mpf(w)))
    assert float(log1mexp(np.array(w))) == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("r2", [0.0, 1e-8, 0.2, 1.0, 30.0])
def test_the_matern_slope_agrees_with_finite_differences(r2: float) -> None:
    step = 1e-6 * max(r2, 1e-3)
    low, high = max(r2 - step, 0.0), r2 + step
    values = matern52(np.array([low, high]))
    value, slope = matern52_and_slope(np.array([r2]))
    assert value[0] == pytest.approx(float(matern52(np.array([r2]))[0]), rel=1e-15)
    assert slope[0] == pytest.approx((values[1] - values[0]) / (high - low), rel=2e-4, abs=1e-9)


@pytest.mark.parametrize("n", [10, 200])
def test_squared_distances_are_those_of_the_differences(n: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((n, 6)), rng.random((n, 6))
    b[:5] = a[:5] + 1e-9
    exact = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    got = squared_distances(a, b)
    assert np.all(got >= 0.0)
    np.testing.assert_allclose(got, exact, atol=1e-14)


def test_cholesky_mends_a_singular_matrix_with_jitter() -> None:
    factor, jitter = cholesky(np.ones((50, 50)))
    assert 0.0 < jitter <= 1e-4
    np.testing.assert_allclose(factor @ factor.T, np.ones((50, 50)), atol=1e-3)


def test_cholesky_of_a_good_matrix_adds_nothing_and_inverts() -> None:
    rng = np.random.default_rng(1)
    root = rng.random((20, 20))
    matrix = root @ root.T + np.eye(20)
    factor, jitter = cholesky(matrix)
    assert jitter == 0.0
    np.testing.assert_allclose(inverse_from_cholesky(factor) @ matrix, np.eye(20), atol=1e-10)


@pytest.mark.parametrize(
    "matrix", [-np.eye(3), np.array([[1.0, math.nan], [math.nan, 1.0]]), np.full((2, 2), math.inf)]
)
def test_cholesky_refuses_what_no_jitter_mends(matrix: np.ndarray) -> None:
    with pytest.raises(np.linalg.LinAlgError):
        cholesky(matrix)


@pytest.mark.parametrize("scale", [1e300, 1.0, 1e-300])
def test_standardising_survives_any_magnitude(scale: float) -> None:
    got = standardise(np.array([1.0, 2.0, 3.0, 4.0]) * scale)
    assert got.mean() == pytest.approx(0.0, abs=1e-12)
    assert got.std() == pytest.approx(1.0)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [3.3, 3.3, 3.3], [1e300, 1e300]])
def test_standardising_constants_gives_zeros(values: list[float]) -> None:
    assert np.all(standardise(np.array(values)) == 0.0)
