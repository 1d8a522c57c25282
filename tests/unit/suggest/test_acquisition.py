"""Acquisition functions: values against their definition, gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from app.suggest.acquisition import (
    MIN_LOG_PROBABILITY,
    Acquisition,
    LogExpectedImprovement,
    LogProbabilityBelow,
    Sum,
)
from app.suggest.gp_model import GaussianProcess
from app.suggest.numerics import standardise


def _process(n: int, *, noise: float = 0.0, has_trend: bool = False) -> GaussianProcess:
    rng = np.random.default_rng(n)
    x = rng.random((n, 3))
    y = np.sin(5 * x[:, 0]) + (x[:, 1] - 0.3) ** 2 + noise * rng.standard_normal(n)
    return GaussianProcess.fit(x, standardise(y), has_trend=has_trend)


def _plain(gp: GaussianProcess) -> Acquisition:
    return LogExpectedImprovement(gp=gp, best=float(gp.z.min()))


def _corrected(gp: GaussianProcess) -> Acquisition:
    means = gp.observed_means()
    row = int(np.argmin(means))
    return LogExpectedImprovement(gp=gp, best=float(means[row]), reference=row)


def _feasible(gp: GaussianProcess) -> Acquisition:
    return LogProbabilityBelow(gp=gp, threshold=0.2)


def _both(gp: GaussianProcess) -> Acquisition:
    return Sum(parts=(_plain(gp), _feasible(gp)))


@pytest.mark.parametrize("make", [_plain, _corrected, _feasible, _both])
@pytest.mark.parametrize(("n", "noise", "has_trend"), [(5, 0.0, False), (50, 0.3, True)])
def test_gradients_agree_with_finite_differences(
    make: Callable[[GaussianProcess], Acquisition], n: int, noise: float, has_trend: bool
) -> None:
    gp = _process(n, noise=noise, has_trend=has_trend)
    gp = gp.with_pending(np.array([[0.1, 0.9, 0.4]]))
    function = make(gp)
    x = np.random.default_rng(0).random((12, 3))
    value, gradient = function.value_and_gradient(x)
    np.testing.assert_allclose(value, function.value(x), rtol=1e-9, atol=1e-9)
    for k in range(3):
        shift = np.zeros(3)
        shift[k] = 1e-5
        slope = (function.value(x + shift) - function.value(x - shift)) / 2e-5
        np.testing.assert_allclose(gradient[:, k], slope, rtol=2e-3, atol=2e-4)


def test_log_expected_improvement_is_the_logarithm_of_its_definition() -> None:
    gp = _process(12)
    x = np.random.default_rng(1).random((40, 3))
    mean, sd = gp.posterior(x)
    best = float(gp.z.min()) + 0.5
    z = (best - mean) / sd
    expected = sd * (norm.pdf(z) + z * norm.cdf(z))
    got = LogExpectedImprovement(gp=gp, best=best).value(x)
    is_plain = expected > 1e-12
    assert is_plain.any()
    np.testing.assert_allclose(np.exp(got[is_plain]), expected[is_plain], rtol=1e-4)


def test_the_corrected_form_promises_nothing_at_the_incumbent_itself() -> None:
    gp = _process(50, noise=0.3)
    row = int(np.argmin(gp.observed_means()))
    assert gp.is_noisy
    at_best = float(_corrected(gp).value(gp.x[row : row + 1])[0])
    elsewhere = _corrected(gp).value(np.random.default_rng(2).random((200, 3)))
    assert at_best < elsewhere.max() - 1.0


def test_a_far_worse_point_still_has_a_gradient() -> None:
    gp = _process(50)
    worst = gp.x[int(np.argmax(gp.z))][None, :] + 1e-3
    value, gradient = _plain(gp).value_and_gradient(worst)
    assert np.isfinite(value).all()
    assert np.abs(gradient).max() > 1e-3


@pytest.mark.parametrize("make", [_plain, _corrected])
def test_values_are_finite_at_observed_and_pending_points(
    make: Callable[[GaussianProcess], Acquisition],
) -> None:
    gp = _process(20)
    gp = gp.with_pending(gp.x[:3])
    value, gradient = make(gp).value_and_gradient(gp.x)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


def test_two_equal_points_have_equal_values() -> None:
    gp = _process(20)
    value = _plain(gp).value(np.full((2, 3), 0.37))
    assert value[0] == value[1]


def test_the_probability_of_success_has_a_floor() -> None:
    gp = _process(20)
    function = LogProbabilityBelow(gp=gp, threshold=-50.0)
    value, gradient = function.value_and_gradient(gp.x)
    assert np.all(value == MIN_LOG_PROBABILITY)
    assert np.all(gradient == 0.0)


def test_chunks_do_not_change_values() -> None:
    gp = _process(50, noise=0.3)
    x = np.random.default_rng(3).random((30_000, 3))
    whole = _plain(gp).value(x)
    np.testing.assert_allclose(whole[:100], _plain(gp).value(x[:100]), rtol=1e-6, atol=1e-6)
