"""`bohb`: the Parzen estimator on the highest rung with enough results, and a share of random draws
(Falkner, Klein & Hutter 2018, section 3.2), for the brackets of Hyperband.

Results of other rungs take no part in the model; their points count as taken. Until a rung has
enough results every point is random.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ..domain.trial import TrialState
from . import random_search, tpe
from .base import (
    Decision,
    FinishedTrial,
    PendingTrial,
    Suggestion,
    SuggestRequest,
    rng_of,
)

NAME = "bohb"
RANDOM_SHARE = 1.0 / 3.0
GAMMA = 0.15
"""Share of good trials, as in the paper."""


def suggest(request: SuggestRequest) -> Decision:
    """Makes the points one after another, earlier ones pending for later ones."""
    found: list[Suggestion] = []
    for k in range(request.count):
        made = tuple(
            PendingTrial(number=request.index + j, params=s.params) for j, s in enumerate(found)
        )
        asked = replace(request, index=request.index + k, count=1, pending=request.pending + made)
        decision = _one(asked)
        if not decision.suggestions:
            return Decision(suggestions=tuple(found), exhausted=decision.exhausted)
        found.append(decision.suggestions[0])
    return Decision(suggestions=tuple(found))


def _one(request: SuggestRequest) -> Decision:
    seen, rung = at_highest_rung(request)
    is_random = request.ladder is not None and (
        rung is None or rng_of(request, NAME, request.index).random() < RANDOM_SHARE
    )
    decision = (random_search.suggest if is_random else tpe.suggest)(seen)
    label = {"suggester": NAME, "chosen": "random" if is_random else "tpe", "rung": rung}
    labelled = tuple(replace(s, provenance={**s.provenance, **label}) for s in decision.suggestions)
    return replace(decision, suggestions=labelled)


def at_highest_rung(request: SuggestRequest) -> tuple[SuggestRequest, int | None]:
    """The request with the results of the highest rung that has p + 2 of them, p parameters, as
    values, and that rung; without one, the request with values of complete trainings alone.
    """
    if request.ladder is None or len(request.metrics) > 1:
        return replace(request, options=_options(request)), None
    trials: list[FinishedTrial | PendingTrial] = [*request.finished, *request.pending]
    enough = len(request.space.parameters) + 2
    for rung in reversed(request.ladder.rungs):
        values = {
            trial.number: value
            for trial in trials
            for step, value in trial.rungs
            if step == rung and math.isfinite(value)
        }
        if len(values) >= enough:
            return _with_values(request, trials, values, rung), rung
    return _with_values(request, trials, {}, None), None


def _options(request: SuggestRequest) -> dict[str, object]:
    return {"gamma": GAMMA, **{k: v for k, v in request.options.items() if v is not None}}


def _with_values(
    request: SuggestRequest,
    trials: list[FinishedTrial | PendingTrial],
    values: dict[int, float],
    rung: int | None,
) -> SuggestRequest:
    finished: list[FinishedTrial] = []
    pending: list[PendingTrial] = []
    for trial in sorted(trials, key=lambda trial: trial.number):
        if isinstance(trial, FinishedTrial) and trial.state in (
            TrialState.FAILED,
            TrialState.INFEASIBLE,
        ):
            finished.append(trial)
        elif trial.number in values:
            finished.append(
                FinishedTrial(
                    number=trial.number,
                    params=trial.params,
                    state=TrialState.COMPLETED,
                    values=(values[trial.number],),
                    step=rung,
                )
            )
        else:
            pending.append(PendingTrial(number=trial.number, params=trial.params))
    return replace(
        request,
        finished=tuple(finished),
        pending=tuple(pending),
        options=_options(request),
        ladder=None,
    )
