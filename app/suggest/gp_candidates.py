"""Candidates of the Gaussian process search: quasi-random points, moves of good ones, bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from .linear import Linear
from .numerics import Array
from .row_space import RowSpace, row_keys

N_GLOBAL = 512
N_AROUND = 200
"""Candidates around the best points with sd 0.1; a fifth as many around the best with sd 0.02."""
_WIDE_SD, _NARROW_SD = 0.1, 0.02
_MANY = 20
"""From so many parameters on a move changes only about this many of them."""
_KEEP_CHOICE = 0.7
"""In a box, an unordered parameter keeps the best point's choice with this probability."""
_GUARD_GAP = 0.2
"""The guard looks at numeric parameters whose neighbouring values are at most so far apart."""
_SOBOL_DIMENSIONS = 21_201


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where to look.

    Attributes:
        reach: exploration guard: largest distance (max-norm over numeric parameters) from the
            nearest known point; None for no guard.
        half_sides: half the side of a box around the best point for each parameter, shape (p,);
            None for the whole space. Unordered parameters are not bound by it.
    """

    reach: float | None = None
    half_sides: Array | None = None


class CandidateMaker:
    """Makes candidates for one search and says how far each may move."""

    def __init__(
        self, space: RowSpace, known: Array, best: Array, rng: np.random.Generator, region: Region
    ) -> None:
        self.space = space
        self.known = known
        self.best = np.where(np.isnan(best), 0.5, best)
        self.linear = Linear(space) if space.space.constraints else None
        self.rng = rng
        self.region = region
        self._is_numeric = (space.is_smooth | space.is_swept) & ~space.is_category
        gaps = np.array([1.0 / (axis.n_cells or 1e9) for axis in space.axes])
        self._is_guarded = self._is_numeric & (gaps <= _GUARD_GAP)
        self._sd_floor = np.where(gaps < 1.0, 0.6 * gaps, 0.0)

    def make(self) -> Array:
        """Distinct snapped full rows (m, p), inside their boxes, but for those that known
        constraints have moved.
        """
        origins = self.best[np.arange(N_AROUND) % len(self.best)]
        near = np.repeat(self.best[:1], N_AROUND // 5, axis=0)
        rows = [self._spread(), self._around(origins, _WIDE_SD), self._around(near, _NARROW_SD)]
        full = np.vstack(rows)
        lower, upper = self.boxes(full)
        full = self._mended(self.space.snap(np.clip(full, lower, upper)))
        first: dict[bytes, int] = {}
        for k, key in enumerate(row_keys(self.space.points(full))):
            first.setdefault(key, k)
        return full[list(first.values())]

    def _mended(self, full: Array) -> Array:
        """The rows with those that broke known constraints moved into them."""
        if self.linear is None:
            return full
        spread = self.linear.mended(full[:N_GLOBAL], self.rng, is_spread=True)
        return np.vstack([spread, self.linear.mended(full[N_GLOBAL:], self.rng)])

    def boxes(self, full: Array) -> tuple[Array, Array]:
        """Bounds (m, p), (m, p) of the numeric coordinates of full rows."""
        lower, upper = np.zeros_like(full), np.ones_like(full)
        half = self.region.half_sides
        if half is not None:
            numeric = self._is_numeric
            lower[:, numeric] = np.maximum(self.best[0] - half, 0.0)[numeric]
            upper[:, numeric] = np.minimum(self.best[0] + half, 1.0)[numeric]
        elif self.region.reach is not None and self._is_guarded.any():
            self._guard(full, self.region.reach, lower, upper)
        return lower, upper

    def _guard(self, full: Array, reach: float, lower: Array, upper: Array) -> None:
        """Narrows the bounds to `reach` around the nearest known point of each row."""
        is_active = self.space.active(self.space.snap(full))
        distance = np.zeros((full.shape[0], self.known.shape[0]))
        guarded = np.flatnonzero(self._is_guarded)
        for j in guarded:
            gap = np.abs(np.where(is_active[:, j], full[:, j], np.nan)[:, None] - self.known[:, j])
            np.fmax(distance, gap, out=distance)
        nearest = self.known[np.argmin(distance, axis=1)][:, guarded]
        lower[:, guarded] = np.where(np.isnan(nearest), 0.0, np.maximum(nearest - reach, 0.0))
        upper[:, guarded] = np.where(np.isnan(nearest), 1.0, np.minimum(nearest + reach, 1.0))

    def _spread(self) -> Array:
        """Scrambled Sobol points over the region, shape (N_GLOBAL, p)."""
        p = self.space.p
        if p <= _SOBOL_DIMENSIONS:
            u = qmc.Sobol(p, scramble=True, rng=self.rng).random(N_GLOBAL)
        else:
            u = self.rng.random((N_GLOBAL, p))
        half = self.region.half_sides
        if half is None:
            return np.asarray(u)
        inside = self.best[0] + (2.0 * u - 1.0) * half
        u = np.where(self._is_numeric, np.clip(inside, 0.0, 1.0), u)
        is_kept = self.space.is_category & (self.rng.random(u.shape) < _KEEP_CHOICE)
        return np.asarray(np.where(is_kept, self.best[0], u))

    def _around(self, origins: Array, sd: float) -> Array:
        """Moves of some coordinates of full rows (m, p): normal steps, other choices."""
        m, p = origins.shape
        share = max(0.3, 2.0 / p) if p < _MANY else min(1.0, _MANY / p)
        is_moved = self.rng.random((m, p)) < share
        is_moved[np.arange(m), self.rng.integers(p, size=m)] = True
        steps = self.rng.standard_normal((m, p)) * np.maximum(sd, self._sd_floor)
        redrawn = self.rng.random((m, p))
        moved = np.where(self.space.is_category, redrawn, np.clip(origins + steps, 0.0, 1.0))
        return np.where(is_moved, moved, origins)
