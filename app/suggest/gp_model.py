"""A Gaussian process with a constant mean: fit, posterior, its gradients, pending points.

Pure linear algebra on feature rows; what the columns mean is the business of `row_space`.
Reference: Rasmussen & Williams 2006, chapters 2 and 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import solve_triangular

from .gp_fit import NOISE_BOUNDS, LogPosterior, Prior, default_hyper, maximise, profile, to_theta
from .gp_kernel import Columns, Hyper, Kernel
from .gp_predict import Predictor
from .numerics import Array, cholesky, inverse_from_cholesky

VARIANCE_FLOOR = 1e-12
"""Smallest posterior variance, as a share of s_f^2."""
SMALL_PIVOT = 1e-6
"""Below this share of its prior variance a new row's pivot loses too many digits of the inverse."""
NOISY_SHARE = 1e-3
"""A noise variance above this share of the targets' variance may count as noise."""
NOISY_EVIDENCE = 2.0
"""Noise is believed when the data are less likely without it by so many nats."""


@dataclass(frozen=True, kw_only=True)
class GaussianProcess:
    """A process conditioned on data; c feature columns, n observed rows, then q pending ones.

    Attributes:
        kernel: covariance function with its hyper-parameters.
        x: observed, then pending rows, shape (n + q, c).
        z: observed targets, shape (n,).
        mean: constant mean mu.
        weights: K^-1 (z - mu) over the observed rows and zeros over the pending ones, shape
            (n + q,): a pending row whose value is its own posterior mean changes no mean.
        factor: Cholesky factor of K + s_n^2 I over all rows, shape (n + q, n + q).
        inverse: its inverse matrix, shape (n + q, n + q), for the search.
        is_noisy: whether the noise is more than numerical; see `has_noise`.
    """

    kernel: Kernel
    x: Array
    z: Array
    mean: float
    weights: Array
    factor: Array
    inverse: Array
    is_noisy: bool = False

    @classmethod
    def condition(
        cls,
        x: Array,
        z: Array,
        hyper: Hyper,
        *,
        columns: Columns | None = None,
        mean: float | None = None,
    ) -> GaussianProcess:
        """The process given data and hyper-parameters.

        Args:
            x: features, shape (n, c), n >= 1.
            z: targets, shape (n,), finite.
            hyper: hyper-parameters.
            columns: what the columns are; all coordinates when left out.
            mean: the constant mean; by generalised least squares when left out.

        Raises:
            np.linalg.LinAlgError: the covariance cannot be factored with any jitter.
        """
        kernel = Kernel(columns=columns or Columns.numeric(x.shape[1]), hyper=hyper)
        covariance = kernel.cross(x, x)
        covariance.flat[:: x.shape[0] + 1] = kernel.own(x) + hyper.noise
        factor, _ = cholesky(covariance)
        profiled, weights = profile(factor, z)
        inverse = inverse_from_cholesky(factor)
        if mean is not None:
            weights = inverse @ (z - mean)
        return cls(
            kernel=kernel,
            x=x,
            z=z,
            mean=profiled if mean is None else mean,
            weights=weights,
            factor=factor,
            inverse=inverse,
        )

    @classmethod
    def fit(
        cls,
        x: Array,
        z: Array,
        *,
        columns: Columns | None = None,
        has_trend: bool = False,
        starts: Sequence[Hyper] = (),
        doubtful: Sequence[Hyper] = (),
        n_fit: int | None = None,
        prior: Prior | None = None,
    ) -> GaussianProcess:
        """Maximum a posteriori hyper-parameters, then the process given all data.

        Args:
            x: features, shape (n, c).
            z: standardised targets, shape (n,).
            columns: what the columns are; all coordinates when left out.
            has_trend: whether the kernel has the trend terms.
            starts: hyper-parameters to start from; the default start when empty.
            doubtful: further ones, which have to be clearly better.
            n_fit: how many of the first rows the hyper-parameters see; all when left out.
            prior: priors of the hyper-parameters.

        Raises:
            np.linalg.LinAlgError: no start gave a positive definite covariance.
        """
        columns = columns or Columns.numeric(x.shape[1])
        m = x.shape[0] if n_fit is None else n_fit
        posterior = LogPosterior(x=x[:m], z=z[:m], columns=columns, prior=prior or Prior())
        starts = starts or (default_hyper(columns.n_scales, has_trend=has_trend),)
        hyper, _ = maximise(posterior, starts, doubtful)
        made = cls.condition(x, z, hyper, columns=columns)
        return replace(made, is_noisy=has_noise(posterior, hyper))

    @property
    def hyper(self) -> Hyper:
        """Hyper-parameters of the kernel."""
        return self.kernel.hyper

    @cached_property
    def predictor(self) -> Predictor:
        """The process as the search asks it, at many rows at once."""
        floor = VARIANCE_FLOOR * self.hyper.signal
        return Predictor(self.kernel, self.x, self.mean, self.weights, self.inverse, floor)

    @property
    def n_observed(self) -> int:
        """Number of observed rows."""
        return int(self.z.size)

    def with_pending(self, x: Array) -> GaussianProcess:
        """The process that also knows where values are under way (kriging believer).

        The rows get their own posterior mean for a value, so the mean stays and the variance
        shrinks (Ginsbourger et al. 2010).

        Args:
            x: features of pending points, shape (q, c).

        Raises:
            np.linalg.LinAlgError: the covariance cannot be factored with any jitter.
        """
        if x.shape[0] == 0:
            return self
        factor, inverse = self._grown(x)
        return replace(
            self,
            x=np.vstack([self.x, x]),
            weights=np.concatenate([self.weights, np.zeros(x.shape[0])]),
            factor=factor,
            inverse=inverse,
        )

    def observing(self, x: Array, z: Array) -> GaussianProcess:
        """The process with further observed rows, under the same hyper-parameters.

        Args:
            x: features of the further rows, shape (k, c).
            z: targets of all rows, standardised anew, shape (n + k,).

        Raises:
            np.linalg.LinAlgError: the covariance cannot be factored with any jitter.
        """
        factor, inverse = self._grown(x)
        mean, weights = profile(factor, z)
        return replace(
            self,
            x=np.vstack([self.x, x]),
            z=z,
            mean=mean,
            weights=weights,
            factor=factor,
            inverse=inverse,
        )

    def _grown(self, x: Array) -> tuple[Array, Array]:
        """Cholesky factor and inverse with further rows (k, c): two (n + k, n + k) arrays.

        By blocks in O(n^2 k): L21 = (L11^-1 K12)', L22 L22' = S = K22 - L21 L21', and the inverse
        through S^-1 (Golub & Van Loan 2013, section 4.2.4; Rasmussen & Williams 2006, eq. A.12).
        The inverse is taken from the whole factor where a pivot is too small for that.
        """
        n, k = self.x.shape[0], x.shape[0]
        cross = self.kernel.cross(self.x, x)
        l21 = solve_triangular(self.factor, cross, lower=True).T
        block = self.kernel.cross(x, x)
        block.flat[:: k + 1] = self.kernel.own(x) + self.hyper.noise
        l22, _ = cholesky(block - l21 @ l21.T)
        factor = np.zeros((n + k, n + k))
        factor[:n, :n], factor[n:, :n], factor[n:, n:] = self.factor, l21, l22
        if np.any(l22.diagonal() ** 2 < SMALL_PIVOT * block.diagonal()):
            return factor, inverse_from_cholesky(factor)
        schur = inverse_from_cholesky(l22)
        pulled = self.inverse @ cross
        corner = -pulled @ schur
        inverse = np.empty_like(factor)
        inverse[:n, :n] = self.inverse - corner @ pulled.T
        inverse[:n, n:], inverse[n:, :n], inverse[n:, n:] = corner, corner.T, schur
        return factor, inverse

    def posterior(self, x: Array) -> tuple[Array, Array]:
        """Posterior mean and standard deviation of the noise-free value, through the factor.

        Args:
            x: features, shape (m, c).

        Returns:
            Two arrays of shape (m,) (Rasmussen & Williams 2006, eq. 2.25, 2.26).
        """
        k = self.kernel.cross(x, self.x)
        v = solve_triangular(self.factor, k.T, lower=True)
        variance = self.kernel.own(x) - np.einsum("ij,ij->j", v, v)
        return self.mean + k @ self.weights, np.sqrt(self.floored(variance))

    def floored(self, variance: Array) -> Array:
        """Variances, not below 1e-12 s_f^2."""
        return np.maximum(variance, VARIANCE_FLOOR * self.hyper.signal)

    def observed_means(self) -> Array:
        """Posterior means at the observed rows, shape (n,): z - s_n^2 K^-1 (z - mu)."""
        n = self.n_observed
        return np.asarray(self.z - self.hyper.noise * self.weights[:n])


def has_noise(posterior: LogPosterior, hyper: Hyper) -> bool:
    """Whether the data ask for noise: its variance counts, and without it they are unlikely."""
    spread = float(np.var(posterior.z))
    if hyper.noise <= NOISY_SHARE * max(spread, 1e-300):
        return False
    quiet = replace(hyper, noise=NOISE_BOUNDS[0])
    with_noise, _ = posterior.evidence(to_theta(hyper))
    without, _ = posterior.evidence(to_theta(quiet))
    return not math.isfinite(without) or with_noise - without > NOISY_EVIDENCE
