"""What a study shows of itself: its front, and its trials as rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import Connection

from ..domain import front as fronts
from ..domain.study import Study, StudyDefinition
from ..domain.trial import Trial
from ..store import trial_sets
from ..store import trials as trial_rows
from ..store.engine import Store
from ..store.page import Page
from ..store.trials import TrialFilter
from .views import Front

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


def export_columns(definition: StudyDefinition) -> list[str]:
    """Names of the columns of an export."""
    return [
        "number", "id", "state", "source",
        *(f"params.{name}" for name in definition.space.names),
        *(f"values.{metric.name}" for metric in definition.metrics),
        "step", "attempts", "losses", "failure_kind", "failure_message", "note",
        "created_at", "started_at", "ended_at",
    ]  # fmt: skip


def export_rows(store: Store, study: Study) -> Iterator[dict[str, Any]]:
    """One row a trial, by number; read in pages, not all at once."""
    token: str | None = None
    while True:
        page = store.read(partial(_export_page, study_id=study.id, token=token))
        for trial in page.items:
            yield _row(study.definition, trial)
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


def _export_page(conn: Connection, study_id: str, token: str | None) -> Page[Trial]:
    return trial_rows.page(
        conn, study_id, filters=TrialFilter(), order_by="number", size=_EXPORT_PAGE, token=token
    )
