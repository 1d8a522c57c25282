"""The Gaussian process against independent ones: scikit-learn, 50 digits, the full factor.

And what holds of its kernel on any space, whatever the kernel is: it is positive semi-definite,
and parameters that are inactive in both points do not matter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern, WhiteKernel

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
)
from app.suggest.acquisition import LogExpectedImprovement, mean_and_sd
from app.suggest.gp_fit import LogPosterior, default_hyper, to_hyper, to_theta
from app.suggest.gp_kernel import Columns, Hyper, Kernel
from app.suggest.gp_model import GaussianProcess
from app.suggest.numerics import Array, standardise
from app.suggest.row_space import RowSpace
from app.suggest.warp import model_targets

D = 3


def _data(n: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, D))
    y = np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.standard_normal(n)
    return x, standardise(y)


# scikit-learn

SETTINGS = {
    "isotropic": Hyper(length=np.full(D, 0.5), noise=1e-4),
    "short and long": Hyper(length=np.array([0.05, 0.8, 40.0]), noise=1e-3),
    "large signal": Hyper(length=np.array([0.3, 1.0, 2.0]), signal=15.0, noise=1e-2),
    "small signal, much noise": Hyper(length=np.array([0.3, 1.0, 2.0]), signal=0.06, noise=0.9),
    "linear trend": Hyper(length=np.array([0.3, 1.0, 2.0]), signal=0.7, noise=0.05, linear=0.8),
}


def _peer(hyper: Hyper) -> GaussianProcessRegressor:
    """scikit-learn's process with the same covariance, for inputs centred at 1/2."""
    kernel = ConstantKernel(hyper.signal) * Matern(hyper.length, nu=2.5)
    if hyper.linear > 0.0:
        kernel += ConstantKernel(hyper.linear) * DotProduct(sigma_0=0.0, sigma_0_bounds="fixed")
    return GaussianProcessRegressor(
        kernel + WhiteKernel(hyper.noise), alpha=0.0, optimizer=None, normalize_y=False
    )


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("n", [4, 60])
def test_posterior_agrees_with_scikit_learn(setting: str, n: int) -> None:
    hyper, (x, z) = SETTINGS[setting], _data(n, 1)
    new = np.random.default_rng(2).random((30, D))
    gp = GaussianProcess.condition(x, z, hyper)
    peer = _peer(hyper).fit(x - 0.5, z - gp.mean)
    mean, sd = peer.predict(new - 0.5, return_std=True)
    noise_free = np.sqrt(sd**2 - hyper.noise)
    for got_mean, got_sd in (gp.posterior(new), mean_and_sd(gp, new)):
        np.testing.assert_allclose(got_mean, mean + gp.mean, atol=1e-8)
        np.testing.assert_allclose(got_sd, noise_free, atol=1e-7)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("n", [4, 60])
def test_log_marginal_likelihood_agrees_with_scikit_learn(setting: str, n: int) -> None:
    hyper, (x, z) = SETTINGS[setting], _data(n, 3)
    mean = GaussianProcess.condition(x, z, hyper).mean
    peer = _peer(hyper).fit(x - 0.5, z - mean)
    expected = peer.log_marginal_likelihood(peer.kernel_.theta)
    # The trend's terms come together; one that is absent there is as small as it gets here.
    ours = hyper if hyper.linear == 0.0 else replace(hyper, quadratic=1e-300)
    got, _ = LogPosterior(x=x, z=z, columns=Columns.numeric(D)).evidence(to_theta(ours))
    assert got == pytest.approx(expected, rel=1e-9, abs=1e-8)


@pytest.mark.parametrize("setting", ["short and long", "large signal", "linear trend"])
def test_gradient_of_the_likelihood_agrees_with_scikit_learn(setting: str) -> None:
    """Also the profiled mean: at its maximum it has no share in the gradient."""
    hyper, (x, z) = SETTINGS[setting], _data(25, 4)
    mean = GaussianProcess.condition(x, z, hyper).mean
    peer = _peer(hyper).fit(x - 0.5, z - mean)
    _, expected = peer.log_marginal_likelihood(peer.kernel_.theta, eval_gradient=True)
    names = [
        h.name for h in peer.kernel_.hyperparameters if not h.fixed for _ in range(h.n_elements)
    ]
    by_name = dict(zip(_distinct(names), expected, strict=True))
    ours = hyper if hyper.linear == 0.0 else replace(hyper, quadratic=1e-300)
    _, got = LogPosterior(x=x, z=z, columns=Columns.numeric(D)).evidence(to_theta(ours))
    wanted = [value for name, value in by_name.items() if "length_scale" in name]
    constants = [value for name, value in by_name.items() if "constant_value" in name]
    noise = next(value for name, value in by_name.items() if "noise_level" in name)
    wanted += [constants[0], noise, *constants[1:]]
    np.testing.assert_allclose(got[: len(wanted)], wanted, rtol=1e-6, atol=1e-7)


