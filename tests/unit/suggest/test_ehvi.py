"""Expected hypervolume improvement: against sampling, mpmath and finite differences."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

from app.domain.front import hypervolume
from app.suggest.acquisition import LogExpectedImprovement
from app.suggest.boxes import open_boxes
from app.suggest.ehvi import (
    LogExpectedHypervolumeImprovement,
    front_rows,
    log_density_difference,
    log_h_difference,
    reference_of,
)
from app.suggest.gp_model import GaussianProcess
from app.suggest.numerics import Array, standardise

N_DRAWS = 20_000


def _processes(n: int, m: int) -> tuple[GaussianProcess, ...]:
    """Processes of smooth targets in two inputs, with noise where there are many points."""
    rng = np.random.default_rng(n + m)
    x = rng.random((n, 2))
    targets = (
        np.sin(4 * x[:, 0]) + x[:, 1],
        (x[:, 0] - 0.8) ** 2 - x[:, 1],
        np.cos(3 * x[:, 1]) - 0.5 * x[:, 0],
    )
    noise = 0.2 * rng.standard_normal((3, n)) if n > 20 else np.zeros((3, n))
    return tuple(
        GaussianProcess.fit(x, standardise(y + e))
        for y, e in zip(targets[:m], noise[:m], strict=True)
    )


def _acquisition(gps: tuple[GaussianProcess, ...]) -> LogExpectedHypervolumeImprovement:
    z = np.column_stack([gp.z for gp in gps])
    boxes = open_boxes(front_rows(z), np.full(len(gps), 1.2))
    return LogExpectedHypervolumeImprovement(gps=gps, boxes=boxes)


def _sampled(gps: tuple[GaussianProcess, ...], x: Array, reference: Array) -> tuple[float, float]:
    """Mean improvement of N_DRAWS draws at one row (1, c), and the mean's standard error."""
    front = front_rows(np.column_stack([gp.z for gp in gps]))
    base = hypervolume(front.tolist(), reference.tolist())
    moments = [gp.posterior(x) for gp in gps]
    rng = np.random.default_rng(0)
    y = np.column_stack([mean + sd * rng.standard_normal(N_DRAWS) for mean, sd in moments])
    gains = np.zeros(N_DRAWS)
    is_dominated = (front[:, None, :] <= y).all(axis=2).any(axis=0)
    for k in np.flatnonzero((y < reference).all(axis=1) & ~is_dominated):
        volume = hypervolume([*front.tolist(), y[k].tolist()], reference.tolist())
        assert volume is not None
        assert base is not None
        gains[k] = volume - base
    return float(gains.mean()), float(gains.std()) / math.sqrt(N_DRAWS)


