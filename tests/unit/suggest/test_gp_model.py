"""The Gaussian process: gradients, agreement with scikit-learn, degenerate data."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from app.suggest import gp_fit
from app.suggest.acquisition import mean_and_sd
from app.suggest.gp_fit import LogPosterior, Prior, default_hyper, maximise, to_hyper, to_theta
from app.suggest.gp_kernel import Columns, Hyper, Kernel
from app.suggest.gp_model import GaussianProcess
from app.suggest.numerics import Array, standardise

MIXED = Columns(
    scale_of=np.array([0, 1, 2, 2, 2]), is_numeric=np.array([True, True, False, False, False])
)


def _mixed_rows(rng: np.random.Generator, n: int) -> np.ndarray:
    """Two numbers and a category of three, sometimes inactive (a zero row)."""
    categories = np.vstack([np.eye(3) * np.sqrt(0.5), np.zeros((1, 3))])
    return np.hstack([rng.random((n, 2)), categories[rng.integers(4, size=n)]])


@pytest.mark.parametrize("has_trend", [False, True])
@pytest.mark.parametrize("n", [5, 40])
def test_gradient_of_the_log_posterior_agrees_with_finite_differences(
    n: int, has_trend: bool
) -> None:
    rng = np.random.default_rng(n)
    x = _mixed_rows(rng, n)
    z = standardise(np.sin(5 * x[:, 0]) + x[:, 3] + 0.1 * rng.standard_normal(n))
    function = LogPosterior(x=x, z=z, columns=MIXED)
    theta = to_theta(default_hyper(3, has_trend=has_trend)) + 0.3 * rng.standard_normal(
        7 if has_trend else 5
    )
    _, gradient = function(theta)
    step = 1e-5
    for k in range(theta.size):
        shift = np.zeros(theta.size)
        shift[k] = step
        slope = (function(theta + shift)[0] - function(theta - shift)[0]) / (2 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("d", [3, 30])
def test_gradient_of_the_prior_agrees_with_finite_differences(d: int) -> None:
    theta = np.random.default_rng(d).standard_normal(d + 4)
    typical = np.linspace(1.0, 3.0, d)
    _, gradient = Prior().penalty(theta, typical)
    for k in range(theta.size):
        shift = np.zeros(theta.size)
        shift[k] = 1e-6
        high = Prior().penalty(theta + shift, typical)[0]
        low = Prior().penalty(theta - shift, typical)[0]
        assert gradient[k] == pytest.approx((high - low) / 2e-6, rel=1e-5, abs=1e-7)


def test_a_length_scale_is_cheapest_at_the_typical_length() -> None:
    typical = np.array([1.0, 2.0])
    theta = np.concatenate([np.log(typical), np.zeros(4)])
    cheapest, gradient = Prior().penalty(theta, typical)
    np.testing.assert_allclose(gradient[:2], 0.0, atol=1e-12)
    for k, shift in ((0, 0.3), (1, -0.3)):
        moved = theta.copy()
        moved[k] += shift
        assert Prior().penalty(moved, typical)[0] > cheapest


def test_two_random_points_are_one_typical_length_apart_in_their_categories() -> None:
    choices = (5, 5, 4, 3, 2)
    scale_of = np.concatenate([np.repeat(np.arange(5), choices), [5]])
    columns = Columns(scale_of=scale_of, is_numeric=np.arange(20) == 19)
    typical = columns.typical_lengths[:5]
    rng = np.random.default_rng(1)
    draws = [rng.integers(c, size=(2, 20_000)) for c in choices]
    squares = sum((a != b) / length**2 for (a, b), length in zip(draws, typical, strict=True))
    assert squares.mean() == pytest.approx(1.0, abs=0.02)


def test_a_parameter_that_is_seldom_active_counts_for_less() -> None:
    share = np.array([1.0, 0.5, 0.25, 1.0, 0.5])
    choices = (3, 4)
    scale_of = np.array([0, 1, 2, 3, 3, 3, 4, 4, 4, 4])
    columns = Columns(scale_of=scale_of, is_numeric=np.arange(10) < 3, active_share=share)
    rng = np.random.default_rng(3)
    active = rng.random((2, 40_000, 5)) < share
    u = np.where(active[:, :, :3], rng.random((2, 40_000, 3)), 0.5)
    by_number = ((u[0] - u[1]) ** 2).sum(axis=1).mean()
    by_category = 0.0
    for k, c in enumerate(choices):
        one_hot = math.sqrt(0.5) * np.eye(c)[rng.integers(c, size=(2, 40_000))]
        x = one_hot * active[:, :, 3 + k, None]
        by_category += ((x[0] - x[1]) ** 2).sum(axis=1).mean()
    typical = columns.typical_lengths
    assert typical[0] ** 2 == pytest.approx(by_number, rel=0.02)
    assert typical[3] ** 2 == pytest.approx(by_category, rel=0.02)


@pytest.mark.parametrize("d", [1, 2, 6, 15])
def test_two_random_points_are_one_typical_length_apart_in_their_numbers(d: int) -> None:
    a, b = np.random.default_rng(d).random((2, 20_000, d))
    squares = ((a - b) ** 2 / Columns.numeric(d).typical_lengths ** 2).sum(axis=1)
    assert squares.mean() == pytest.approx(1.0, abs=0.03)


def test_a_single_category_has_the_length_at_which_all_choices_are_one_apart() -> None:
    one = Columns(scale_of=np.array([0, 0, 0, 1]), is_numeric=np.array([False] * 3 + [True]))
    assert one.typical_lengths[0] == 1.0


def test_logarithms_of_hyper_parameters_round_trip() -> None:
    hyper = Hyper(length=np.array([0.1, 2.0]), signal=3.0, noise=1e-4, linear=0.2, quadratic=0.5)
    back = to_hyper(to_theta(hyper), 2)
    np.testing.assert_allclose(back.length, hyper.length)
    assert replace(back, length=hyper.length).signal == pytest.approx(3.0)
    assert back.has_trend


@pytest.mark.parametrize("n", [8, 120])
def test_posterior_agrees_with_scikit_learn(n: int) -> None:
    rng = np.random.default_rng(2)
    x, new = rng.random((n, 4)), rng.random((50, 4))
    z = np.sin(4 * x[:, 0]) + x[:, 1] ** 2
    length = np.array([0.4, 0.7, 2.0, 5.0])
    hyper = Hyper(length=length, signal=1.0, noise=1e-4)
    ours = GaussianProcess.condition(x, z, hyper, mean=0.3)
    peer = GaussianProcessRegressor(Matern(length, nu=2.5), alpha=1e-4, optimizer=None)
    mean, sd = peer.fit(x, z - 0.3).predict(new, return_std=True)
    for got_mean, got_sd in (ours.posterior(new), mean_and_sd(ours, new)):
        np.testing.assert_allclose(got_mean, mean + 0.3, atol=1e-8)
        np.testing.assert_allclose(got_sd, sd, atol=1e-8)


def test_the_mean_is_the_generalised_least_squares_one() -> None:
    rng = np.random.default_rng(3)
    x, z = rng.random((15, 2)), rng.standard_normal(15)
    hyper = Hyper(length=np.array([0.5, 0.5]), noise=0.01)
    gp = GaussianProcess.condition(x, z, hyper)
    k = Kernel(columns=Columns.numeric(2), hyper=hyper).cross(x, x) + 0.01 * np.eye(15)
    ones = np.linalg.solve(k, np.ones(15))
    assert gp.mean == pytest.approx(float(ones @ z / ones.sum()), rel=1e-9)


def test_pending_points_keep_the_mean_and_shrink_the_variance() -> None:
    rng = np.random.default_rng(4)
    x, z, new = rng.random((20, 3)), rng.standard_normal(20), rng.random((40, 3))
    gp = GaussianProcess.fit(x, z, has_trend=True)
    pending = rng.random((4, 3))
    told = gp.with_pending(pending)
    mean, sd = gp.posterior(new)
    told_mean, told_sd = told.posterior(new)
    np.testing.assert_allclose(told_mean, mean, atol=1e-12)
    assert np.all(told_sd <= sd + 1e-9)
    assert np.all(told.posterior(pending)[1] < 0.5 * np.maximum(gp.posterior(pending)[1], 1e-3))


def test_appending_pending_rows_equals_the_full_factor() -> None:
    rng = np.random.default_rng(5)
    x, z, pending = rng.random((30, 2)), rng.standard_normal(30), rng.random((6, 2))
    gp = GaussianProcess.fit(x, z)
    told = gp.with_pending(pending[:2]).with_pending(pending[2:])
    everything = np.vstack([x, pending])
    k = gp.kernel.cross(everything, everything) + gp.hyper.noise * np.eye(36)
    np.testing.assert_allclose(told.factor @ told.factor.T, k, atol=1e-10)


@pytest.mark.parametrize("gap", [0.1, 1e-9])
def test_appending_observed_rows_equals_the_process_of_all_rows(gap: float) -> None:
    rng = np.random.default_rng(6)
    x = rng.random((40, 3))
    x[35:] = x[:5] + gap  # far from the rows before, and all but on them
    z = rng.standard_normal(40)
    hyper = replace(default_hyper(3, has_trend=True), noise=1e-6)
    whole = GaussianProcess.condition(x, z, hyper)
    grown = GaussianProcess.condition(x[:35], z[:35], hyper).observing(x[35:], z)
    new = rng.random((20, 3))
    for got, wanted in zip(grown.posterior(new), whole.posterior(new), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(grown.factor, whole.factor, atol=1e-10)
    identity = grown.inverse @ (grown.factor @ grown.factor.T)
    np.testing.assert_allclose(identity, np.eye(40), atol=1e-6)


def test_no_pending_points_change_nothing() -> None:
    gp = GaussianProcess.fit(np.eye(3), np.array([0.0, 1.0, -1.0]))
    assert gp.with_pending(np.empty((0, 3))) is gp


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_is_positive_semi_definite_with_random_active_patterns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = _mixed_rows(rng, 120)
    x[rng.random(120) < 0.5, 1] = 0.5
    hyper = Hyper(
        length=np.exp(rng.normal(0, 1.5, 3)), linear=0.3 * (seed % 2), quadratic=0.4 * (seed % 2)
    )
    k = Kernel(columns=MIXED, hyper=hyper).cross(x, x)
    assert np.linalg.eigvalsh(k).min() > -1e-10


def test_different_choices_are_at_distance_one_whatever_their_number() -> None:
    rows = np.eye(3) * np.sqrt(0.5)
    columns = Columns(scale_of=np.zeros(3, dtype=np.intp), is_numeric=np.zeros(3, dtype=bool))
    kernel = Kernel(columns=columns, hyper=Hyper(length=np.array([1.0])))
    number = Kernel(columns=Columns.numeric(1), hyper=Hyper(length=np.array([1.0])))
    expected = number.correlation(np.array([[0.0]]), np.array([[1.0]]))[0, 0]
    got = kernel.correlation(rows, rows)
    np.testing.assert_allclose(got[~np.eye(3, dtype=bool)], expected)


def _degenerate() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(6)
    one, few = rng.random(3), rng.random((4, 3))
    twins = np.vstack([few, few + 1e-12])
    return {
        "one point fifty times": (np.tile(one, (50, 1)), standardise(rng.standard_normal(50))),
        "two clusters a hair apart": (twins, np.arange(8.0)),
        "constant targets": (rng.random((12, 3)), np.zeros(12)),
        "two points": (few[:2], np.array([-1.0, 1.0])),
        "one far target": (rng.random((20, 3)), standardise(np.r_[np.zeros(19), 1e6])),
    }


@pytest.mark.parametrize("case", _degenerate())
def test_degenerate_data_give_a_finite_posterior(case: str) -> None:
    x, z = _degenerate()[case]
    gp = GaussianProcess.fit(x, z, has_trend=len(z) > 10)
    mean, sd = gp.posterior(np.random.default_rng(0).random((30, 3)))
    assert np.all(np.isfinite(mean))
    assert np.all(sd > 0.0)


def test_huge_length_scales_can_be_factored() -> None:
    rng = np.random.default_rng(7)
    x = rng.random((60, 2))
    hyper = Hyper(length=np.array([1e3, 1e3]), noise=1e-12)
    gp = GaussianProcess.condition(x, x[:, 0], hyper)
    assert np.all(np.isfinite(gp.posterior(x)[0]))


def test_noise_is_seen_where_there_is_some_and_only_there() -> None:
    rng = np.random.default_rng(8)
    x = rng.random((60, 2))
    smooth = standardise(np.sin(5 * x[:, 0]) + x[:, 1])
    noisy = standardise(smooth + 0.5 * rng.standard_normal(60))
    assert not GaussianProcess.fit(x, smooth).is_noisy
    assert GaussianProcess.fit(x, noisy).is_noisy


def _noisy_bowl() -> tuple[Array, Array]:
    """50 rows in 4 dimensions, with a third of the variance from noise."""
    rng = np.random.default_rng(0)
    x = rng.random((50, 4))
    y = ((x - 0.4) ** 2).sum(axis=1)
    return x, standardise((y - y.mean()) / y.std() + 0.8 * rng.standard_normal(50))


def test_a_noisy_start_finds_the_noise_that_the_quiet_one_misses() -> None:
    x, z = _noisy_bowl()
    quiet = default_hyper(4, has_trend=False)
    alone = GaussianProcess.fit(x, z, starts=(quiet,))
    both = GaussianProcess.fit(x, z, starts=(quiet,), doubtful=(replace(quiet, noise=0.1),))
    assert alone.hyper.noise < 1e-2 < 0.2 < both.hyper.noise
    assert both.is_noisy


def test_a_doubtful_start_has_to_be_clearly_better(monkeypatch: pytest.MonkeyPatch) -> None:
    x, z = _noisy_bowl()
    function = LogPosterior(x=x, z=z, columns=Columns.numeric(4))
    quiet = default_hyper(4, has_trend=False)
    kept, other = maximise(function, [quiet])
    found, value = maximise(function, [quiet], [replace(quiet, noise=0.1)])
    assert value < other - gp_fit.CLEAR_LEAD
    monkeypatch.setattr(gp_fit, "CLEAR_LEAD", other - value + 1e-6)
    again, _ = maximise(function, [quiet], [replace(quiet, noise=0.1)])
    assert again.noise == kept.noise < found.noise


def test_length_scales_tell_which_parameters_matter() -> None:
    rng = np.random.default_rng(9)
    x = rng.random((60, 3))
    gp = GaussianProcess.fit(x, standardise(np.sin(6 * x[:, 1])))
    assert gp.hyper.length[1] < 0.5 * min(gp.hyper.length[0], gp.hyper.length[2])


def test_a_fit_that_cannot_be_factored_says_so() -> None:
    function = LogPosterior(x=np.full((3, 1), np.nan), z=np.zeros(3), columns=Columns.numeric(1))
    with pytest.raises(np.linalg.LinAlgError):
        maximise(function, [default_hyper(1, has_trend=False)])
