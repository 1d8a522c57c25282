"""What plots are made from: the few columns of trials that they need, attempts at them, and the
curves of several at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from ..domain.space import Value
from ..domain.trial import TrialState
from .tables import leases, measurements, trials, workers

_CHUNK = 500

_TRIALS = (
    select(
        trials.c.number,
        trials.c.id,
        trials.c.state,
        trials.c.value,
        trials.c.bracket,
        trials.c.params,
        trials.c.ended_at,
    )
    .where(trials.c.study_id == bindparam("b_study_id"), trials.c.change_seq > bindparam("b_seq"))
    .order_by(trials.c.number)
)

_ATTEMPT = func.row_number().over(
    partition_by=leases.c.trial_id, order_by=(leases.c.acquired_at, leases.c.id)
)
_ATTEMPTS = (
    select(
        trials.c.number,
        _ATTEMPT.label("attempt"),
        func.coalesce(workers.c.name, leases.c.client_id, leases.c.worker_id).label("holder"),
        leases.c.acquired_at,
        leases.c.ended_at,
        leases.c.outcome,
        leases.c.failure,
    )
    .join(trials, trials.c.id == leases.c.trial_id)
    .outerjoin(workers, workers.c.id == leases.c.worker_id)
    .where(trials.c.study_id == bindparam("b_study_id"))
    .subquery()
)
_NEWEST = select(_ATTEMPTS).order_by(_ATTEMPTS.c.acquired_at.desc()).limit(bindparam("b_limit"))
_FAILED = _NEWEST.where(_ATTEMPTS.c.failure.is_not(None))
_REPORTED = select(trials.c.number).where(
    trials.c.study_id == bindparam("b_study_id"), trials.c.n_measurements > 0
)
_CURVES = (
    select(trials.c.number, measurements.c.step, measurements.c.reported_values)
    .join(trials, trials.c.id == measurements.c.trial_id)
    .where(measurements.c.trial_id.in_(bindparam("b_ids", expanding=True)))
    .order_by(measurements.c.id)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRow:
    """A trial; `value` is the final one of its study's first objective, None where it has none."""

    number: int
    id: str
    state: TrialState
    value: float | None
    bracket: int | None
    params: dict[str, Value]
    ended_at: datetime | None


def changed_since(conn: Connection, study_id: str, seq: int) -> list[TrialRow]:
    """The trials whose last change came after `seq` in the study's sequence, by number."""
    rows = conn.execute(_TRIALS, {"b_study_id": study_id, "b_seq": seq})
    return [
        TrialRow(
            number=row.number,
            id=row.id,
            state=TrialState(row.state),
            value=row.value,
            bracket=row.bracket,
            params=row.params,
            ended_at=row.ended_at,
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt; `failure` has `kind`, `message` and `traceback`."""

    number: int
    attempt: int
    holder: str | None
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    failure: dict[str, Any] | None


def newest(
    conn: Connection, study_id: str, limit: int, *, only_failed: bool = False
) -> list[AttemptRow]:
    """The attempts that began last, latest first."""
    statement = _FAILED if only_failed else _NEWEST
    rows = conn.execute(statement, {"b_study_id": study_id, "b_limit": limit})
    return [
        AttemptRow(
            number=row.number,
            attempt=row.attempt,
            holder=row.holder,
            started_at=row.acquired_at,
            ended_at=row.ended_at,
            outcome=row.outcome,
            failure=row.failure,
        )
        for row in rows
    ]


def with_reports(conn: Connection, study_id: str) -> set[int]:
    """Numbers of the trials that have reported anything."""
    return set(conn.execute(_REPORTED, {"b_study_id": study_id}).scalars())


def reports(
    conn: Connection, trial_ids: Sequence[str]
) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Number, step and values of every measurement of some trials, in the order in which those of
    a trial came.
    """
    for start in range(0, len(trial_ids), _CHUNK):
        chunk = list(trial_ids[start : start + _CHUNK])
        for row in conn.execute(_CURVES, {"b_ids": chunk}):
            yield row.number, row.step, row.reported_values