def _distinct(names: list[str]) -> list[str]:
    return [f"{name}:{k}" for k, name in enumerate(names)]


# Fifty digits


def _exact_log_ei(x: Array, z: Array, hyper: Hyper, mean: float, best: float, at: Array) -> Any:
    """Logarithm of the expected improvement at one row, every step in 50 digits."""
    with mpmath.workdps(50):

        def k(a: Array, b: Array) -> Any:
            scaled = [(mpmath.mpf(p) - q) / s for p, q, s in zip(a, b, hyper.length, strict=True)]
            r = mpmath.sqrt(5 * sum(s * s for s in scaled))
            return hyper.signal * (1 + r + r * r / 3) * mpmath.exp(-r)

        n = len(z)
        matrix = mpmath.matrix(n, n)
        for i in range(n):
            for j in range(n):
                matrix[i, j] = k(x[i], x[j]) + (mpmath.mpf(hyper.noise) if i == j else 0)
        cross = mpmath.matrix([k(row, at) for row in x])
        rest = mpmath.matrix([mpmath.mpf(v) - mpmath.mpf(mean) for v in z])
        solved = mpmath.lu_solve(matrix, cross)
        mu = mean + sum(solved[i] * rest[i] for i in range(n))
        sd = mpmath.sqrt(hyper.signal - sum(solved[i] * cross[i] for i in range(n)))
        u = (best - mu) / sd
        return mpmath.log(mpmath.npdf(u) + u * mpmath.ncdf(u)) + mpmath.log(sd)


