"""What plots are made from: the few columns of trials that they need, attempts at them, and the
curves of several at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Text,
    and_,
    bindparam,
    case,
    func,
    select,
    type_coerce,
)

from ..domain.trial import TrialSource, TrialState
from .rows import AnyRow
from .tables import leases, measurements, trials, workers

_CHUNK = 500

_HAS_LAST = trials.c.state.in_(
    [str(state) for state in (TrialState.RUNNING, TrialState.PAUSED, TrialState.STOPPED)]
)
_TRIALS = (
    select(
        trials.c.number,
        trials.c.id,
        trials.c.state,
        trials.c.source,
        trials.c.value,
        trials.c.bracket,
        trials.c.n_measurements,
        type_coerce(trials.c.params, Text).label("params"),
        # As integers: a hundred thousand instants take longer to make than to read.
        type_coerce(trials.c.started_at, BigInteger).label("started"),
        type_coerce(trials.c.ended_at, BigInteger).label("ended"),
        case((and_(trials.c.value.is_(None), _HAS_LAST), trials.c.last_values)).label("last"),
    )
    .where(trials.c.study_id == bindparam("b_study_id"), trials.c.change_seq > bindparam("b_seq"))
    .order_by(trials.c.number)
)
_PATHS = _TRIALS.add_columns(
    trials.c.rungs, trials.c.to_step, trials.c.directive, trials.c.last_step
)

_ATTEMPT = func.row_number().over(
    partition_by=leases.c.trial_id, order_by=(leases.c.acquired_at, leases.c.id)
)
_ATTEMPTS = (
    select(
        trials.c.number,
        _ATTEMPT.label("attempt"),
        func.coalesce(workers.c.name, leases.c.client_id, leases.c.worker_id).label("holder"),
        leases.c.slot,
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
_IMPORTED_FAILED = (
    select(trials.c.number, trials.c.created_at, trials.c.ended_at, trials.c.failure)
    .where(
        trials.c.study_id == bindparam("b_study_id"),
        trials.c.state == str(TrialState.FAILED),
        trials.c.source == str(TrialSource.IMPORT),
        trials.c.failure.is_not(None),
    )
    .order_by(trials.c.number.desc())
    .limit(bindparam("b_limit"))
)
_SOURCES = (
    select(trials.c.source)
    .where(trials.c.study_id == bindparam("b_study_id"))
    .order_by(trials.c.number.desc())
    .limit(bindparam("b_limit"))
)
_CURVES = (
    select(trials.c.number, measurements.c.step, measurements.c.reported_values)
    .join(trials, trials.c.id == measurements.c.trial_id)
    .where(measurements.c.trial_id.in_(bindparam("b_ids", expanding=True)))
    .order_by(measurements.c.id)
)


def changed_since(
    conn: Connection, study_id: str, seq: int, *, with_values: bool, with_paths: bool
) -> Iterator[AnyRow]:
    """The trials that changed after `seq` in the study's sequence, by number: `number`, `id`,
    `state`, `value` (the final one of the first objective, or None), `bracket`, `n_measurements`,
    `params` as JSON text, `started` and `ended` in microseconds since the epoch, and `last`, the
    values that were reported last of one that has no final one.

    Args:
        with_values: `final_values` too.
        with_paths: `rungs`, `to_step`, `directive` and `last_step` too.
    """
    statement = _PATHS if with_paths else _TRIALS
    if with_values:
        statement = statement.add_columns(trials.c.final_values)
    yield from conn.execute(statement, {"b_study_id": study_id, "b_seq": seq})


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRow:
    """One attempt; `failure` has `kind`, `message` and `traceback`."""

    number: int
    attempt: int
    holder: str | None
    slot: int | None
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
            slot=row.slot,
            started_at=row.acquired_at,
            ended_at=row.ended_at,
            outcome=row.outcome,
            failure=row.failure,
        )
        for row in rows
    ]


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


def imported_failures(conn: Connection, study_id: str, limit: int) -> list[AttemptRow]:
    """Imported trials that had failed, latest first: no attempt of this service tells of them."""
    rows = conn.execute(_IMPORTED_FAILED, {"b_study_id": study_id, "b_limit": limit})
    return [
        AttemptRow(
            number=row.number,
            attempt=1,
            holder="imported",
            slot=None,
            started_at=row.created_at,
            ended_at=row.ended_at,
            outcome=str(TrialState.FAILED),
            failure=row.failure,
        )
        for row in rows
    ]


def newest_sources(conn: Connection, study_id: str, limit: int) -> list[TrialSource]:
    """Where the points of the newest trials come from, latest first."""
    rows = conn.execute(_SOURCES, {"b_study_id": study_id, "b_limit": limit}).scalars()
    return [TrialSource(row) for row in rows]
