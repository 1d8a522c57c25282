"""What a study shows of itself: its front, its rate and trend, its trials as rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from ..domain import front as fronts
from ..domain.study import Direction, Study, StudyDefinition, StudyState
from ..domain.trial import Trial, TrialState
from ..store import trial_sets
from ..store import trials as trial_rows
from ..store.page import Page
from .views import Front, StudySummary

_TREND_POINTS = 50
_RATE_WINDOW = timedelta(hours=1)
_EXPORT_PAGE = 500


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


def summary_of(conn: Connection, study: Study) -> StudySummary:
    """Rate, time left, trend and last failures of a study."""
    finished = trial_rows.finished_values(conn, study.id)
    first = study.definition.objectives[0].name
    ended = [at for _, _, _, at in finished]
    rate = None
    if len(ended) >= 2:
        last = max(ended)
        recent = [at for at in ended if at > last - _RATE_WINDOW]
        span = (max(recent) - min(recent)).total_seconds()
        rate = 3600 * (len(recent) - 1) / span if span > 0 else None
    return StudySummary(
        rate_per_h=rate,
        time_left_s=_time_left_s(study, rate),
        trend=_trend(study.definition, [(n, values[first]) for _, n, values, _ in finished]),
        last_failures=tuple(
            {"number": t.number, "kind": t.failure.kind.value, "message": t.failure.message}
            for t in trial_sets.last_failed(conn, study.id, 3)
            if t.failure is not None
        ),
    )


def _time_left_s(study: Study, rate: float | None) -> float | None:
    total = study.definition.limits.max_trials
    if rate is None or total is None or study.state is not StudyState.ACTIVE:
        return None
    left = (
        total
        - study.places
        + sum(study.counts.get(state, 0) for state in (TrialState.PENDING, TrialState.RUNNING))
    )
    return 3600 * left / rate


def _trend(
    definition: StudyDefinition, finished: Sequence[tuple[int, float]]
) -> tuple[tuple[int, float], ...]:
    is_lower_better = definition.objectives[0].direction is Direction.MINIMIZE
    best: list[tuple[int, float]] = []
    for number, value in finished:
        if not best or (value < best[-1][1] if is_lower_better else value > best[-1][1]):
            best.append((number, value))
    if len(best) <= _TREND_POINTS:
        return tuple(best)
    stride = (len(best) - 1) / (_TREND_POINTS - 1)
    return tuple(best[round(k * stride)] for k in range(_TREND_POINTS))


def export_columns(definition: StudyDefinition) -> list[str]:
    """Names of the columns of an export."""
    return [
        "number", "id", "state", "source",
        *(f"params.{name}" for name in definition.space.names),
        *(f"values.{metric.name}" for metric in definition.metrics),
        "step", "attempts", "losses", "failure_kind", "failure_message", "note",
        "created_at", "started_at", "ended_at",
    ]  # fmt: skip


def export_rows(
    definition: StudyDefinition, read: Callable[[int, str | None], Page[Trial]]
) -> Iterator[dict[str, Any]]:
    """One row a trial, in pages, not all at once.

    Args:
        read: a page of at most so many trials from a token on.
    """
    token: str | None = None
    while True:
        page = read(_EXPORT_PAGE, token)
        for trial in page.items:
            yield _row(definition, trial)
        token = page.next_page_token
        if token is None:
            return


def _row(definition: StudyDefinition, trial: Trial) -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": trial.number,
        "id": trial.id,
        "state": trial.state.value,
        "source": trial.source.value,
    }
    row.update({f"params.{name}": trial.params.get(name) for name in definition.space.names})
    row.update({f"values.{m.name}": trial.values.get(m.name) for m in definition.metrics})
    row.update(
        step=trial.step,
        attempts=trial.attempts,
        losses=trial.losses,
        failure_kind=trial.failure.kind.value if trial.failure else None,
        failure_message=trial.failure.message if trial.failure else None,
        note=trial.note or None,
        created_at=trial.created_at,
        started_at=trial.started_at,
        ended_at=trial.ended_at,
    )
    return row
