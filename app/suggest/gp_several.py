"""`gp` with several objectives or with outcome constraints: the points of one request.

Design first, then the point where the acquisition function of `gp_metrics` is largest, earlier
points pending for later ones. Pure: a function of the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..domain.space import Value, point_key
from ..domain.trial import TrialSource
from .base import (
    Decision,
    Suggestion,
    SuggestRequest,
    constraint_excess,
    in_order,
    objective_targets,
    provenance,
    rng_of,
    taken_keys,
)
from .belief import Belief
from .design import design_attempts, design_size, new_point, satisfies
from .gp_candidates import Region
from .gp_metrics import MIN_VALUES, Models, Observed, Target
from .gp_outcomes import distinct_constraints
from .gp_search import Known, Search, score_points
from .numerics import Array
from .row_space import RowSpace, row_keys

NAME = "gp"
ENUMERATED = 20_000
"""A finite space with at most so many points left is searched through."""


def suggest(request: SuggestRequest) -> Decision:
    """The next points of a study with several objectives or with constraints.

    Args:
        request: what is known; `options.n_initial` is the size of the design.

    Returns:
        `request.count` distinct points, fewer with `exhausted` when no more exist.
    """
    maker = _Maker(in_order(request))
    made: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        suggestion = maker.next(index)
        if suggestion is None:
            return Decision(suggestions=tuple(made), exhausted=True)
        made.append(suggestion)
    return Decision(suggestions=tuple(made))


def believed(request: SuggestRequest) -> Belief | None:
    """The model that makes the next point, of the first objective, and what is maximised over all;
    None while there is none.

    Raises:
        LinAlgError, ArithmeticError, ValueError: the history cannot be fitted.
    """
    maker = _Maker(in_order(request))
    return None if maker.is_design() else maker.believed(request.index)


class _Maker:
    """Makes the points of one request, one after another, earlier ones pending for later ones."""

    def __init__(self, request: SuggestRequest) -> None:
        self.request = request
        self.space = RowSpace(request.space)
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
        self._models = Models(self.space, self.observed)

    def next(self, index: int) -> Suggestion | None:
        """One more point, or None when there is none."""
        if self.is_design():
            return self._kept(self._designed(index))
        try:
            made = self._modelled(index)
        except (np.linalg.LinAlgError, ArithmeticError, ValueError) as problem:
            made = self._designed(index, fallback=f"{type(problem).__name__}: {problem}")
        return self._kept(made)

    def is_design(self) -> bool:
        """Whether the next point comes without a model."""
        n_places = self.points.shape[0] + self.pending.shape[0]
        is_short = n_places < self.n_initial or self.observed.is_ok.sum() < MIN_VALUES
        return bool(is_short or not (self.space.column_of >= 0).any())

    def believed(self, index: int) -> Belief:
        """The model of the point with a number."""
        target = self._models.target(self.pending, rng_of(self.request, NAME, index))
        first, observed = self._models.objectives()[0], self._models.observed
        return Belief(
            space=self.space,
            gp=first.gp.with_pending(self.space.features(self.pending)),
            acquisition=target.acquisition,
            z=first.z[observed.is_ok],
            y=observed.y[observed.is_ok, 0],
            name=str(target.details["acquisition"]),
            warp="",
        )

    def _kept(self, made: Suggestion | None) -> Suggestion | None:
        """Marks a point as pending for those after it."""
        if made is not None:
            self.taken.add(point_key(made.params))
            self.pending = np.vstack([self.pending, self.space.encode([made.params])])
        return made

    def _designed(self, index: int, fallback: str | None = None) -> Suggestion | None:
        """A point without a model."""
        request, start = self.request, self.points.shape[0] + self.pending.shape[0]
        attempts = design_attempts(request.space, request.seed, start)
        params = new_point(
            request,
            self.taken,
            lambda _: next(attempts),
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
            if self.space.is_crowded(point, self.pending):
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
