"""The tree-structured Parzen estimator: points that are likely among the good trials, unlikely
among the rest.

Bergstra et al. 2011, section 4: with l the density of the best trials and g that of the others, the
expected improvement grows with l(x) / g(x) (eqs. 3 and 4). Here in the joint form: one mixture over
all parameters with the same condition, root group first, one winner per whole candidate. Constants
after Watanabe 2023, arXiv:2304.11127, and own measurements.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..domain.space import Params, Value, point_key
from ..domain.trial import TrialState
from .base import (
    Decision,
    FinishedTrial,
    Floats,
    PendingTrial,
    Suggestion,
    SuggestRequest,
    constraint_excess,
    memory_of,
    objective_targets,
    provenance,
    rng_of,
    targets,
)
from .design import design_suggestion, new_point, satisfies
from .encode import Encoder
from .enumeration import Enumeration, is_finite
from .linear import Linear, linear_of
from .memory import SuggestMemory
from .tpe_columns import Codes, Taken
from .tpe_model import Model
from .tpe_split import Split, split, thinned

NAME = "tpe"

N_INITIAL = 5
N_CANDIDATES = 24
GAMMA = 0.1
CROWDED = 1e-3
"""A candidate nearer to a pending point, by each parameter's share of its range, is passed over."""
UNCROWDED = 20
"""How many uniform draws look for a point that is not crowded."""
SEARCHED = 20_000
"""A finite space of at most this many points is searched through when every candidate was tried."""

