"""Kernels, masses and draws against high precision, brute force and Kolmogorov-Smirnov."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from app.suggest.base import Floats
from app.suggest.parzen import (
    ALONE,
    CENSORED,
    FLOOR,
    Column,
    EvenGrid,
    LogGrid,
    Mixture,
    bandwidths,
    log_mass,
    truncated_normal,
)


def exact_log_mass(a: float, b: float) -> float:
    with mpmath.workdps(80):
        if a > 0:
            a, b = -b, -a
        root = mpmath.sqrt(2)
        low, high = mpmath.erfc(-mpmath.mpf(a) / root), mpmath.erfc(-mpmath.mpf(b) / root)
        return float(mpmath.log((high - low) / 2))


def log_grid(low: int, high: int, step: int = 1) -> LogGrid:
    count = (high - low) // step + 1
    top = low + (count - 1) * step
    bottom, end = math.log(low - min(0.5 * step, 0.5 * low)), math.log(top + 0.5 * step)
    return LogGrid(
        count=count,
        low=float(low),
        step=float(step),
        offset=-bottom / (end - bottom),
        slope=1.0 / (end - bottom),
    )


SMOOTH = Column()
THREE = Column(n_choices=3)


class TestLogMass:
    @pytest.mark.parametrize("width", [1e-9, 1e-6, 0.99e-4, 1.01e-4, 1e-2, 0.5, 3.0, 50.0])
    @pytest.mark.parametrize("centre", [-40.0, -12.0, -1.5, -1.0, -0.3, 0.0, 0.7, 1.0, 6.0, 40.0])
    def test_agrees_with_eighty_digits(self, width: float, centre: float) -> None:
        a, b = centre - width / 2, centre + width / 2
        found = float(log_mass(np.array(a), np.array(b)))
        expected = exact_log_mass(a, b)
        assert found == pytest.approx(expected, rel=1e-12, abs=2e-12)

    def test_of_the_whole_line_is_zero(self) -> None:
        assert log_mass(np.array([-np.inf]), np.array([np.inf]))[0] == 0.0

    def test_of_half_lines_far_out_is_finite(self) -> None:
        found = log_mass(np.array([30.0, -np.inf]), np.array([np.inf, -30.0]))
        assert found == pytest.approx([exact_log_mass(-np.inf, -30.0)] * 2, rel=1e-13)

    def test_of_nothing_is_minus_infinity(self) -> None:
        assert list(log_mass(np.array([0.5, -8.0]), np.array([0.5, -8.0]))) == [-np.inf] * 2


class TestTruncatedNormal:
    @pytest.mark.parametrize(("a", "b"), [(-1.0, 2.0), (-20.0, 0.0), (0.0, 20.0), (0.0, 0.1)])
    def test_follows_the_truncated_distribution(self, a: float, b: float) -> None:
        q = np.random.default_rng(5).random(4_000)
        x = truncated_normal(q, np.full(q.shape, a), np.full(q.shape, b))
        assert stats.kstest(x, stats.truncnorm(a, b).cdf).pvalue > 0.01

    @pytest.mark.parametrize(("a", "b"), [(-1.0, 2.0), (-6.0, 0.0), (0.0, 6.0), (-0.3, 0.0)])
    def test_agrees_with_fifty_digits(self, a: float, b: float) -> None:
        levels = np.array([1e-12, 0.01, 0.5, 0.99])
        found = truncated_normal(levels, np.full(4, a), np.full(4, b))
        with mpmath.workdps(50):
            low, high = mpmath.ncdf(a), mpmath.ncdf(b)
            shares = [(mpmath.ncdf(float(x)) - low) / (high - low) for x in found]
        assert [float(share) for share in shares] == pytest.approx(levels, rel=1e-12, abs=1e-15)

    @pytest.mark.parametrize(("a", "b"), [(-1.0, 2.0), (-40.0, 0.0), (0.0, 40.0), (0.0, 0.0)])
    def test_keeps_to_its_ends(self, a: float, b: float) -> None:
        q = np.array([0.0, 1e-300, 0.5, 1.0 - 1e-16, 1.0])
        x = truncated_normal(q, np.full(5, a), np.full(5, b))
        assert np.all((a <= x) & (x <= b))
        assert np.all(np.diff(x) >= 0.0)


class TestBandwidths:
    @staticmethod
    def of(*centres: float) -> Floats:
        return bandwidths(np.array([centres]), np.array([FLOOR]))[0]

    def test_are_the_larger_gap_to_the_neighbours(self) -> None:
        assert self.of(0.9, 0.1, 0.4, 0.3) == pytest.approx([0.5, 0.2, 0.5, 0.2])

    def test_never_fall_below_the_floor(self) -> None:
        assert np.all(self.of(*[0.25] * 10_000) == FLOOR)

    def test_of_one_centre_is_a_share_of_the_range(self) -> None:
        assert self.of(0.2) == pytest.approx([ALONE])

    def test_each_parameter_has_its_own(self) -> None:
        centres = np.random.default_rng(0).random((3, 20))
        floors = np.array([0.01, 0.05, 0.3])
        alone = [bandwidths(centres[[j]], floors[[j]])[0] for j in range(3)]
        assert np.array_equal(bandwidths(centres, floors), np.array(alone))


class TestGrids:
    @pytest.mark.parametrize("grid", [EvenGrid(count=7), log_grid(1, 100), log_grid(3, 50, 4)])
    def test_cells_fill_the_unit_interval_without_gaps(self, grid: EvenGrid | LogGrid) -> None:
        lower, upper = grid.borders(np.arange(grid.count, dtype=float))
        assert lower[0] == 0.0
        assert upper[-1] == 1.0
        assert lower[1:] == pytest.approx(upper[:-1], abs=1e-15)
        assert np.all(upper > lower)

    @pytest.mark.parametrize("grid", [EvenGrid(count=7), log_grid(1, 100), log_grid(3, 50, 4)])
    def test_centres_lie_in_their_cells(self, grid: EvenGrid | LogGrid) -> None:
        cells = np.arange(grid.count, dtype=float)
        assert np.array_equal(grid.cell(grid.centre(cells)), cells)

    @pytest.mark.parametrize("grid", [EvenGrid(count=7), log_grid(1, 100)])
    def test_the_ends_belong_to_the_outer_cells(self, grid: EvenGrid | LogGrid) -> None:
        assert list(grid.cell(np.array([0.0, 1.0]))) == [0.0, grid.count - 1.0]


class TestMixture:
    def test_density_agrees_with_brute_force_in_high_precision(self) -> None:
        codes = np.array([[0.1, 2.0, 0.0], [0.15, 9.0, 1.0], [0.8, 4.0, 1.0]])
        weights = np.array([2.0, 0.5, 0.5])
        grid = log_grid(1, 12)
        mixture = Mixture([SMOOTH, Column(grid=grid), THREE], codes, weights)
        x = np.array([[0.0, 0.0, 0.0], [0.12, 9.0, 1.0], [1.0, 11.0, 2.0]])
        expected = [_brute_force(codes, weights, grid, row) for row in x]
        assert mixture.log_density(x) == pytest.approx(expected, abs=1e-11)

    def test_density_of_a_continuous_parameter_integrates_to_one(self) -> None:
        codes = np.array([[0.0], [0.01], [0.5], [1.0]])
        mixture = Mixture([SMOOTH], codes, np.ones(4))
        u, share = np.polynomial.legendre.leggauss(400)
        density = np.exp(mixture.log_density(0.5 * (u[:, None] + 1.0)))
        assert float(density @ share) / 2 == pytest.approx(1.0, abs=1e-12)

    @pytest.mark.parametrize("grid", [EvenGrid(count=9), log_grid(1, 200), log_grid(5, 90, 7)])
    @pytest.mark.parametrize("n", [0, 1, 12])
    def test_cells_sum_to_one(self, grid: EvenGrid | LogGrid, n: int) -> None:
        codes = np.random.default_rng(n).integers(grid.count, size=(n, 1)).astype(float)
        mixture = Mixture([Column(grid=grid)], codes, np.ones(n))
        every = np.arange(grid.count, dtype=float)[:, None]
        assert float(np.exp(mixture.log_density(every)).sum()) == pytest.approx(1.0, abs=1e-12)

    @pytest.mark.parametrize("n", [0, 1, 12])
    def test_choices_sum_to_one(self, n: int) -> None:
        codes = np.random.default_rng(n).integers(3, size=(n, 1)).astype(float)
        mixture = Mixture([THREE], codes, np.ones(n))
        every = np.arange(3.0)[:, None]
        assert float(np.exp(mixture.log_density(every)).sum()) == pytest.approx(1.0, abs=1e-12)

    def test_a_choice_that_was_good_is_likelier_but_none_is_impossible(self) -> None:
        mixture = Mixture([THREE], np.array([[1.0], [1.0]]), np.ones(2))
        p = np.exp(mixture.log_density(np.arange(3.0)[:, None]))
        # N = 3 components: (1 + 1/3) / (1 + 3/3) = 2/3 and 1/6 of each observation, 1/3 prior.
        assert p == pytest.approx([2 / 3 / 6 + 1 / 9, 2 / 3 * 2 / 3 + 1 / 9, 2 / 3 / 6 + 1 / 9])

    def test_continuous_draws_follow_the_density(self) -> None:
        mixture = Mixture([SMOOTH], np.array([[0.02], [0.7], [0.4]]), np.array([3.0, 1.0, 1.0]))
        x = mixture.draw(np.random.default_rng(7), 4_000)[:, 0]
        grid = np.linspace(0.0, 1.0, 4_001)
        density = np.exp(mixture.log_density(grid[:, None]))
        cdf = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))]) / 4_000
        assert stats.kstest(x, lambda t: np.interp(t, grid, cdf)).pvalue > 0.01

    def test_narrow_kernels_put_what_falls_beyond_a_border_on_it(self) -> None:
        mixture = Mixture([SMOOTH], np.array([[0.0], [0.02]]), np.full(2, 1e6))
        x = mixture.draw(np.random.default_rng(7), 4_000)[:, 0]
        expected = 0.5 * (0.5 + stats.norm.cdf(-0.02 / FLOOR))
        assert FLOOR <= CENSORED
        assert np.mean(x == 0.0) == pytest.approx(expected, abs=0.03)
        assert x.min() == 0.0
        assert x.max() < 1.0

    @pytest.mark.parametrize("column", [Column(grid=log_grid(1, 12)), THREE])
    def test_discrete_draws_follow_the_masses(self, column: Column) -> None:
        count = column.n_choices or 12
        codes = np.array([[0.0], [2.0], [1.0]])
        mixture = Mixture([column], codes, np.array([3.0, 1.0, 1.0]))
        every = np.arange(float(count))
        drawn = mixture.draw(np.random.default_rng(3), 6_000)[:, 0]
        seen = np.array([np.count_nonzero(drawn == k) for k in every])
        expected = 6_000 * np.exp(mixture.log_density(every[:, None]))
        assert seen.sum() == 6_000
        assert stats.chisquare(seen, expected * 6_000 / expected.sum()).pvalue > 0.01

    def test_draws_keep_the_parameters_of_one_observation_together(self) -> None:
        codes = np.array([[0.05, 0.0], [0.95, 1.0]] * 20)
        mixture = Mixture([SMOOTH, Column(n_choices=2)], codes, np.ones(40))
        x = mixture.draw(np.random.default_rng(11), 1_000)
        agree = (x[:, 0] > 0.5) == (x[:, 1] == 1.0)
        assert agree.mean() > 0.9

    def test_without_observations_only_the_prior_is_left(self) -> None:
        mixture = Mixture([SMOOTH, THREE], np.empty((0, 2)), np.empty(0))
        prior = stats.truncnorm(-0.5, 0.5, loc=0.5)
        expected = [prior.logpdf(0.2) - math.log(3)]
        assert mixture.log_density(np.array([[0.2, 1.0]])) == pytest.approx(expected)

    def test_equal_observations_by_the_thousand_leave_all_finite(self) -> None:
        codes = np.full((10_000, 2), 0.5)
        codes[:, 1] = 3.0
        mixture = Mixture([SMOOTH, Column(grid=EvenGrid(count=4))], codes, np.ones(10_000))
        x = np.array([[0.5, 3.0], [0.0, 0.0], [1.0, 2.0]])
        assert np.all(np.isfinite(mixture.log_density(x)))
        assert np.all(np.isfinite(mixture.draw(np.random.default_rng(0), 50)))

    def test_vanishing_weights_are_harmless(self) -> None:
        mixture = Mixture([SMOOTH], np.array([[0.3], [0.6]]), np.array([1e-12, 2.0]))
        assert np.all(np.isfinite(mixture.log_density(np.array([[0.3], [0.0]]))))


def _brute_force(codes: np.ndarray, weights: np.ndarray, grid: LogGrid, x: np.ndarray) -> float:
    """Log density of one row under (continuous, cells, three choices), straight from formulas."""
    with mpmath.workdps(50):
        n = codes.shape[0]
        total = mpmath.mpf(0)
        smooth_sd = [*bandwidths(codes[:, :1].T, np.array([FLOOR]))[0], 1.0]
        smooth_mu = [*codes[:, 0], 0.5]
        cell_mu = [*grid.centre(codes[:, 1]), 0.5]
        cell_sd = [*bandwidths(grid.centre(codes[:, 1:2]).T, np.array([FLOOR]))[0], 1.0]
        lower, upper = (float(end[0]) for end in grid.borders(x[1:2]))
        for i, weight in enumerate([*weights, 1.0]):
            mu, sd = mpmath.mpf(smooth_mu[i]), mpmath.mpf(smooth_sd[i])
            term = mpmath.npdf(x[0], mu, sd) / (mpmath.ncdf(1, mu, sd) - mpmath.ncdf(0, mu, sd))
            mu, sd = mpmath.mpf(cell_mu[i]), mpmath.mpf(cell_sd[i])
            whole = mpmath.ncdf(1, mu, sd) - mpmath.ncdf(0, mu, sd)
            term *= (mpmath.ncdf(upper, mu, sd) - mpmath.ncdf(lower, mu, sd)) / whole
            hit = mpmath.mpf(int(i < n and codes[i, 2] == x[2]))
            smooth = (hit + mpmath.mpf(1) / (n + 1)) / (1 + mpmath.mpf(3) / (n + 1))
            term *= smooth if i < n else mpmath.mpf(1) / 3
            total += mpmath.mpf(weight) * term
        return float(mpmath.log(total / mpmath.mpf(float(weights.sum() + 1.0))))
