"""What `gp` maximises with several objectives or with outcome constraints: one process a metric.

Up to three objectives: the logarithm of the expected hypervolume improvement (Yang et al. 2019,
arXiv 1904.12672; Ament et al. 2023, arXiv 2310.20708), see `ehvi`. More, or a front of more than
`MAX_FRONT` points: the expected improvement of an augmented Chebyshev scalarisation whose weights
are drawn for each point (ParEGO; Knowles 2006, eq. 2). Constraints weigh either with their
probability (`gp_outcomes`); while nothing is feasible, that probability alone is maximised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .acquisition import Acquisition, LogExpectedImprovement, LogProbabilityBelow, Sum
from .boxes import MAX_OBJECTIVES, open_boxes
from .ehvi import LogExpectedHypervolumeImprovement, front_rows, reference_of
from .gp_outcomes import Fitted, LogFeasibility, feasibility, fitted, success, unwarped_targets
from .gp_training import MAX_ROWS, SUBSET_ROWS, History, active_rows, train
from .numerics import Array
from .pareto import is_non_dominated
from .row_space import Mask, RowSpace

Rows: TypeAlias = NDArray[np.intp]

MAX_FRONT = 100
"""A front of more points is scalarised: boxes would cost more than they bring."""
RHO = 0.05
"""Weight of the sum beside the largest term (Knowles 2006)."""
MIN_VALUES = 2
"""A process needs so many values."""
N_BEST = 10
"""Candidates are made around so many of the best points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Finished trials by number, as arrays.

    Attributes:
        points: shape (n, p), NaN where inactive.
        y: objectives to minimise, shape (n, m), rows of NaN for failures.
        excess: of the constraints, shape (n, c), at most 0 within, NaN where unknown.
    """

    points: Array
    y: Array
    excess: Array

    @property
    def is_ok(self) -> Mask:
        """Which trials have all objectives, shape (n,)."""
        return np.asarray(np.isfinite(self.y).all(axis=1))

    @property
    def is_feasible(self) -> Mask:
        """Which of them also keep every constraint, shape (n,)."""
        return np.asarray(self.is_ok & (self.excess <= 0.0).all(axis=1))

    @property
    def standing(self) -> Rows:
        """The trials that may be improved on: the feasible ones, or all with values without any."""
        good = self.is_feasible
        return np.flatnonzero(good if good.any() else self.is_ok)

    def violation(self) -> Array:
        """Sum of the exceeded shares of each constraint's largest excess, shape (n,)."""
        beyond = np.where(np.isnan(self.excess), np.inf, np.maximum(self.excess, 0.0))
        largest = np.max(np.where(np.isfinite(beyond), beyond, 0.0), axis=0, initial=0.0)
        return np.asarray((beyond / np.where(largest > 0.0, largest, 1.0)).sum(axis=1))

    def taken(self, rows: Rows) -> Observed:
        """The trials of some rows."""
        return Observed(points=self.points[rows], y=self.y[rows], excess=self.excess[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is maximised for one point, and what it rests on.

    Attributes:
        acquisition: the whole of it, pending points known.
        best: promising points, the best first, shape (k, p), k >= 1.
        models: one for each process of objectives, in order.
        details: for the provenance, JSON values.
    """

    acquisition: Acquisition
    best: Array
    models: tuple[Fitted, ...]
    details: dict[str, Any]


class Models:
    """The processes of one history, fitted when they are first needed."""

    def __init__(self, space: RowSpace, observed: Observed) -> None:
        self.space = space
        if observed.y.shape[0] > MAX_ROWS:
            observed = observed.taken(_active_rows(space, observed))
        self.observed = observed
        self.x = space.features(observed.points)
        self._objectives: tuple[Fitted, ...] | None = None
        self._constraints: tuple[LogFeasibility, ...] | None = None
        self._success: LogProbabilityBelow | None = None
        self._has_success = False

    def target(self, pending: Array, rng: np.random.Generator) -> Target:
        """What to maximise for the next point.

        Args:
            pending: points under way, shape (q, p).
            rng: draws the weights of a scalarisation, and which point of a front is the centre.
        """
        observed, beyond = self.observed, self.space.features(pending)
        constraints = self.constraints()
        parts: list[Acquisition] = [
            replace(part, gp=part.gp.with_pending(beyond)) for part in constraints
        ]
        good = observed.is_feasible
        likely = self._likely(beyond)
        details: dict[str, Any] = {
            "n": int(observed.y.shape[0]),
            "n_feasible": int(good.sum()),
            "n_constraints": int(observed.excess.shape[1]),
        }
        models: tuple[Fitted, ...] = ()
        if constraints and not good.any() and not likely.size:
            best = np.argsort(observed.violation(), kind="stable")[:N_BEST]
            more: dict[str, Any] = {"acquisition": "feasibility"}
        else:
            gain, best, models, more = self._gain(beyond, likely, rng)
            parts.insert(0, gain)
            more |= self._described(models)
        failures = self.success()
        if failures is not None:
            parts.append(failures)
        acquisition = parts[0] if len(parts) == 1 else Sum(parts=tuple(parts))
        return Target(
            acquisition=acquisition,
            best=observed.points[best],
            models=models,
            details=details | more,
        )

    def _likely(self, beyond: Array) -> Rows:
        """Rows of pending features (q, c) that are expected to keep every constraint."""
        kept = np.ones(beyond.shape[0], dtype=bool)
        if beyond.shape[0]:
            for part in self.constraints():
                kept &= part.gp.posterior(beyond)[0] <= part.threshold
        return np.flatnonzero(kept)

    def _gain(
        self, beyond: Array, likely: Rows, rng: np.random.Generator
    ) -> tuple[Acquisition, Rows, tuple[Fitted, ...], dict[str, Any]]:
        """What the objectives promise, the best rows, the models and what to tell of them.

        Args:
            beyond: features of pending points, shape (q, c).
            likely: those of them whose expected values have to be improved on too: the same gain
                must not be promised twice.
            rng: draws weights and the order of a front.
        """
        y, rows = self.observed.y, self.observed.standing
        m = y.shape[1]
        if m == 1:
            (model,) = models = self.objectives()
            gain, best = _improvement(model, rows, beyond, likely)
            return gain, best, models, {"acquisition": "log_ei"}
        front = rows[is_non_dominated(y[rows])]
        if m <= MAX_OBJECTIVES and front.size <= MAX_FRONT:
            gain, more = self._hypervolume(front, beyond, likely)
            return gain, rng.permutation(front)[:N_BEST], self.objectives(), more
        weights = rng.dirichlet(np.ones(m))
        model = self._trained(chebyshev(y, front, weights))
        gain, best = _improvement(model, rows, beyond, likely)
        more = {
            "acquisition": "log_ei of a scalarisation",
            "n_front": int(front.size),
            "weights": [float(w) for w in weights],
        }
        return gain, best, (model,), more

    def objectives(self) -> tuple[Fitted, ...]:
        """One model an objective: warped where it is the only one, else not."""
        if self._objectives is None:
            y = self.observed.y
            if y.shape[1] == 1:
                self._objectives = (self._trained(y[:, 0]),)
            else:
                rows = self.observed.standing
                front = y[rows[is_non_dominated(y[rows])]]
                self._objectives = tuple(
                    fitted(self.x, unwarped_targets(y[:, j], front[:, j]), self.space.columns)
                    for j in range(y.shape[1])
                )
        return self._objectives

    def _trained(self, y: Array) -> Fitted:
        """The model of a single target, as `gp` has it."""
        made = train(self.space, History(points=self.observed.points, y=y))
        return Fitted(gp=made.gp, z=made.z)

    def constraints(self) -> tuple[LogFeasibility, ...]:
        """One part a constraint that has at least two values."""
        if self._constraints is None:
            made: list[LogFeasibility] = []
            for column in self.observed.excess.T:
                known = np.isfinite(column)
                if known.sum() >= MIN_VALUES:
                    made.append(feasibility(self.x[known], column[known], self.space.columns))
            self._constraints = tuple(made)
        return self._constraints

    def success(self) -> LogProbabilityBelow | None:
        """The part for failures, when there are enough of them to learn from."""
        if not self._has_success:
            self._success = success(self.x, ~self.observed.is_ok, self.space.columns)
            self._has_success = True
        return self._success

    def _hypervolume(
        self, front: Rows, beyond: Array, likely: Rows
    ) -> tuple[Acquisition, dict[str, Any]]:
        """ln EHVI over what the front's rows leave open, in the models' units."""
        models = self.objectives()
        columns = [m.gp.observed_means() if m.gp.is_noisy else m.z for m in models]
        values = np.column_stack(columns)
        expected = np.column_stack([m.gp.posterior(beyond[likely])[0] for m in models])
        rows = front_rows(np.vstack([values[front], expected]))
        reference = reference_of(rows, values[self.observed.is_ok])
        gps = tuple(model.gp.with_pending(beyond) for model in models)
        gain = LogExpectedHypervolumeImprovement(gps=gps, boxes=open_boxes(rows, reference))
        return gain, {
            "acquisition": "log_ehvi",
            "n_front": int(rows.shape[0]),
            "reference": [float(v) for v in reference],
        }

    def _described(self, models: tuple[Fitted, ...]) -> dict[str, Any]:
        """Hyper-parameters of the models, for the provenance."""
        varying = np.flatnonzero(self.space.column_of >= 0)
        names = [self.space.axes[j].parameter.name for j in varying]
        columns = self.space.column_of[varying]
        return {
            "length_scales": [
                dict(zip(names, map(float, model.gp.kernel.column_scales[columns]), strict=True))
                for model in models
            ],
            "noise_variance": [float(model.gp.hyper.noise) for model in models],
        }


def _improvement(
    model: Fitted, rows: Rows, beyond: Array, likely: Rows
) -> tuple[Acquisition, Rows]:
    """ln EI over the best of some trials and of what is expected, and the best of the trials."""
    gp = model.gp.with_pending(beyond)
    means = model.gp.observed_means()
    best = rows[np.argsort(means[rows], kind="stable")][:N_BEST]
    if gp.is_noisy:
        row = int(best[0])
        return LogExpectedImprovement(gp=gp, best=float(means[row]), reference=row), best
    expected = model.gp.posterior(beyond[likely])[0]
    least = min(float(model.z[rows].min()), float(expected.min(initial=np.inf)))
    return LogExpectedImprovement(gp=gp, best=least), best


def chebyshev(y: Array, front: Rows, weights: Array) -> Array:
    """Augmented Chebyshev values (n,): max_j w_j t_j + rho sum_j w_j t_j (Knowles 2006, eq. 2).

    Args:
        y: objectives to minimise, shape (n, m), rows of NaN for failures.
        front: rows that are not dominated; t is 0 at their best and 1 at their worst value.
        weights: shape (m,), of sum 1.
    """
    low, high = y[front].min(axis=0), y[front].max(axis=0)
    every = np.nanmax(y, axis=0) / 2 - low / 2
    span = np.where(high > low, high / 2 - low / 2, np.where(every > 0.0, every, 1.0))
    t = weights * ((y / 2 - low / 2) / span)
    return np.asarray(t.max(axis=1) + RHO * t.sum(axis=1))


def _active_rows(space: RowSpace, observed: Observed) -> Rows:
    """The trials that the models of a long history see: the front's side first, then spread."""
    score = np.full(observed.y.shape[0], np.nan)
    ok = np.flatnonzero(observed.is_ok)
    ranks = np.argsort(np.argsort(observed.y[ok], axis=0, kind="stable"), axis=0, kind="stable")
    score[ok] = ranks.mean(axis=1) + ok.size * observed.violation()[ok]
    score[ok[is_non_dominated(observed.y[ok])]] -= ok.size
    return active_rows(space, History(points=observed.points, y=score), SUBSET_ROWS)