@pytest.mark.parametrize("n", [2, 9])
@pytest.mark.parametrize("depth", [0.0, 3.0, 40.0])
def test_log_expected_improvement_agrees_with_fifty_digits(n: int, depth: float) -> None:
    """`depth`: how far the incumbent lies below what the model expects anywhere."""
    x, z = _data(n, 5)
    hyper = Hyper(length=np.array([0.4, 0.9, 2.0]), signal=1.3, noise=1e-3)
    gp = GaussianProcess.condition(x, z, hyper)
    best = float(z.min()) - depth
    rows = np.vstack([np.random.default_rng(6).random((4, D)), x[:1] + 1e-3, np.full((1, D), 9.0)])
    function = LogExpectedImprovement(gp=gp, best=best)
    got, gradient = function.value_and_gradient(rows)
    exact = [_exact_log_ei(x, z, hyper, gp.mean, best, row) for row in rows]
    np.testing.assert_allclose(got, [float(v) for v in exact], rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(function.value(rows), got, rtol=1e-9, atol=1e-9)
    step = 1e-8
    for j in range(D):
        for i, row in enumerate(rows):
            up, down = row.copy(), row.copy()
            up[j], down[j] = row[j] + step, row[j] - step
            high, low = (_exact_log_ei(x, z, hyper, gp.mean, best, point) for point in (up, down))
            slope = float((high - low) / (mpmath.mpf(up[j]) - mpmath.mpf(down[j])))
            assert gradient[i, j] == pytest.approx(slope, rel=2e-6, abs=2e-6)


# Rows that are appended


@pytest.mark.parametrize("has_trend", [False, True])
def test_rows_appended_one_by_one_equal_the_full_factor(has_trend: bool) -> None:
    x, z = _data(30, 7)
    trend = 0.5 if has_trend else 0.0
    hyper = Hyper(
        length=np.array([0.2, 0.7, 3.0]), signal=2.0, noise=1e-4, linear=trend, quadratic=trend
    )
    gp = GaussianProcess.condition(x, z, hyper)
    pending = np.random.default_rng(8).random((20, D))
    told = gp
    for row in pending:
        told = told.with_pending(row[None, :])
    everything = np.vstack([x, pending])
    covariance = gp.kernel.cross(everything, everything) + hyper.noise * np.eye(50)
    np.testing.assert_allclose(told.factor, np.linalg.cholesky(covariance), atol=1e-10)
    at_once = gp.with_pending(pending)
    np.testing.assert_allclose(told.factor, at_once.factor, atol=1e-10)
    np.testing.assert_allclose(told.inverse @ covariance, np.eye(50), atol=1e-7)


def test_appended_rows_are_those_of_a_process_that_saw_its_own_means() -> None:
    x, z = _data(20, 9)
    hyper = Hyper(length=np.array([0.3, 0.6, 1.0]), noise=1e-3)
    gp = GaussianProcess.condition(x, z, hyper)
    pending = np.random.default_rng(10).random((5, D))
    believed = np.concatenate([z, gp.posterior(pending)[0]])
    whole = GaussianProcess.condition(np.vstack([x, pending]), believed, hyper, mean=gp.mean)
    new = np.random.default_rng(11).random((40, D))
    got, expected = gp.with_pending(pending).posterior(new), whole.posterior(new)
    np.testing.assert_allclose(got[0], expected[0], atol=1e-9)
    np.testing.assert_allclose(got[1], expected[1], atol=1e-9)


@pytest.mark.parametrize("copies", [1, 50])
def test_repeats_of_observed_rows_can_be_appended(copies: int) -> None:
    x, z = _data(10, 12)
    gp = GaussianProcess.condition(x, z, Hyper(length=np.full(D, 0.5), noise=1e-7))
    told = gp.with_pending(np.repeat(x[:1], copies, axis=0))
    mean, sd = told.posterior(np.random.default_rng(13).random((20, D)))
    assert np.all(np.isfinite(mean))
    assert np.all(sd > 0.0)


# Kernels on spaces with conditions

_NET, _FOREST = ("net",), ("forest",)
CONDITIONAL: tuple[Parameter, ...] = (
    CategoricalParameter(name="model", choices=("net", "forest", "linear")),
    FloatParameter(
        name="rate", low=1e-5, high=1.0, log=True, when=Condition(param="model", choices=_NET)
    ),
    IntParameter(name="layers", low=1, high=4, when=Condition(param="model", choices=_NET)),
    FloatParameter(name="drop", low=0.0, high=0.6, when=Condition(param="layers", low=2)),
    CategoricalParameter(
        name="norm", choices=("batch", "layer", "no"), when=Condition(param="layers", low=3)
    ),
    IntParameter(
        name="trees", low=10, high=1000, log=True, when=Condition(param="model", choices=_FOREST)
    ),
    CategoricalParameter(
        name="split", choices=("gini", "entropy"), when=Condition(param="model", choices=_FOREST)
    ),
    FloatParameter(name="weight", low=0.0, high=1.0),
    CategoricalParameter(name="size", choices=(1, 2, 4, 8), ordered=True),
)
SPACE = Space(parameters=CONDITIONAL)
BRANCH = {"net": {"rate", "layers", "drop", "norm"}, "forest": {"trees", "split"}}


def _kernel(space: RowSpace, seed: int) -> Kernel:
    """A kernel with random hyper-parameters, the trend's among them."""
    rng = np.random.default_rng(seed)
    theta = to_theta(default_hyper(space.columns.n_scales, has_trend=bool(seed % 2)))
    moved = theta + rng.normal(0.0, 1.0, theta.size)
    return Kernel(columns=space.columns, hyper=to_hyper(moved, space.columns.n_scales))


def _rows(space: RowSpace, n: int, seed: int) -> tuple[Array, Array]:
    """Random points (n, p), all patterns of activity among them, and their features."""
    points = space.points(np.random.default_rng(seed).random((n, space.p)))
    return points, space.features(points)


@pytest.mark.parametrize("seed", range(10))
def test_the_kernel_of_a_conditional_space_is_positive_semi_definite(seed: int) -> None:
    space = RowSpace(SPACE)
    points, x = _rows(space, 200, seed)
    assert len({row.tobytes() for row in np.isnan(points)}) >= 5
    kernel = _kernel(space, seed)
    gram = kernel.cross(x, x)
    np.testing.assert_allclose(gram, gram.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(gram), kernel.own(x), atol=1e-10)
    assert np.linalg.eigvalsh(gram).min() >= -1e-8 * max(1.0, float(np.diag(gram).max()))


@pytest.mark.parametrize("seed", range(4))
def test_coordinates_of_inactive_parameters_do_not_matter(seed: int) -> None:
    space = RowSpace(SPACE)
    rng = np.random.default_rng(seed)
    full = space.snap(rng.random((100, space.p)))
    other = np.where(space.active(full), full, space.snap(rng.random(full.shape)))
    a, b = space.features(space.points(full)), space.features(space.points(other))
    kernel = _kernel(space, seed)
    np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(kernel.cross(a, a), kernel.cross(a, b))


@pytest.mark.parametrize("branch", BRANCH)
@pytest.mark.parametrize("seed", range(4))
def test_parameters_inactive_in_both_points_do_not_matter(branch: str, seed: int) -> None:
    """Their length scales change no covariance but of points in which one is active."""
    space = RowSpace(SPACE)
    points, x = _rows(space, 150, seed)
    inside = [j for j, name in enumerate(SPACE.names) if name in BRANCH[branch]]
    is_out = np.isnan(points[:, inside]).all(axis=1)
    kernel = _kernel(space, seed)
    moved = kernel.hyper.length.copy()
    for j in inside:
        moved[space.columns.scale_of[space.column_of[j]]] *= 7.0
    other = replace(kernel, hyper=replace(kernel.hyper, length=moved))
    before, after = kernel.cross(x, x), other.cross(x, x)
    np.testing.assert_allclose(
        before[np.ix_(is_out, is_out)], after[np.ix_(is_out, is_out)], atol=1e-10
    )
    assert np.abs(before - after)[np.ix_(~is_out, ~is_out)].max() > 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_points_of_one_branch_are_closer_than_those_of_two(seed: int) -> None:
    space = RowSpace(SPACE)
    points, x = _rows(space, 150, seed)
    kernel = replace(
        _kernel(space, 0), hyper=default_hyper(space.columns.n_scales, has_trend=False)
    )
    gram = kernel.cross(x, x)
    model = space.cell(0, points[:, 0])
    same = model[:, None] == model[None, :]
    np.fill_diagonal(same, False)
    others = model[:, None] != model[None, :]
    assert gram[same].mean() > gram[others].mean()


@pytest.mark.parametrize("has_trend", [False, True])
def test_gradients_on_a_conditional_space_agree_with_finite_differences(has_trend: bool) -> None:
    """Of the likelihood, by every hyper-parameter, on rows with all patterns of activity."""
    space = RowSpace(SPACE)
    points, x = _rows(space, 60, 20)
    z = standardise(np.nansum((points - 0.4) ** 2, axis=1))
    function = LogPosterior(x=x, z=z, columns=space.columns)
    theta = to_theta(default_hyper(space.columns.n_scales, has_trend=has_trend))
    theta = theta + np.random.default_rng(21).normal(0.0, 0.3, theta.size)
    _, gradient = function(theta)
    for k in range(theta.size):
        shift = np.zeros(theta.size)
        shift[k] = 1e-5
        slope = (function(theta + shift)[0] - function(theta - shift)[0]) / 2e-5
        assert gradient[k] == pytest.approx(slope, rel=1e-4, abs=1e-5)


def test_gradients_of_the_acquisition_on_a_conditional_space_agree_with_finite_differences() -> (
    None
):
    """By the features of the numbers that are active."""
    space = RowSpace(SPACE)
    points, x = _rows(space, 60, 22)
    z = standardise(np.nansum((points - 0.4) ** 2, axis=1) + 0.1 * np.sin(99 * points[:, 7]))
    gp = GaussianProcess.fit(x, z, columns=space.columns, has_trend=True)
    told = gp.with_pending(x[:2] + 0.0)
    function = LogExpectedImprovement(gp=told, best=float(z.min()))
    at_points, at = _rows(space, 20, 23)
    value, gradient = function.value_and_gradient(at)
    np.testing.assert_allclose(value, function.value(at), rtol=1e-8, atol=1e-8)
    for j in np.flatnonzero(space.is_smooth):
        column = space.column_of[j]
        shift = np.zeros(at.shape[1])
        shift[column] = 1e-5
        slope = (function.value(at + shift) - function.value(at - shift)) / 2e-5
        is_active = ~np.isnan(at_points[:, j])
        np.testing.assert_allclose(
            gradient[is_active, column], slope[is_active], rtol=2e-3, atol=2e-4
        )


def test_an_outlier_does_not_change_which_parameter_matters_most() -> None:
    """One bad value of 1e12 among the targets leaves the order of the length scales."""
    rng = np.random.default_rng(30)
    x = rng.random((40, D))
    y = np.sin(5 * x[:, 0]) + 0.3 * x[:, 1]
    spoilt = y.copy()
    spoilt[int(np.argmax(y))] = 1e12
    orders = [
        np.argsort(GaussianProcess.fit(x, model_targets(values).z).hyper.length).tolist()
        for values in (y, spoilt)
    ]
    assert orders[0] == orders[1]
    assert orders[0][0] == 0
