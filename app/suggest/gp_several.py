"""`gp` with several objectives or with outcome constraints.

One process a metric. Up to three objectives: the logarithm of the expected hypervolume improvement
(Yang et al. 2019, arXiv 1904.12672; Ament et al. 2023), see `ehvi`. More, or a front of more than
`MAX_FRONT` points: the expected improvement of an augmented Chebyshev scalarisation whose weights
are drawn for each point (ParEGO; Knowles 2006, eq. 2). Constraints weigh either with their
probability (`gp_outcomes`); while nothing is feasible, that probability alone is maximised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..domain.space import Value, point_key
from ..domain.trial import TrialSource
from .acquisition import Acquisition, LogExpectedImprovement, Sum
from .base import (
    Decision,
    Suggestion,
    SuggestRequest,
    constraint_excess,
    objective_targets,
    provenance,
    rng_of,
    taken_keys,
)
from .boxes import MAX_OBJECTIVES, open_boxes
from .design import design_point, design_size, new_point, satisfies
from .ehvi import LogExpectedHypervolumeImprovement, front_rows, reference_of
from .gp_candidates import Region
from .gp_model import GaussianProcess
from .gp_outcomes import LogFeasibility, distinct_constraints, feasibility
from .gp_search import Known, Search, score_points
from .gp_space import GpSpace, Mask, row_keys
from .gp_training import MAX_ROWS, SUBSET_ROWS, History, Model, active_rows, train
from .numerics import Array
from .pareto import is_non_dominated

NAME = "gp"
MAX_FRONT = 100
"""A front of more points is scalarised: boxes would cost more than they bring."""
RHO = 0.05
"""Weight of the sum beside the largest term (Knowles 2006)."""
ENUMERATED = 20_000
"""A finite space with at most so many points left is searched through."""
MIN_VALUES = 2
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

    def violation(self) -> Array:
        """Sum of the exceeded shares of each constraint's largest excess, shape (n,)."""
        beyond = np.where(np.isnan(self.excess), np.inf, np.maximum(self.excess, 0.0))
        largest = np.max(np.where(np.isfinite(beyond), beyond, 0.0), axis=0, initial=0.0)
        return np.asarray((beyond / np.where(largest > 0.0, largest, 1.0)).sum(axis=1))

    def taken(self, rows: Any) -> Observed:
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
    models: tuple[Model, ...]
    details: dict[str, Any]


def suggest(request: SuggestRequest) -> Decision:
    """The next points of a study with several objectives or with constraints.

    Args:
        request: what is known; `options.n_initial` is the size of the design.

    Returns:
        `request.count` distinct points, fewer with `exhausted` when no more exist.
    """
    request = replace(
        request,
        finished=tuple(sorted(request.finished, key=lambda t: t.number)),
        pending=tuple(sorted(request.pending, key=lambda t: t.number)),
    )
    maker = _Maker(request)
    made: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        suggestion = maker.next(index)
        if suggestion is None:
            return Decision(suggestions=tuple(made), exhausted=True)
        made.append(suggestion)
    return Decision(suggestions=tuple(made))


