"""`gp`: Bayesian optimisation with a Gaussian process and log expected improvement.

A short design, then a Matern 5/2 process with one length scale a parameter, fitted by maximum a
posteriori, and the point where the logarithm of the expected improvement is largest (Jones et al.
1998; Ament et al. 2023). Points under way are conditioned on. Pure: a function of the request.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..domain.space import Value, point_key
from ..domain.study import Direction
from ..domain.trial import EXPECTED_GAIN, TrialSource
from . import gp_several
from .base import (
    Decision,
    Suggestion,
    SuggestRequest,
    in_order,
    provenance,
    rng_of,
    taken_keys,
    targets,
)
from .belief import Belief
from .design import design_attempts, design_point, new_point, satisfies
from .gp_candidates import Region
from .gp_search import Known, Search, score_points
from .gp_training import MAX_ROWS, SUBSET_ROWS, History, Model, active_rows, train
from .numerics import Array
from .row_space import RowSpace, row_keys
from .warp import HALF_RANK, PLAIN, SOFT
from .winner import Unwarp

NAME = "gp"
ENUMERATED = 20_000
"""A finite space with at most so many points left is searched through."""
MIN_VALUES = 2
"""The model needs so many finished trials with a value."""
N_BEST = 5
"""Candidates are made around so many of the best points."""
LOCAL_SIDE = 0.4
"""Side of the box of a local step, for a parameter of average length scale."""
UNFITTED = (np.linalg.LinAlgError, ArithmeticError, ValueError)
"""What a history that cannot be fitted raises."""
_DESIGN_POOL = 32
"""While every trial fails, the design point farthest from them is taken among so many."""


def suggest(request: SuggestRequest) -> Decision:
    """The next points of a study.

    Args:
        request: what is known; `options.n_initial` is the size of the design, else
            p + 1 within 4 and 10 and at most a fifth of `max_trials`.

    Returns:
        `request.count` distinct points, fewer with `exhausted` when no more exist.
    """
    if len(request.metrics) > 1:
        return gp_several.suggest(request)
    maker = _Maker(in_order(request))
    made: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        suggestion = maker.next(index)
        if suggestion is None:
            return Decision(suggestions=tuple(made), exhausted=True)
        made.append(suggestion)
    return Decision(suggestions=tuple(made))


def sees_noise(request: SuggestRequest) -> bool:
    """Whether both kinds of targets of a study with one metric ask for noise; no, where they cannot
    be fitted.

    The fits are those of the next point, and kept for it.
    """
    maker = _Maker(in_order(request))
    if maker.is_design():
        return False
    try:
        return maker.is_noisy()
    except UNFITTED:
        return False


def believed(request: SuggestRequest) -> Belief | None:
    """The model that makes the next point; None while there is none.

    The fit is that of the next point, and kept for it.

    Raises:
        LinAlgError, ArithmeticError, ValueError: the history cannot be fitted.
    """
    if len(request.metrics) > 1:
        return gp_several.believed(request)
    maker = _Maker(in_order(request))
    return None if maker.is_design() else maker.believed(request.index)


def design_size(request: SuggestRequest, p: int) -> int:
    """Number of design points before the model: the option, or the rule by p and the budget."""
    given = request.options.get("n_initial")
    if given is not None:
        return max(1, int(given))
    size = min(max(p + 1, 4), 10)
    return size if request.max_trials is None else max(1, min(size, request.max_trials // 5))


class _Maker:
    """Makes the points of one request, one after another, earlier ones pending for later ones."""

    def __init__(self, request: SuggestRequest) -> None:
        self.request = request
        self.space = RowSpace(request.space)
        self.taken = taken_keys(request)
        self.history = History(
            points=self.space.encode([t.params for t in request.finished]), y=targets(request)
        )
        self.pending = self.space.encode([t.params for t in request.pending])
        self.n_varying = int((self.space.column_of >= 0).sum())
        self.n_initial = design_size(request, self.n_varying)
        self._models: dict[str, Model] = {}

    @property
    def n_places(self) -> int:
        """Finished and pending trials, points made for this request included."""
        return int(self.history.y.size + self.pending.shape[0])

    def next(self, index: int) -> Suggestion | None:
        """One more point, or None when there is none."""
        if self.is_design():
            return self._kept(self._designed(index))
        try:
            made = self._modelled(index)
        except UNFITTED as problem:
            made = self._designed(index, fallback=f"{type(problem).__name__}: {problem}")
        return self._kept(made)

    def is_design(self) -> bool:
        is_short = self.n_places < self.n_initial
        return is_short or self.history.n_ok < MIN_VALUES or self.n_varying == 0

    def _kept(self, made: Suggestion | None) -> Suggestion | None:
        """Marks a point as pending for those after it."""
        if made is not None:
            self.taken.add(point_key(made.params))
            self.pending = np.vstack([self.pending, self.space.encode([made.params])])
        return made

    def _designed(self, index: int, fallback: str | None = None) -> Suggestion | None:
        """A point without a model: the design, then whatever is left."""
        request, start = self.request, self.n_places
        if start >= self.n_initial and self.history.n_ok == 0 and self.pending.shape[0] == 0:
            params = self._far_from_failures(start) or self._fresh(index, start)
        else:
            params = self._fresh(index, start)
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

    def _fresh(self, index: int, start: int) -> dict[str, Value] | None:
        request = self.request
        attempts = design_attempts(request.space, request.seed, start)
        return new_point(
            request,
            self.taken,
            lambda _: next(attempts),
            rng_of(request, NAME, index),
        )

    def _far_from_failures(self, start: int) -> dict[str, Value] | None:
        """The design point farthest from all trials, which failed; None when none is new."""
        request, space = self.request, self.space
        pool = [design_point(request.space, request.seed, start + k) for k in range(_DESIGN_POOL)]
        pool = [q for q in pool if point_key(q) not in self.taken and satisfies(request.space, q)]
        if not pool:
            return None
        x, tried = space.features(space.encode(pool)), space.features(self.history.points)
        gaps = ((x[:, None, :] - tried[None, :, :]) ** 2).sum(axis=2).min(axis=1)
        return pool[int(np.argmax(gaps))]

    def _modelled(self, index: int) -> Suggestion | None:
        model = self._trained(index)
        gp = model.gp.with_pending(self.space.features(self.pending))
        region = self._region(model, index)
        for point, value in self._ranked(replace(model, gp=gp), region, index):
            params = self.space.decode(point)
            if point_key(params) in self.taken or not satisfies(self.request.space, params):
                continue
            if self.space.is_crowded(point, self.pending):
                continue
            mean, sd = gp.posterior(self.space.features(self.space.encode([params])))
            details = self._details(model, region, value, float(mean[0]), float(sd[0]))
            details |= self._in_units(model, mean, sd)
            return Suggestion(
                params=params, provenance=provenance(self.request, NAME, index, **details)
            )
        return self._designed(index, fallback="no candidate was new")

    def _in_units(self, model: Model, mean: Array, sd: Array) -> dict[str, Any]:
        """A prediction, shape (1,), in the metric's own units, and half the width of mean - sd to
        mean + sd; nothing where that is beyond all numbers.
        """
        y = self.history.y
        if y.size > MAX_ROWS:
            y = y[active_rows(self.space, self.history, SUBSET_ROWS)]
        unwarp = Unwarp.of(model, y)
        sign = 1.0 if self.request.metrics[0].direction is Direction.MINIMIZE else -1.0
        low, at, high = (float(unwarp(mean + k * sd)[0]) for k in (-1.0, 0.0, 1.0))
        width = abs(0.5 * high - 0.5 * low)
        if not math.isfinite(at) or not math.isfinite(width):
            return {}
        return {"predicted": sign * at, "predicted_sd": width}

    def believed(self, index: int) -> Belief:
        """The model of the point with a number."""
        model, y = self._trained(index), self.history.y
        if y.size > MAX_ROWS:
            y = y[active_rows(self.space, self.history, SUBSET_ROWS)]
        gp = model.gp.with_pending(self.space.features(self.pending))
        return Belief(
            space=self.space,
            gp=gp,
            acquisition=model.acquisition(gp),
            z=model.z[model.is_ok],
            y=y[model.is_ok],
            name="log_ei",
            warp=model.warp,
        )

    def _trained(self, index: int) -> Model:
        """Soft targets where both other kinds are noisy, else plain and warped ones in turn."""
        if self.is_noisy():
            return self._of_kind(SOFT)
        return self._of_kind((PLAIN, HALF_RANK)[(index // 2) % 2])

    def is_noisy(self) -> bool:
        """Whether the models of both plain and warped targets have noise."""
        return all(self._of_kind(kind).gp.is_noisy for kind in (PLAIN, HALF_RANK))

    def _of_kind(self, kind: str) -> Model:
        if kind not in self._models:
            self._models[kind] = train(self.space, self.history, kind)
        return self._models[kind]

    def _ranked(self, model: Model, region: Region, index: int) -> Iterator[tuple[Array, float]]:
        """Points, best first: of the whole space where it is small, else by search."""
        acquisition = model.acquisition(model.gp)
        known = np.vstack([self.history.points, self.pending])
        points = self.space.enumerate(ENUMERATED + known.shape[0])
        if points is not None:
            score = score_points(self.space, acquisition, points, set(row_keys(known)))
            order = np.argsort(-score, kind="stable")
            order = order[np.isfinite(score[order])]
            return iter([(points[k], float(score[k])) for k in order[: known.shape[0] + 1]])
        best = model.points[model.ranking()[:N_BEST]]
        rng = rng_of(self.request, NAME, index)
        search = Search(self.space, acquisition, Known(points=known, best=best), rng, region)
        return search.ranked()

    def _region(self, model: Model, index: int) -> Region:
        """Every other point of a grown study is sought near the best; early ones near known ones.

        Not under noise, where the best point may be a lucky one. The guard is Vizier's trust region
        (Song et al. 2024); the alternation follows TREGO (Diouane et al. 2021), with sides by the
        length scales as in TuRBO.
        """
        n = self.history.y.size
        if n >= 2 * self.n_initial and index % 2 == 1 and not model.gp.is_noisy:
            return Region(half_sides=0.5 * LOCAL_SIDE * self._relative_scales(model))
        reach = 0.2 + 0.3 * n / (5.0 * (self.n_varying + 1))
        return Region(reach=reach if reach <= 0.5 else None)

    def _relative_scales(self, model: Model) -> Array:
        """Length scales over their geometric mean, shape (p,), 1 where there is none."""
        out = np.ones(self.space.p)
        numeric = (self.space.column_of >= 0) & ~self.space.is_category
        if numeric.any():
            scales = model.gp.kernel.column_scales[self.space.column_of[numeric]]
            out[numeric] = scales / np.exp(np.log(scales).mean())
        return out

    def _details(
        self, model: Model, region: Region, value: float, mean: float, sd: float
    ) -> dict[str, Any]:
        """What the model knew, as JSON values; `mean` and `sd` are in standardised targets."""
        hyper = model.gp.hyper
        varying = np.flatnonzero(self.space.column_of >= 0)
        scales = model.gp.kernel.column_scales[self.space.column_of[varying]]
        details: dict[str, Any] = {
            "model": "gp",
            "n": int(model.z.size),
            "n_pending": int(self.pending.shape[0]),
            "length_scales": {
                self.space.axes[j].parameter.name: float(length)
                for j, length in zip(varying, scales, strict=True)
            },
            "signal_variance": float(hyper.signal),
            "noise_variance": float(hyper.noise),
            "trend_variances": [float(hyper.linear), float(hyper.quadratic)],
            "is_noisy": bool(model.gp.is_noisy),
            "warp": model.warp,
            "models_failures": model.success is not None,
            "region": "local" if region.half_sides is not None else "global",
            "mean": mean,
            "sd": sd,
            "log_ei": value,
        }
        if model.unit is not None:
            details[EXPECTED_GAIN] = math.exp(value) * model.unit
        if model.fallback is not None:
            details["fallback"] = model.fallback
        return details
