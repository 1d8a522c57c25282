"""Delicate helpers against high precision at random arguments, not only at chosen ones."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from app.suggest.numerics import dlog_h, log_h, matern52, matern52_and_slope
from app.suggest.parzen import (
    FLOOR,
    Column,
    EvenGrid,
    Mixture,
    bandwidths,
    log_mass,
    truncated_normal,
)

N = 60


def _exact_h(z: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    """ln h and Phi / h; h = phi + z Phi loses twice the digits of z^2, so there are plenty."""
    point = mpmath.mpf(z)
    log_phi = -point * point / 2 - mpmath.log(2 * mpmath.pi) / 2
    mass = mpmath.erfc(-point / mpmath.sqrt(2)) / 2
    h = mpmath.exp(log_phi) + point * mass
    return mpmath.log(h), mass / h


@pytest.mark.parametrize(("low", "high"), [(-1.2, 8.0), (-40.0, -0.8), (-130.0, -70.0)])
def test_log_h_and_its_derivative(low: float, high: float) -> None:
    z = np.random.default_rng(0).uniform(low, high, N)
    value, slope = log_h(z), dlog_h(z)
    with mpmath.workdps(60):
        for k in range(N):
            exact, exact_slope = _exact_h(float(z[k]))
            assert abs(value[k] - exact) <= 2e-15 * max(1.0, abs(exact))
            assert abs(slope[k] - exact_slope) <= 1e-11 * exact_slope


def test_the_derivative_of_log_h_is_the_slope_of_log_h() -> None:
    with mpmath.workdps(60):
        for z in (-50.0, -3.0, -1.0, -0.2, 0.0, 2.5):
            slope = mpmath.diff(lambda t: _exact_h(t)[0], mpmath.mpf(z))
            assert float(dlog_h(np.array(z))) == pytest.approx(float(slope), rel=1e-11)


def test_matern_and_its_slope() -> None:
    r2 = 10.0 ** np.random.default_rng(1).uniform(-18.0, 3.0, N)
    plain, (value, slope) = matern52(r2), matern52_and_slope(r2)
    with mpmath.workdps(50):
        for k in range(N):
            r = mpmath.sqrt(5 * mpmath.mpf(float(r2[k])))
            exact = (1 + r + r * r / 3) * mpmath.exp(-r)
            exact_slope = -mpmath.mpf(5) / 6 * (1 + r) * mpmath.exp(-r)
            assert float(abs(plain[k] / exact - 1)) <= 1e-13
            assert float(abs(value[k] / exact - 1)) <= 1e-13
            assert float(abs(slope[k] / exact_slope - 1)) <= 1e-13


def _mass(a: float, b: float) -> mpmath.mpf:
    """Phi(b) - Phi(a) in the tail where it loses least."""
    root = mpmath.sqrt(2)
    if a > 0:
        return (mpmath.erfc(a / root) - mpmath.erfc(b / root)) / 2
    return (mpmath.erfc(-mpmath.mpf(b) / root) - mpmath.erfc(-mpmath.mpf(a) / root)) / 2


def _intervals(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = rng.uniform(-40.0, 40.0, n)
    return a, a + 10.0 ** rng.uniform(-9.0, 2.0, n)


def test_log_normal_mass() -> None:
    a, b = _intervals(2, 4 * N)
    found = log_mass(a, b)
    with mpmath.workdps(50):
        for k in range(a.size):
            exact = mpmath.log(_mass(float(a[k]), float(b[k])))
            # Ends that are off by an ulp change a narrow interval by so much.
            width = float(b[k] - a[k])
            slack = 4e-16 * max(1.0, abs(float(a[k]))) / width
            assert abs(found[k] - exact) <= 2e-12 * max(1.0, abs(exact)) + slack


def test_truncated_draws_are_quantiles() -> None:
    """The mass below a draw is its level, wherever in the range a kernel's centre lies."""
    rng = np.random.default_rng(4)
    sd = 10.0 ** rng.uniform(math.log10(FLOOR), 0.0, N)
    mu = np.concatenate([[0.0, 1.0], rng.random(N - 2)])
    a, b, q = -mu / sd, (1.0 - mu) / sd, rng.random(N)
    x = truncated_normal(q, a, b)
    assert np.all((a <= x) & (x <= b))
    with mpmath.workdps(50):
        for k in range(N):
            level = _mass(float(a[k]), float(x[k])) / _mass(float(a[k]), float(b[k]))
            assert abs(level - float(q[k])) <= 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_mixture_log_density(seed: int) -> None:
    """A continuous, a discrete and a categorical parameter, from the formulas."""
    rng = np.random.default_rng(seed)
    n, grid = int(rng.integers(1, 12)), EvenGrid(count=7)
    codes = np.column_stack([rng.random(n), rng.integers(7, size=n), rng.integers(3, size=n)])
    weights = rng.uniform(0.01, 3.0, n)
    mixture = Mixture([Column(), Column(grid=grid), Column(n_choices=3)], codes, weights)
    x = np.column_stack([rng.random(5), rng.integers(7, size=5), rng.integers(3, size=5)])
    x[0, 0], x[1, 0] = 0.0, 1.0
    expected = [_exact_density(codes.astype(float), weights, grid, row) for row in x]
    np.testing.assert_allclose(mixture.log_density(x.astype(float)), expected, atol=1e-11)


def _width(centres: np.ndarray, floor: float) -> np.ndarray:
    return bandwidths(centres[None, :], np.array([floor]))[0]


def _exact_density(codes: np.ndarray, weights: np.ndarray, grid: EvenGrid, x: np.ndarray) -> float:
    n = codes.shape[0]
    middles = grid.centre(codes[:, 1])
    floor = max(FLOOR, 0.5 / grid.count)
    kernels = [
        ([*codes[:, 0], 0.5], [*_width(codes[:, 0], FLOOR), 1.0]),
        ([*middles, 0.5], [*_width(middles, floor), 1.0]),
    ]
    cell = int(x[1])
    with mpmath.workdps(50):
        total = mpmath.mpf(0)
        for i, weight in enumerate([*weights, 1.0]):
            term = mpmath.mpf(weight)
            for place, (mus, sds) in enumerate(kernels):
                mu, sd = mpmath.mpf(float(mus[i])), mpmath.mpf(float(sds[i]))
                whole = mpmath.ncdf((1 - mu) / sd) - mpmath.ncdf(-mu / sd)
                if place == 0:
                    term *= mpmath.npdf((mpmath.mpf(float(x[0])) - mu) / sd) / sd / whole
                    continue
                low, high = mpmath.mpf(cell) / grid.count, mpmath.mpf(cell + 1) / grid.count
                term *= (mpmath.ncdf((high - mu) / sd) - mpmath.ncdf((low - mu) / sd)) / whole
            hit = mpmath.mpf(int(i < n and codes[i, 2] == x[2]))
            smooth = (hit + mpmath.mpf(1) / (n + 1)) / (1 + mpmath.mpf(3) / (n + 1))
            total += term * (smooth if i < n else mpmath.mpf(1) / 3)
        return float(mpmath.log(total / mpmath.mpf(math.fsum([*weights, 1.0]))))