@pytest.mark.parametrize("m", [2, 3])
def test_value_agrees_with_sampling(m: int) -> None:
    gps = _processes(8, m)
    function = _acquisition(gps)
    rows = np.random.default_rng(1).random((40, 2))
    values = np.exp(function.value(rows))
    best = int(np.argmax(values))
    for k in (best, int(np.argsort(values)[len(values) // 2 + 10])):
        mean, error = _sampled(gps, rows[k : k + 1], np.full(m, 1.2))
        assert values[k] == pytest.approx(mean, abs=4 * error)


def test_one_objective_is_plain_expected_improvement() -> None:
    gps = _processes(8, 1)
    z = gps[0].z
    boxes = open_boxes(z[:, None], np.array([9.0]))
    rows = np.random.default_rng(1).random((40, 2))
    several = LogExpectedHypervolumeImprovement(gps=gps, boxes=boxes)
    plain = LogExpectedImprovement(gp=gps[0], best=float(z.min()))
    np.testing.assert_allclose(several.value(rows), plain.value(rows), rtol=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("n", [5, 40])
def test_gradient_agrees_with_finite_differences(n: int, m: int) -> None:
    gps = tuple(gp.with_pending(np.array([[0.1, 0.9]])) for gp in _processes(n, m))
    function = _acquisition(gps)
    x = np.random.default_rng(0).random((12, 2))
    value, gradient = function.value_and_gradient(x)
    np.testing.assert_allclose(value, function.value(x), rtol=1e-9, atol=1e-9)
    for k in range(2):
        shift = np.zeros(2)
        shift[k] = 1e-6
        slope = (function.value(x + shift) - function.value(x - shift)) / 2e-6
        np.testing.assert_allclose(gradient[:, k], slope, rtol=2e-4, atol=2e-4)


def test_large_evaluations_in_steps_give_the_same_values() -> None:
    function = _acquisition(_processes(40, 3))
    rows = np.random.default_rng(1).random((9000, 2))
    whole = function.value(rows)
    np.testing.assert_allclose(whole[-7:], function.value(rows[-7:]), rtol=1e-9)


def _exact_h(z: mpmath.mpf) -> mpmath.mpf:
    if z == -mpmath.inf:
        return mpmath.mpf(0)
    return mpmath.npdf(z) + z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2


EDGES = [-1e4, -300.0, -40.0, -12.0, -3.0, -1.001, -0.999, -0.2, 0.0, 0.3, 1.5, 8.0, 50.0, 1e6]
WIDTHS = [1e-9, 1e-5, 9e-4, 0.019, 0.021, 0.1, 0.5, 1.0, 3.0, 40.0, 1e3, math.inf]


@pytest.mark.parametrize("upper", EDGES)
@pytest.mark.parametrize("width", WIDTHS)
def test_log_h_difference_is_exact(upper: float, width: float) -> None:
    with mpmath.workdps(120):
        low = mpmath.mpf(upper) - mpmath.mpf(width)  # not rounded
        exact = float(mpmath.log(_exact_h(mpmath.mpf(upper)) - _exact_h(low)))
    found = float(log_h_difference(np.array(upper), np.array(width)))
    assert found == pytest.approx(exact, rel=1e-13, abs=1e-10)


@pytest.mark.parametrize("upper", [-40.0, -3.0, -0.2, 0.3, 1.5, 8.0])
@pytest.mark.parametrize("width", [1e-9, 0.02, 0.5, 3.0, 40.0, math.inf])
def test_log_density_difference_is_exact(upper: float, width: float) -> None:
    with mpmath.workdps(120):
        low = mpmath.mpf(upper) - mpmath.mpf(width)
        below = mpmath.mpf(0) if width == math.inf else mpmath.npdf(low)
        exact = mpmath.npdf(mpmath.mpf(upper)) - below
        size, sign = log_density_difference(np.array(upper), np.array(width))
        assert float(sign) == float(mpmath.sign(exact))
        assert float(size) == pytest.approx(float(mpmath.log(abs(exact))), rel=1e-12, abs=1e-12)


def test_values_and_gradients_stay_finite_where_the_improvement_underflows() -> None:
    gps = _processes(40, 3)
    front = np.array([[-30.0, -30.0, -30.0], [-31.0, -29.0, -30.5]])
    boxes = open_boxes(front, np.array([-25.0, -26.0, -27.0]))
    function = LogExpectedHypervolumeImprovement(gps=gps, boxes=boxes)
    x = np.vstack([np.random.default_rng(0).random((20, 2)), gps[0].x[:5]])
    value, gradient = function.value_and_gradient(x)
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()
    assert value.max() < -500


def test_front_rows_are_distinct_and_undominated() -> None:
    values = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0], [0.5, 3.0]])
    np.testing.assert_array_equal(front_rows(values), [[0.5, 3.0], [1.0, 2.0], [2.0, 1.0]])


def test_reference_lies_beyond_the_front_and_nine_in_ten_values() -> None:
    front = np.array([[0.0, 3.0], [2.0, 3.0]])
    values = np.column_stack([np.linspace(0.0, 1.0, 11), np.linspace(0.0, 10.0, 11)])
    np.testing.assert_allclose(reference_of(front, values), [2.2, 9.0])
