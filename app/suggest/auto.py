"""Chooses a suggester for each trial, by the space, the limits and the results alone, so that a
replay makes the same choice; says in the provenance which and why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..domain.space import CategoricalParameter, Space, n_values
from . import gp, grid, tpe
from .base import (
    Decision,
    PendingTrial,
    SuggestFunction,
    Suggestion,
    SuggestRequest,
    targets,
)
from .enumeration import Enumeration, is_finite

NAME = "auto"

ENUMERABLE = 20_000
"""A space of at most this many points is walked through when the budget reaches that far."""

MAX_PARAMETERS = 100
"""So far as it was measured the Gaussian process leads; a fit of 300 results in 100 parameters
takes half a second."""

MAX_RESULTS = 1_000
"""Up to so many results as well; beyond, the Parzen estimator costs a small part of it."""

STALLED = 12
"""After so many results without a better one every other point comes from the Parzen estimator: the
process is sure of its best place, and only another view of the same results leads away from it."""

MAX_SHARE = 0.1
"""A point may cost this share of the time that the study's limits leave for a trial."""

_METHODS: Mapping[str, SuggestFunction] = {
    "grid": grid.suggest,
    "gp": gp.suggest,
    "tpe": tpe.suggest,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A suggester's name, the options it gets, and the reason in words."""

    name: str
    why: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def suggest(request: SuggestRequest) -> Decision:
    """Hands each point to the suggester that fits; earlier ones of the ask are pending for later
    ones.
    """
    found: list[Suggestion] = []
    for k in range(request.count):
        asked = _with_pending(request, found, k)
        picked = choose(asked)
        decision = _METHODS[picked.name](
            dataclasses.replace(asked, options={**request.options, **picked.options})
        )
        if not decision.suggestions:
            return Decision(suggestions=tuple(found), exhausted=decision.exhausted)
        found.append(_labelled(decision.suggestions[0], picked, len(request.pending) + k))
    return Decision(suggestions=tuple(found))


def choose(request: SuggestRequest) -> Choice:
    """Which suggester makes trial `request.index`."""
    space, n = request.space, len(request.finished)
    size = _size(space)
    if size is not None and (size == 1 or _reaches(request, size)):
        why = f"the budget reaches all {size} points of the space: each once, in random order"
        return Choice(name="grid", why=why, options={"shuffle": True})
    p = sum(n_values(parameter) != 1 for parameter in space.parameters)
    if p > MAX_PARAMETERS:
        return Choice(name="tpe", why=f"{p} parameters, more than {MAX_PARAMETERS}")
    if n > MAX_RESULTS:
        return Choice(name="tpe", why=f"{n} results, more than {MAX_RESULTS}")
    allowed, cost = request.time_per_trial_s, gp_cost_s(p, n)
    if allowed is not None and cost > MAX_SHARE * allowed:
        why = f"a trial has {allowed:.3g} s, of which gp would take {cost:.2g} s"
        return Choice(name="tpe", why=why)
    if request.index % 2 == 1 and n >= 2 * gp.design_size(request, p):
        doubt = _doubt(request)
        if doubt is not None:
            return Choice(name="tpe", why=f"{doubt}, so by turns with gp")
    return Choice(name="gp", why=f"{p} parameters and {n} results")


def gp_cost_s(p: int, n: int) -> float:
    """About what a point of the Gaussian process costs, in seconds of one core.

    A plane through what was measured for p = 2 to 100 parameters and n = 30 to 1,000 results
    (docs/explanation/suggesters.md). A formula and not a clock: a replay has to come to the same
    choice on any machine.
    """
    return 0.012 + n * (7e-5 + 3.3e-6 * p)


def _doubt(request: SuggestRequest) -> str | None:
    """Why the process alone is not to be trusted, in words, or None."""
    since = n_since_best(request)
    if since >= STALLED:
        return f"no better result among the last {since}"
    if _is_mostly_categories(request.space):
        return "mostly categories"
    if len(request.metrics) == 1 and gp.sees_noise(request):
        return "noisy results"
    return None


def _is_mostly_categories(space: Space) -> bool:
    """Whether more than half of the parameters that vary are unordered categories."""
    varying = [q for q in space.parameters if n_values(q) != 1]
    categories = [q for q in varying if isinstance(q, CategoricalParameter) and not q.ordered]
    return 2 * len(categories) > len(varying)


def n_since_best(request: SuggestRequest) -> int:
    """How many finished trials have higher numbers than the best one, the first of equal ones; 0
    where there is no single best.
    """
    y = targets(request)
    if len(request.metrics) > 1 or not np.isfinite(y).any():
        return 0
    numbers = np.array([trial.number for trial in request.finished])
    best = numbers[y == np.nanmin(y)].min()
    return int(np.count_nonzero(numbers > best))


def _reaches(request: SuggestRequest, size: int) -> bool:
    budget = request.max_trials
    return size <= ENUMERABLE and budget is not None and budget >= size


def _size(space: Space) -> int | None:
    """How many points the space has; None when a parameter is continuous."""
    return Enumeration(space).total if is_finite(space) else None


def _with_pending(request: SuggestRequest, found: list[Suggestion], k: int) -> SuggestRequest:
    """The request for the k-th point alone."""
    made = tuple(
        PendingTrial(number=request.index + j, params=suggestion.params)
        for j, suggestion in enumerate(found)
    )
    return dataclasses.replace(
        request, index=request.index + k, count=1, pending=request.pending + made
    )


def _labelled(suggestion: Suggestion, choice: Choice, n_pending: int) -> Suggestion:
    label = {"suggester": NAME, "chosen": choice.name, "why": choice.why, "n_pending": n_pending}
    return dataclasses.replace(suggestion, provenance={**suggestion.provenance, **label})