class _Maker:
    """Makes the points of one request, one after another, earlier ones pending for later ones."""

    def __init__(self, request: SuggestRequest) -> None:
        self.request = request
        self.space = GpSpace(request.space)
        self.taken = taken_keys(request)
        self.points = self.space.encode([t.params for t in request.finished])
        self.pending = self.space.encode([t.params for t in request.pending])
        excess = constraint_excess(request)
        self.observed = Observed(
            points=self.points,
            y=objective_targets(request),
            excess=excess[:, distinct_constraints(excess)],
        )
        self.n_initial = design_size(request)
        self._models = _Models(self.space, self.observed)

    def next(self, index: int) -> Suggestion | None:
        """One more point, or None when there is none."""
        n_places = self.points.shape[0] + self.pending.shape[0]
        is_design = n_places < self.n_initial or self.observed.is_ok.sum() < MIN_VALUES
        if is_design or not (self.space.column_of >= 0).any():
            return self._kept(self._designed(index))
        try:
            made = self._modelled(index)
        except (np.linalg.LinAlgError, ArithmeticError, ValueError) as problem:
            made = self._designed(index, fallback=f"{type(problem).__name__}: {problem}")
        return self._kept(made)

    def _kept(self, made: Suggestion | None) -> Suggestion | None:
        """Marks a point as pending for those after it."""
        if made is not None:
            self.taken.add(point_key(made.params))
            self.pending = np.vstack([self.pending, self.space.encode([made.params])])
        return made

    def _designed(self, index: int, fallback: str | None = None) -> Suggestion | None:
        """A point without a model."""
        request, start = self.request, self.points.shape[0] + self.pending.shape[0]
        params = new_point(
            request,
            self.taken,
            lambda k: design_point(request.space, request.seed, start + k),
            rng_of(request, NAME, index),
        )
        if params is None:
            return None
        more: dict[str, Any] = {"model": "design", "n_initial": self.n_initial}
        if fallback is not None:
            more["fallback"] = fallback
        return Suggestion(
            params=params,
            source=TrialSource.INITIAL if fallback is None else TrialSource.FALLBACK,
            provenance=provenance(request, NAME, index, **more),
        )

    def _modelled(self, index: int) -> Suggestion | None:
        rng = rng_of(self.request, NAME, index)
        target = self._models.target(self.pending, rng)
        for point, value in self._ranked(target, rng):
            params = self.space.decode(point)
            if point_key(params) in self.taken or not satisfies(self.request.space, params):
                continue
            details = {**target.details, **self._at(target, params), "value": value}
            made = provenance(self.request, NAME, index, model="gp", **details)
            return Suggestion(params=params, provenance=made)
        return self._designed(index, fallback="no candidate was new")

    def _ranked(self, target: Target, rng: np.random.Generator) -> Iterator[tuple[Array, float]]:
        """Points, best first: of the whole space where it is small, else by search."""
        known = np.vstack([self.points, self.pending])
        points = self.space.enumerate(ENUMERATED + known.shape[0])
        if points is None:
            seen = Known(points=known, best=target.best)
            return Search(self.space, target.acquisition, seen, rng, self._region()).ranked()
        score = score_points(self.space, target.acquisition, points, set(row_keys(known)))
        order = np.argsort(-score, kind="stable")
        order = order[np.isfinite(score[order])][: known.shape[0] + 1]
        return iter([(points[k], float(score[k])) for k in order])

    def _region(self) -> Region:
        """Early points are sought near known ones (Song et al. 2024)."""
        n_varying = int((self.space.column_of >= 0).sum())
        reach = 0.2 + 0.3 * self.points.shape[0] / (5.0 * (n_varying + 1))
        return Region(reach=reach if reach <= 0.5 else None)

    def _at(self, target: Target, params: dict[str, Value]) -> dict[str, Any]:
        """Predicted means and sds at a point, in standardised targets."""
        x = self.space.features(self.space.encode([params]))
        pairs = [model.gp.posterior(x) for model in target.models]
        return {
            "mean": [float(mean[0]) for mean, _ in pairs],
            "sd": [float(sd[0]) for _, sd in pairs],
            "n_pending": int(self.pending.shape[0]),
        }


