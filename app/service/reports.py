"""What a study shows of itself: its front, and its summary in a list."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime

from sqlalchemy import Connection

from ..domain import front as fronts
from ..domain.pace import Ended, pace_of
from ..domain.study import Study, StudyState
from ..domain.trial import PLACE_FREEING_STATES, TrialState
from ..store import summaries, trial_sets
from ..store.trial_select import first_metric
from .views import Front, StudySummary

_TREND_POINTS = 32
_RECENT = 10
"""Trials that ended last, whose failures are counted."""
_MOST_ENDED = 200
"""Trials that ended last, by which the rate is told."""


def front_of(conn: Connection, study: Study) -> Front:
    """The Pareto front of the completed trials over the objective metrics."""
    objectives = study.definition.objectives
    names = [metric.name for metric in objectives]
    candidates = [
        trial
        for trial in trial_sets.completed_of(conn, study.id)
        if study.definition.is_feasible(trial.values)
        and all(math.isfinite(trial.values.get(name, math.nan)) for name in names)
    ]
    values = [tuple(trial.values[name] for name in names) for trial in candidates]
    directions = [metric.direction for metric in objectives]
    chosen = fronts.pareto_front(values, directions)
    reference = fronts.reference_point([values[i] for i in chosen], directions)
    volume = fronts.hypervolume([values[i] for i in chosen], reference, directions)
    return Front(
        trials=tuple(candidates[i] for i in chosen), hypervolume=volume, reference=reference
    )


def summary_of(conn: Connection, study: Study, now: datetime) -> StudySummary:
    """Rate, time left, trend and last failures of a study."""
    ended = summaries.ended_last(conn, study.id, _MOST_ENDED)
    is_active = study.state is StudyState.ACTIVE
    n_left = _n_left(study) if is_active else None
    pace = pace_of([_ended(one) for one in ended], n_left, _own_time_s(study, now))
    recent = [one.failure for one in ended[:_RECENT]]
    return StudySummary(
        rate_per_h=pace.rate_per_h,
        time_left_s=pace.left_s,
        eta_low_s=pace.low_s,
        eta_high_s=pace.high_s,
        n_running=study.counts.get(TrialState.RUNNING, 0),
        trend=tuple(_trend(conn, study)),
        last_failures=tuple(
            {"number": t.number, "kind": t.failure.kind.value, "message": t.failure.message}
            for t in trial_sets.last_failed(conn, study.id, 3)
            if t.failure is not None
        ),
        recent_failures=dict(Counter(kind for kind in recent if kind is not None)),
        n_recent=len(recent),
    )


def _trend(conn: Connection, study: Study) -> list[tuple[int, float]]:
    definition = study.definition
    direction = first_metric(definition).direction
    if len(definition.objectives) < len(definition.metrics):
        return summaries.feasible_improvements(conn, study, direction, _TREND_POINTS)
    return summaries.improvements(conn, study.id, direction, _TREND_POINTS)


def _ended(one: summaries.EndedTrial) -> Ended:
    begun = one.started_at
    return Ended(
        at=one.ended_at,
        took_s=None if begun is None else (one.ended_at - begun).total_seconds(),
        holds_place=one.state not in PLACE_FREEING_STATES,
    )


def _n_left(study: Study) -> int | None:
    """Trials still to end."""
    total = study.definition.limits.max_trials
    if total is None:
        return None
    open_ones = (TrialState.PENDING, TrialState.RUNNING)
    return total - study.places + sum(study.counts.get(state, 0) for state in open_ones)


def _own_time_s(study: Study, now: datetime) -> float | None:
    """Seconds until the study's time is over."""
    most = study.definition.limits.max_duration_s
    if most is None or study.started_at is None:
        return None
    return most - (now - study.started_at).total_seconds()