_WITH_VALUE = frozenset({TrialState.COMPLETED, TrialState.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The suggester's options; see the catalogue of suggesters."""

    n_initial: int = N_INITIAL
    n_candidates: int = N_CANDIDATES
    gamma: float = GAMMA

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """The options of a request, checked before; those that are unset take their defaults."""
        given = {name: value for name, value in options.items() if value is not None}
        return cls(
            n_initial=int(given.get("n_initial", N_INITIAL)),
            n_candidates=int(given.get("n_candidates", N_CANDIDATES)),
            gamma=float(given.get("gamma", GAMMA)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """A point, its log ratio, the best of how many it is, and how it was found, for a person."""

    params: dict[str, Value]
    log_ratio: float
    n_candidates: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Densities:
    """Log densities at points.

    Attributes:
        below, above: ln l, of the good trials, and ln g, of the others, shape (q,).
        n_below, n_above: trials that each is made of.
    """

    below: Floats
    above: Floats
    n_below: int
    n_above: int


def suggest(request: SuggestRequest) -> Decision:
    """Makes the points one after another, earlier ones pending for later ones."""
    return _Asker(request).decide()


def densities(request: SuggestRequest, points: Sequence[Params]) -> Densities | None:
    """What the model that makes the next point says of some points; None while there is none."""
    return _Asker(request).densities(points)


class _Asker:
    """One request while it is being answered."""

    def __init__(self, request: SuggestRequest) -> None:
        self._request = request
        self._settings = Settings.of(request.options)
        memory, space = memory_of(request), request.space
        self._codes = memory.thing("tpe", space, partial(Codes, space))
        self._groups = self._codes.groups()
        self._linear = linear_of(memory, space)
        trials, encode = by_number(request.finished), self._codes.encode_trials
        self._finished: Floats = memory.rows("tpe", space, encode, trials)
        pending = sorted(request.pending, key=lambda trial: trial.number)
        self._pending = encode(pending)
        self._taken = Taken([(trials, self._finished), (pending, self._pending)])
        self._split = _split_of(request, memory, trials, self._settings.gamma)

    def decide(self) -> Decision:
        found: list[Suggestion] = []
        for index in range(self._request.index, self._request.index + self._request.count):
            suggestion = self._one(index)
            if suggestion is None:
                return Decision(suggestions=tuple(found), exhausted=True)
            found.append(suggestion)
        return Decision(suggestions=tuple(found))

    def densities(self, points: Sequence[Params]) -> Densities | None:
        """ln l and ln g at some points; None while the design is not over."""
        if self._is_design():
            return None
        below, above = self._model().log_densities(self._codes.encode(points))
        return Densities(
            below=below,
            above=above,
            n_below=len(self._split.below),
            n_above=len(self._split.above),
        )

    def _is_design(self) -> bool:
        return len(self._finished) + len(self._pending) < self._settings.n_initial

    def _one(self, index: int) -> Suggestion | None:
        if self._is_design():
            made = design_suggestion(self._request, NAME, index, self._taken.keys(), model="design")
        else:
            made = self._modelled(index)
        if made is not None:
            codes = self._codes.encode([made.params])
            self._pending = np.vstack([self._pending, codes])
            self._taken.add(PendingTrial(number=index, params=made.params), codes[0])
        return made

    def _modelled(self, index: int) -> Suggestion | None:
        model, rng = self._model(), rng_of(self._request, NAME, index)
        choice = self._best_new(model, rng) or self._left_over(model, rng)
        if choice is None:
            return None
        known = provenance(
            self._request,
            NAME,
            index,
            model=NAME,
            n_below=len(self._split.below),
            n_above=len(self._split.above),
            n_candidates=choice.n_candidates,
            log_ratio=choice.log_ratio,
            reason=choice.reason,
        )
        return Suggestion(params=choice.params, provenance=known)

    def _model(self) -> Model:
        parts = thinned(self._split)
        return Model(
            codes=self._codes,
            groups=self._groups,
            below=self._finished[parts.below],
            weights=parts.weights,
            above=np.vstack([self._finished[parts.above], self._pending]),
            above_weights=np.append(parts.above_weights, np.ones(len(self._pending))),
        )

    def _best_new(self, model: Model, rng: np.random.Generator) -> _Choice | None:
        """The best candidate of a draw that is new, or None."""
        drawn, log_ratios = model.draw(rng, self._settings.n_candidates)
        if self._linear is not None:
            drawn = self._mended(self._linear, drawn, rng)
            log_ratios = model.log_ratio(drawn)
        for i in np.argsort(-log_ratios, kind="stable"):
            params = self._codes.decode(drawn[i])
            if not satisfies(self._request.space, params):
                continue
            codes = self._codes.encode([params])[0]
            if not (self._is_crowded(codes) or self._taken.has(params, codes)):
                return _Choice(
                    params=params,
                    log_ratio=float(log_ratios[i]),
                    n_candidates=self._settings.n_candidates,
                    reason="the new candidate with the largest log l(x) - log g(x)",
                )
        return None

    def _mended(self, linear: Linear, drawn: Floats, rng: np.random.Generator) -> Floats:
        """Codes `(q, p)` with those of points that broke known constraints moved into them."""
        space = linear.space
        points = space.encode([self._codes.decode(codes) for codes in drawn])
        full = linear.mended(np.where(np.isnan(points), 0.5, points), rng)
        return self._codes.encode([space.decode(row) for row in full])

    def _is_crowded(self, codes: Floats) -> bool:
        """Whether a candidate with codes `(p,)` all but repeats a pending point."""
        gaps = np.abs(self._pending - codes)
        is_near = (gaps < CROWDED) | (np.isnan(self._pending) & np.isnan(codes))
        return bool(is_near.all(axis=1).any())

    def _left_over(self, model: Model, rng: np.random.Generator) -> _Choice | None:
        """The best point left of a space small enough to search through, else a uniform draw."""
        space, taken = self._request.space, self._taken.keys()
        points = Enumeration(space) if is_finite(space) else None
        if points is not None and points.total <= SEARCHED:
            return self._best_left(model, points, taken)
        params = new_point(self._request, taken, partial(self._uniform, Encoder(space), rng), rng)
        if params is None:
            return None
        return _Choice(
            params=params,
            log_ratio=float(model.log_ratio(self._codes.encode([params]))[0]),
            n_candidates=1,
            reason="a uniform draw, since no candidate was new"
            + (" and kept the constraints" if space.constraints else ""),
        )

    def _uniform(self, encoder: Encoder, rng: np.random.Generator, _: int) -> dict[str, Value]:
        """A uniform draw that repeats no pending point, as far as several attempts find one."""
        for _ in range(UNCROWDED):
            params = encoder.from_unit(rng.random(encoder.d))
            if not self._is_crowded(self._codes.encode([params])[0]):
                break
        return params

    def _best_left(self, model: Model, points: Enumeration, taken: set[str]) -> _Choice | None:
        everyone = (points.point(k) for k in range(points.total))
        left = [
            params
            for params in everyone
            if satisfies(self._request.space, params) and point_key(params) not in taken
        ]
        if not left:
            return None
        log_ratios = model.log_ratio(self._codes.encode(left))
        i = int(np.argmax(log_ratios))
        return _Choice(
            params=left[i],
            log_ratio=float(log_ratios[i]),
            n_candidates=len(left),
            reason="the untried point with the largest log l(x) - log g(x)",
        )


def by_number(trials: tuple[FinishedTrial, ...]) -> tuple[FinishedTrial, ...]:
    """The trials in the order of their numbers; itself when it is so, as from the service."""
    numbers = [trial.number for trial in trials]
    return trials if numbers == sorted(numbers) else tuple(sorted(trials, key=_number))


def _number(trial: FinishedTrial) -> int:
    return trial.number


def _split_of(
    request: SuggestRequest,
    memory: SuggestMemory,
    trials: tuple[FinishedTrial, ...],
    gamma: float,
) -> Split:
    """The good trials and the rest; infeasible and failed ones have no target, whatever they
    report.
    """

    def values(some: Sequence[FinishedTrial]) -> Floats:
        part = replace(request, finished=tuple(some))
        y = objective_targets(part) if m else targets(part)[:, None]
        y[[trial.state not in _WITH_VALUE for trial in some]] = math.nan
        return np.hstack([y, constraint_excess(part)])

    m = sum(metric.role == "objective" for metric in request.metrics)
    rows: Floats = memory.rows("tpe.values", request.metrics, values, trials)
    return split(rows[:, : max(m, 1)], gamma, rows[:, max(m, 1) :])
