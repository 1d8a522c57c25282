"""Where an acquisition function is largest on a search space, among points not yet taken.

Candidates (quasi-random ones and moves around good points) give starts; each start climbs by its
gradient in the smooth parameters and then takes the best change of a single discrete one, until
nothing moves. Integers and steps are judged on their cells: nothing is rounded after the choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .acquisition import Acquisition
from .gp_ascent import climb
from .gp_candidates import CandidateMaker, Region
from .linear import Follower, Linear
from .numerics import Array
from .row_space import RowSpace, row_keys

N_STARTS = 8
N_BRANCH_STARTS = 6
"""At most so many further starts, the best candidate of each pattern of active parameters."""
MAX_ROUNDS = 6
_ROWS_LATER = 4
"""After the first round only so many of the best starts go on."""
_EVALUATIONS = (30, 12)
"""Batched evaluations of the climb, in the first round and in later ones."""
_MOST_CHOICES = 64
"""Choices of one category that a sweep tries at most, drawn when there are more."""
_CELL_STEPS = np.array([-8.0, -4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 8.0])
"""Cells by which a large discrete parameter is moved in a sweep, after its climb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the space.

    Attributes:
        points: all finished and pending points, shape (n, p), NaN where inactive.
        best: the most promising ones, best first, shape (k, p), k >= 1.
    """

    points: Array
    best: Array


class Search:
    """One search: a space, an acquisition function, what is known, where to look."""

    def __init__(
        self,
        space: RowSpace,
        acquisition: Acquisition,
        known: Known,
        rng: np.random.Generator,
        region: Region | None = None,
    ) -> None:
        self.space = space
        self.acquisition = acquisition
        self.rng = rng
        self.maker = CandidateMaker(space, known.points, known.best, rng, region or Region())
        self.taken = set(row_keys(known.points))
        cells = np.array([float(axis.n_cells or 0) for axis in space.axes])
        self._is_stepped = space.is_smooth & (cells > 0)
        self._smooth = np.flatnonzero(space.is_smooth)
        self._has_discrete = bool((space.is_swept | self._is_stepped).any())

    def ranked(self) -> Iterator[tuple[Array, float]]:
        """Points (p,) with their acquisition values, best first, none of them taken."""
        full = self.maker.make()
        score = self.score(full)
        moved, moved_score = self._improve(full[self._choose_starts(full, score)])
        everything = np.vstack([moved, full])
        scores = np.concatenate([moved_score, score])
        order = np.argsort(-scores, kind="stable")
        order = order[np.isfinite(scores[order])]
        points = self.space.points(everything[order])
        return zip(points, [float(s) for s in scores[order]], strict=True)

    def score(self, full: Array) -> Array:
        """Acquisition values (m,) of full rows; minus infinity where a point must not be chosen."""
        return score_points(self.space, self.acquisition, self.space.points(full), self.taken)

    def _choose_starts(self, full: Array, score: Array) -> NDArray[np.intp]:
        """Rows of the candidates: the best, others by softmax, the best of each branch."""
        best = int(np.argmax(score))
        with np.errstate(invalid="ignore"):
            level = np.where(np.isfinite(score), score - score[best], -np.inf)
        noisy = level + self.rng.gumbel(size=level.size)
        noisy[best] = np.inf
        chosen = list(np.argsort(-noisy, kind="stable")[:N_STARTS])
        patterns = np.isnan(self.space.points(full))
        seen = {patterns[k].tobytes() for k in chosen}
        for k in np.argsort(-level, kind="stable"):
            if len(chosen) >= N_STARTS + N_BRANCH_STARTS or not np.isfinite(level[k]):
                break
            key = patterns[k].tobytes()
            if key not in seen:
                seen.add(key)
                chosen.append(k)
        return np.array(chosen, dtype=np.intp)

    def _improve(self, starts: Array) -> tuple[Array, Array]:
        """Climbs and sweeps in turn from the starts (s, p); all rows that were ended on."""
        u = np.vstack([starts, self.maker.best[:1]])
        ended: list[Array] = []
        scores: list[Array] = []
        for k in range(MAX_ROUNDS):
            u = self._climbed(u, _EVALUATIONS[min(k, 1)])
            score = self.score(u)
            ended.append(u)
            scores.append(score)
            if not self._has_discrete:
                break
            order = np.argsort(-score, kind="stable")[: len(u) if k == 0 else _ROWS_LATER]
            u, swept = self._swept(u[order])
            has_moved = swept > score[order] + 1e-9
            if not has_moved.any():
                break
            u = u[has_moved]
            ended.append(u)
            scores.append(swept[has_moved])
        return np.vstack(ended), np.concatenate(scores)

    def _climbed(self, u: Array, evaluations: int) -> Array:
        """The snapped rows after a climb in their active smooth parameters."""
        space, linear = self.space, self.maker.linear
        if not space.is_smooth.any():
            return space.snap(u)
        may_move = space.is_smooth & space.active(u)
        lower, upper = self.maker.boxes(u)
        held = ~may_move
        lower, upper = np.where(held, u, lower), np.where(held, u, upper)
        if linear is not None:
            lower, upper = np.minimum(lower, u), np.maximum(upper, u)
            return self._climbed_within(linear, u, lower, upper, evaluations)
        start = np.clip(u, lower, upper)
        ended = climb(self._value_and_gradient, start, lower, upper, evaluations=evaluations)[0]
        return space.snap(ended)

    def _climbed_within(
        self, linear: Linear, u: Array, lower: Array, upper: Array, evaluations: int
    ) -> Array:
        """The snapped rows after a climb inside known constraints, along those that are tight."""
        out = u.copy()
        for rows, follower in linear.grouped(u):
            low, high = lower[rows], upper[rows]
            places = linear.columns[follower.places]
            low[:, places] = high[:, places] = u[rows][:, places]
            function = partial(self._followed, follower)
            ended = climb(function, u[rows], low, high, evaluations=evaluations)[0]
            out[rows] = follower.followed(ended)[0]
        return linear.mended(self.space.snap(out), self.rng)

    def _followed(self, follower: Follower, full: Array) -> tuple[Array, Array]:
        """The acquisition at full rows in which some values follow from the others."""
        full, is_inside = follower.followed(full)
        value, gradient = self._value_and_gradient(full)
        return np.where(is_inside, value, -np.inf), follower.folded(full, gradient)

    def _value_and_gradient(self, full: Array) -> tuple[Array, Array]:
        """The acquisition at full rows that need not be snapped in the smooth parameters."""
        space = self.space
        smooth = self._smooth
        gradient = np.zeros_like(full)
        if not space.has_conditions:
            value, by_feature = self.acquisition.value_and_gradient(space.features(full))
            gradient[:, smooth] = by_feature[:, space.column_of[smooth]]
            return value, gradient
        is_active = space.active(space.snap(full))
        x = space.features(np.where(is_active, full, np.nan))
        value, by_feature = self.acquisition.value_and_gradient(x)
        gradient[:, smooth] = by_feature[:, space.column_of[smooth]] * is_active[:, smooth]
        return value, gradient

    def _swept(self, u: Array) -> tuple[Array, Array]:
        """Each row (s, p) after its best change of one discrete parameter, and its value (s,)."""
        owner, changed = self._changes(u)
        if owner.size == 0:
            return u, np.full(u.shape[0], -np.inf)
        lower, upper = self.maker.boxes(u)
        is_inside = ((changed >= lower[owner] - 1e-12) & (changed <= upper[owner] + 1e-12)) | (
            changed == u[owner]
        )
        if self.maker.linear is not None:
            changed = self.maker.linear.mended(changed, self.rng)
        score = np.where(is_inside.all(axis=1), self.score(changed), -np.inf)
        out, value = u.copy(), np.full(u.shape[0], -np.inf)
        for k in np.lexsort((-score, owner)):
            row = owner[k]
            if value[row] == -np.inf and np.isfinite(score[k]):
                out[row], value[row] = changed[k], score[k]
        return out, value

    def _changes(self, u: Array) -> tuple[NDArray[np.intp], Array]:
        """All changes of one active discrete parameter: owners (t,) and full rows (t, p)."""
        is_active = self.space.active(u)
        owners: list[NDArray[np.intp]] = []
        rows: list[Array] = []
        for j in np.flatnonzero(self.space.is_swept | self._is_stepped):
            owner = np.flatnonzero(is_active[:, j])
            if owner.size == 0:
                continue
            targets = self._targets(int(j), u[owner, j])
            changed = np.repeat(u[owner], targets.shape[1], axis=0)
            changed[:, j] = targets.ravel()
            is_new = changed[:, j] != np.repeat(u[owner, j], targets.shape[1])
            owners.append(np.repeat(owner, targets.shape[1])[is_new])
            rows.append(changed[is_new])
        if not owners:
            return np.empty(0, dtype=np.intp), np.empty((0, self.space.p))
        return np.concatenate(owners), np.vstack(rows)

    def _targets(self, j: int, u: Array) -> Array:
        """Coordinates (s, t) to try for a discrete parameter that now is at u (s,)."""
        count = self.space.axes[j].n_cells or 1
        if self._is_stepped[j]:
            cells = self.space.cell(j, u)[:, None] + _CELL_STEPS
            return self.space.to_cell_centre(j, cells)
        cells = np.arange(count, dtype=float)
        if count > _MOST_CHOICES:
            cells = np.sort(self.rng.permutation(cells)[:_MOST_CHOICES])
        return np.tile(self.space.to_cell_centre(j, cells), (u.size, 1))


def score_points(
    space: RowSpace, acquisition: Acquisition, points: Array, taken: set[bytes]
) -> Array:
    """Acquisition values (m,) of points (m, p); minus infinity for taken and forbidden ones."""
    allowed = space.keeps_constraints(points)
    allowed &= np.array([key not in taken for key in row_keys(points)], dtype=bool)
    out = np.full(points.shape[0], -np.inf)
    if allowed.any():
        out[allowed] = acquisition.value(space.features(points[allowed]))
    return np.where(np.isnan(out), -np.inf, out)