class _Models:
    """The processes of one history, fitted when they are first needed."""

    def __init__(self, space: GpSpace, observed: Observed) -> None:
        self.space = space
        if observed.y.shape[0] > MAX_ROWS:
            observed = observed.taken(_active_rows(space, observed))
        self.observed = observed
        self.x = space.features(observed.points)
        self._objectives: tuple[Model, ...] | None = None
        self._constraints: tuple[LogFeasibility, ...] | None = None

    def target(self, pending: Array, rng: np.random.Generator) -> Target:
        """What to maximise for the next point.

        Args:
            pending: points under way, shape (q, p).
            rng: draws the weights of a scalarisation, and which point of a front is the centre.
        """
        observed = self.observed
        beyond = self.space.features(pending)
        feasible = np.flatnonzero(observed.is_feasible)
        m = observed.y.shape[1]
        front = feasible[is_non_dominated(observed.y[feasible])] if m > 1 else feasible
        details: dict[str, Any] = {
            "n": int(observed.y.shape[0]),
            "n_feasible": int(feasible.size),
            "n_constraints": int(observed.excess.shape[1]),
        }
        parts: list[Acquisition] = [
            replace(part, gp=part.gp.with_pending(beyond)) for part in self.constraints()
        ]
        models: tuple[Model, ...] = ()
        if feasible.size == 0 and parts:
            details["acquisition"] = "feasibility"
            best = np.argsort(observed.violation(), kind="stable")[:N_BEST]
        else:
            if feasible.size == 0:  # nothing is known of the constraints
                feasible = np.flatnonzero(observed.is_ok)
                front = feasible[is_non_dominated(observed.y[feasible])]
            if m == 1 or m > MAX_OBJECTIVES or front.size > MAX_FRONT:
                models, more = self._scalar(feasible, front, rng)
                gain, best = self._improvement(models[0], feasible, beyond)
            else:
                models = self.objectives()
                gain, more = self._hypervolume(front, beyond)
                best = rng.permutation(front)[:N_BEST]
            details.update(more)
            parts.insert(0, gain)
            success = models[0].success
            if success is not None:
                parts.append(success)
        if models:
            details.update(self._described(models))
        acquisition = parts[0] if len(parts) == 1 else Sum(parts=tuple(parts))
        return Target(
            acquisition=acquisition, best=observed.points[best], models=models, details=details
        )

    def objectives(self) -> tuple[Model, ...]:
        """One model an objective."""
        if self._objectives is None:
            history = self.observed
            self._objectives = tuple(
                train(self.space, History(points=history.points, y=column))
                for column in history.y.T
            )
        return self._objectives

    def constraints(self) -> tuple[LogFeasibility, ...]:
        """One part a constraint that has at least two values."""
        if self._constraints is None:
            made = []
            for column in self.observed.excess.T:
                known = np.isfinite(column)
                if known.sum() >= MIN_VALUES:
                    made.append(feasibility(self.x[known], column[known], self.space.columns))
            self._constraints = tuple(made)
        return self._constraints

    def _hypervolume(self, front: Array, beyond: Array) -> tuple[Acquisition, dict[str, Any]]:
        """ln EHVI over what the front's rows leave open, in the models' units."""
        models = self.objectives()
        columns = [m.gp.observed_means() if m.gp.is_noisy else m.z for m in models]
        values = np.column_stack(columns)
        ok = values[self.observed.is_ok]
        rows = front_rows(values[front])
        reference = reference_of(rows, ok.max(axis=0) - ok.min(axis=0) + 1e-9)
        gps = tuple(model.gp.with_pending(beyond) for model in models)
        gain = LogExpectedHypervolumeImprovement(gps=gps, boxes=open_boxes(rows, reference))
        return gain, {
            "acquisition": "log_ehvi",
            "n_front": int(rows.shape[0]),
            "reference": [float(v) for v in reference],
        }

    def _scalar(
        self, feasible: Array, front: Array, rng: np.random.Generator
    ) -> tuple[tuple[Model, ...], dict[str, Any]]:
        """The model of the only objective, or of a scalarisation with new weights."""
        observed = self.observed
        if observed.y.shape[1] == 1:
            return self.objectives(), {"acquisition": "log_ei"}
        weights = rng.dirichlet(np.ones(observed.y.shape[1]))
        s = chebyshev(observed.y, front, weights)
        model = train(self.space, History(points=observed.points, y=s))
        return (model,), {
            "acquisition": "log_ei of a scalarisation",
            "n_front": int(front.size),
            "weights": [float(w) for w in weights],
        }

    def _improvement(
        self, model: Model, feasible: Array, beyond: Array
    ) -> tuple[Acquisition, Array]:
        """ln EI over the best feasible trial, and the best feasible rows."""
        gp = model.gp.with_pending(beyond)
        means = model.gp.observed_means()
        best = feasible[np.argsort(means[feasible], kind="stable")][:N_BEST]
        if gp.is_noisy:
            row = int(best[0])
            return LogExpectedImprovement(gp=gp, best=float(means[row]), reference=row), best
        return LogExpectedImprovement(gp=gp, best=float(model.z[feasible].min())), best

    def _described(self, models: tuple[Model, ...]) -> dict[str, Any]:
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
            "warp": [model.warp for model in models],
        }


def chebyshev(y: Array, front: Array, weights: Array) -> Array:
    """Augmented Chebyshev value max_j w_j t_j + rho sum_j w_j t_j (Knowles 2006, eq. 2), shape (n,).

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


def _active_rows(space: GpSpace, observed: Observed) -> Array:
    """The trials that the models of a long history see: the front's side first, then spread."""
    score = np.full(observed.y.shape[0], np.nan)
    ok = np.flatnonzero(observed.is_ok)
    ranks = np.argsort(np.argsort(observed.y[ok], axis=0, kind="stable"), axis=0, kind="stable")
    score[ok] = ranks.mean(axis=1) + ok.size * observed.violation()[ok]
    score[ok[is_non_dominated(observed.y[ok])]] -= ok.size
    return active_rows(space, History(points=observed.points, y=score), SUBSET_ROWS)
