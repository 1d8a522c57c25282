"""Rows as the values of the domain, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row

from ..domain.event import Event, EventKind
from ..domain.fidelity import Directive
from ..domain.lease import Lease, LeaseEnd
from ..domain.study import PauseReason, StopReason, Study, StudyDefinition, StudyState
from ..domain.trial import Failure, FailureKind, Trial, TrialSource, TrialState
from .definitions import definition_of, definition_text

AnyRow = Row[Any]

_STUDY_STATES = {state.value: state for state in StudyState}
_TRIAL_STATES = {state.value: state for state in TrialState}
_SOURCES = {source.value: source for source in TrialSource}

MESSAGE_CHARS = 2_000
TRACEBACK_CHARS = 20_000


def study_of(row: AnyRow) -> Study:
    """The study of a row of `studies`."""
    return Study(
        id=row.id,
        definition=definition_of(row.definition),
        state=_STUDY_STATES[row.state],
        stop_reason=None if row.stop_reason is None else StopReason(row.stop_reason),
        stop_detail=row.stop_detail,
        pause_reason=None if row.pause_reason is None else PauseReason(row.pause_reason),
        pause_detail=row.pause_detail,
        counts={
            TrialState.PENDING: row.n_pending,
            TrialState.RUNNING: row.n_running,
            TrialState.PAUSED: row.n_paused,
            TrialState.COMPLETED: row.n_completed,
            TrialState.STOPPED: row.n_stopped,
            TrialState.INFEASIBLE: row.n_infeasible,
            TrialState.FAILED: row.n_failed,
            TrialState.CANCELLED: row.n_cancelled,
        },
        places=row.places,
        next_number=row.next_number,
        results_seq=row.results_seq,
        change_seq=row.change_seq,
        revision=row.revision,
        best_trial_id=row.best_trial_id,
        best_value=row.best_value,
        best_number=row.best_number,
        best_at=row.best_at,
        resource_used=row.resource_used,
        resource_granted=row.resource_granted,
        resource_saved=row.resource_saved,
        saved_s=row.saved_s,
        data_digest=row.data_digest,
        exhausted=row.exhausted,
        created_at=row.created_at,
        updated_at=row.updated_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        deleted_at=row.deleted_at,
        purge_at=row.purge_at,
    )


def study_columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a study as columns; the definition also fills the columns that queries look at."""
    columns = dict(changes)
    definition: StudyDefinition | None = columns.get("definition")
    if definition is not None:
        columns["definition"] = definition_text(definition)
        columns["name"] = definition.name
        columns["objective"] = definition.objective.name if definition.objective else None
        columns["priority"] = definition.priority
        columns["labels"] = dict(definition.labels)
    for state, count in columns.pop("counts", {}).items():
        columns[f"n_{state.value}"] = count
    return columns


def trial_of(row: AnyRow) -> Trial:
    """The trial of a row of `trials` with its lease's `lease_expires_at`."""
    return Trial(
        id=row.id,
        study_id=row.study_id,
        number=row.number,
        state=_TRIAL_STATES[row.state],
        source=_SOURCES[row.source],
        params=row.params,
        values=row.final_values,
        step=row.step,
        attempts=row.attempts,
        losses=row.losses,
        lease_id=row.lease_id,
        lease_expires_at=row.lease_expires_at,
        worker_id=row.worker_id,
        client_id=row.client_id,
        reserved_for=row.reserved_for,
        reserved_until=row.reserved_until,
        failure=failure_of(row.failure),
        note=row.note,
        provenance=row.provenance,
        usage=row.usage,
        data=row.data,
        checkpoint_id=row.checkpoint_id,
        not_before=row.not_before,
        min_memory_bytes=row.min_memory_bytes,
        bracket=row.bracket,
        to_step=row.to_step,
        rungs=row.rungs,
        directive=None if row.directive is None else Directive(row.directive),
        directive_reason=row.directive_reason,
        equivalent=row.equivalent,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        updated_at=row.updated_at,
        change_seq=row.change_seq,
        revision=row.revision,
    )


def trial_columns(changes: Mapping[str, Any], first_metric: str) -> dict[str, Any]:
    """Fields of a trial as columns. `lease_expires_at` is none: it is read from the lease."""
    columns = dict(changes)
    columns.pop("lease_expires_at", None)
    if "values" in columns:
        values = columns.pop("values")
        columns["final_values"] = dict(values)
        columns["value"] = finite_or_none(values.get(first_metric))
    if "failure" in columns:
        columns["failure"] = failure_json(columns["failure"])
    for name in ("params", "provenance", "usage"):
        if name in columns:
            columns[name] = dict(columns[name])
    return columns


def finite_or_none(value: float | None) -> float | None:
    """The value as a float, None for one that is missing or not finite."""
    return float(value) if value is not None and math.isfinite(value) else None


def lease_of(row: AnyRow) -> Lease:
    """The lease of a row of `leases`."""
    return Lease(
        id=row.id,
        trial_id=row.trial_id,
        study_id=row.study_id,
        worker_id=row.worker_id,
        slot=row.slot,
        memory_bytes=row.memory_bytes,
        utilisation=row.utilisation,
        client_id=row.client_id,
        token_id=row.token_id,
        duration_s=row.duration_s,
        acquired_at=row.acquired_at,
        renewed_at=row.renewed_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        end=None if row.outcome is None else LeaseEnd(row.outcome),
        failure=failure_of(row.failure),
        last_seq=row.last_seq,
        last_step=row.last_step,
        from_step=row.from_step,
        to_step=row.to_step,
        answer=row.answer,
    )


def failure_of(raw: Mapping[str, str] | None) -> Failure | None:
    """The failure of its JSON."""
    if raw is None:
        return None
    return Failure(
        kind=FailureKind(raw["kind"]), message=raw["message"], traceback=raw["traceback"]
    )


def failure_json(failure: Failure | None) -> dict[str, str] | None:
    """The JSON of a failure. A traceback too long loses its head: its end says what happened."""
    if failure is None:
        return None
    return {
        "kind": failure.kind.value,
        "message": failure.message[:MESSAGE_CHARS],
        "traceback": failure.traceback[-TRACEBACK_CHARS:],
    }


def event_of(row: AnyRow) -> Event:
    """The event of a row of `events`."""
    return Event(
        cursor=cursor_text(row.xid, row.id),
        study_id=row.study_id,
        seq=row.seq,
        kind=EventKind(row.kind),
        trial_id=row.trial_id,
        data=row.data,
        occurred_at=row.occurred_at,
        token_id=row.token_id,
    )


def cursor_text(xid: int, row_id: int) -> str:
    """The place of an event in the global feed, as text."""
    return f"{xid:x}.{row_id:x}"
