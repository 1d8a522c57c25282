"""Removes what is kept no longer, a little in each transaction: no writer waits for it for long.

`trial.state` and `trial.rung` events and past definitions stay as long as their study: a study's
points are derived again from them (`past.py`). Two processes that purge at once do no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from ..domain.event import REPLAYED, EventKind
from .events import HORIZON
from .rows import AnyRow
from .tables import (
    audit,
    checkpoints,
    deliveries,
    events,
    leases,
    log_chunks,
    measurements,
    past_definitions,
    prepared_points,
    purges,
    studies,
    trials,
)
from .transaction import Tx, now_of

BATCH = 500
"""Most rows that one transaction removes, or walks over."""

_WINDOW = 50
"""Trials whose measurements are looked at together."""

_KEPT_KINDS = [kind.value for kind in REPLAYED]

_ID: BindParameter[str] = bindparam("b_study_id")
_JOINED = studies.outerjoin(purges, purges.c.study_id == studies.c.id)


def _done(column: str) -> ColumnElement[int]:
    return func.coalesce(purges.c[column], 0)


_OVER = studies.c.ended_at <= bindparam("b_ended_before")
_WITH_OLD_EVENTS = (
    select(studies.c.id)
    .select_from(_JOINED)
    .where(
        or_(
            (studies.c.created_at <= bindparam("b_reports_before"))
            & (_done("seq") < studies.c.change_seq),
            _OVER & (_done("ended_seq") < studies.c.change_seq),
        )
    )
    .order_by(studies.c.id)
)
_WITH_OLD_MEASUREMENTS = (
    select(studies.c.id)
    .select_from(_JOINED)
    .where(_OVER, _done("measurements_seq") < studies.c.change_seq)
    .order_by(studies.c.id)
)
_STATUS = (
    select(
        studies.c.change_seq,
        studies.c.ended_at,
        *(_done(c.name).label(c.name) for c in purges.c if c.name != "study_id"),
    )
    .select_from(_JOINED)
    .where(studies.c.id == _ID)
)
_EVENT = select(events.c.id, events.c.xid, events.c.seq, events.c.kind, events.c.occurred_at)
_NEXT_EVENTS = (
    _EVENT.where(events.c.study_id == _ID, events.c.seq > bindparam("b_seq"))
    .order_by(events.c.seq)
    .limit(BATCH)
)
_REST = _EVENT.where(events.c.study_id == _ID, events.c.kind.not_in(_KEPT_KINDS)).limit(BATCH)


def _rows(tx: Tx, statement: Select[Any], **values: Any) -> list[AnyRow]:
    # What the feed does not show yet stays: its `tail` must not lie before what is noted as gone.
    if tx.dialect == "postgresql":
        statement = statement.where(events.c.xid < HORIZON)
    return list(tx.conn.execute(statement, {f"b_{k}": v for k, v in values.items()}))


_DELETE_EVENTS = delete(events).where(events.c.id.in_(bindparam("b_ids", expanding=True)))


def _note(insert: Any) -> Any:
    statement = insert(purges)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=["study_id"],
        set_={c.name: new[c.name] for c in purges.c if c.name != "study_id"},
        # Of two that purge at once the one that has come further is right.
        where=(purges.c.seq <= new.seq) & (purges.c.ended_seq <= new.ended_seq),
    )


_NOTE = {"sqlite": _note(sqlite.insert), "postgresql": _note(postgresql.insert)}


def with_old_events(
    conn: Connection, *, reports_before: datetime, ended_before: datetime
) -> list[str]:
    """Studies that may have events to purge; see `purge_events`."""
    values = {"b_reports_before": reports_before, "b_ended_before": ended_before}
    return list(conn.execute(_WITH_OLD_EVENTS, values).scalars())


def purge_events(
    tx: Tx, study_id: str, *, reports_before: datetime, ended_before: datetime
) -> bool:
    """Removes events of a study, `BATCH` at most, and notes up to where.

    Args:
        reports_before: `trial.measurement` events up to then go.
        ended_before: of a study that ended before, all but the events of states and
            rungs go.

    Returns:
        Whether more are left to look at.
    """
    study = tx.conn.execute(_STATUS, {"b_study_id": study_id}).one_or_none()
    if study is None:
        return False
    if study.ended_at is not None and study.ended_at <= ended_before:
        return _purge_rest(tx, study_id, study)
    return _purge_reports(tx, study_id, study, reports_before)


def _purge_rest(tx: Tx, study_id: str, study: AnyRow) -> bool:
    rows = _rows(tx, _REST, study_id=study_id)
    is_more = len(rows) == BATCH
    ended_seq = study.ended_seq if is_more else study.change_seq
    noted = {"seq": study.change_seq, "ended_seq": ended_seq}
    _delete_events(tx, study_id, study, rows, noted)
    return is_more


def _purge_reports(tx: Tx, study_id: str, study: AnyRow, before: datetime) -> bool:
    """Walks on from where the last purge came to; what it passes and keeps stays for good."""
    found = _rows(tx, _NEXT_EVENTS, study_id=study_id, seq=study.seq)
    old = list(takewhile(lambda row: row.occurred_at <= before, found))
    if not old:
        return False
    reports = [row for row in old if row.kind == EventKind.TRIAL_MEASUREMENT]
    _delete_events(tx, study_id, study, reports, {"seq": old[-1].seq})
    return len(old) == BATCH


def _delete_events(
    tx: Tx, study_id: str, study: AnyRow, rows: Sequence[AnyRow], noted: dict[str, int]
) -> None:
    """Deletes events, and notes that cursors before the last of them are too old."""
    mark = max([(study.xid, study.event_id), *((row.xid, row.id) for row in rows)])
    values = {
        "study_id": study_id,
        "ended_seq": study.ended_seq,
        "measurements_seq": study.measurements_seq,
        "xid": mark[0],
        "event_id": mark[1],
        **noted,
    }
    tx.conn.execute(_NOTE[tx.dialect], values)
    if rows:
        tx.conn.execute(_DELETE_EVENTS, {"b_ids": [row.id for row in rows]})


_FIRST_TRIALS = (
    select(trials.c.id, trials.c.number)
    .where(trials.c.study_id == _ID, trials.c.number > bindparam("b_after"))
    .order_by(trials.c.number)
    .limit(_WINDOW)
)
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)


def _some(table: Table, condition: ColumnElement[bool], key: str = "id") -> Delete:
    """Deletes `BATCH` rows at most that fulfil a condition."""
    chosen: Select[Any] = select(table.c[key]).where(condition).limit(BATCH)
    return delete(table).where(table.c[key].in_(chosen))


_SOME_MEASUREMENTS = _some(measurements, measurements.c.trial_id.in_(_IDS))


def with_old_measurements(conn: Connection, *, ended_before: datetime) -> list[str]:
    """Studies that ended before and may have measurements to purge."""
    return list(conn.execute(_WITH_OLD_MEASUREMENTS, {"b_ended_before": ended_before}).scalars())


def purge_measurements(tx: Tx, study_id: str, after: int = 0) -> int | None:
    """Removes measurements of an ended study, `BATCH` at most; a trial's summary of them stays.

    Args:
        after: what the call before returned; 0 at first.

    Returns:
        Where to go on; None at the end.
    """
    study = tx.conn.execute(_STATUS, {"b_study_id": study_id}).one_or_none()
    if study is None or study.ended_at is None:  # gone, or opened again meanwhile
        return None
    window = tx.conn.execute(_FIRST_TRIALS, {"b_study_id": study_id, "b_after": after}).all()
    if not window:
        _delete_events(tx, study_id, study, (), {
            "seq": study.seq, "measurements_seq": study.change_seq,
        })  # fmt: skip
        return None
    gone = tx.conn.execute(_SOME_MEASUREMENTS, {"b_ids": [row.id for row in window]}).rowcount
    return after if gone == BATCH else int(window[-1].number)


_IS_DUE = studies.c.purge_at <= bindparam("b_now")
# What a checkpoint stands for lies outside the database: its own collector goes first.
_HAS_CONTENT = exists().where(
    checkpoints.c.study_id == studies.c.id, checkpoints.c.state != "deleted"
)
_DUE = select(studies.c.id).where(_IS_DUE, ~_HAS_CONTENT).order_by(studies.c.id)
_LOCK_DUE = (
    select(studies.c.id).where(studies.c.id == _ID, _IS_DUE, ~_HAS_CONTENT).with_for_update()
)
_OF_WINDOW = (
    _SOME_MEASUREMENTS,
    _some(log_chunks, log_chunks.c.trial_id.in_(_IDS)),
    _some(checkpoints, checkpoints.c.trial_id.in_(_IDS)),
    _some(leases, leases.c.trial_id.in_(_IDS)),
)
_DELETE_TRIALS = delete(trials).where(trials.c.id.in_(_IDS))
_SOME_EVENTS = _some(events, events.c.study_id == _ID)
_OF_STUDY = (past_definitions, prepared_points, purges, deliveries)
_LAST = (
    *(delete(table).where(table.c.study_id == _ID) for table in _OF_STUDY),
    delete(studies).where(studies.c.id == _ID),
)


def due_studies(conn: Connection) -> list[str]:
    """Deleted studies whose time to be restored is over."""
    return list(conn.execute(_DUE, {"b_now": now_of(conn)}).scalars())


def purge_study(tx: Tx, study_id: str) -> bool:
    """Removes a part of a deleted study; whether anything of it is left."""
    due = tx.conn.execute(_LOCK_DUE, {"b_study_id": study_id, "b_now": tx.now})
    if due.one_or_none() is None:
        return False
    window = tx.conn.execute(_FIRST_TRIALS, {"b_study_id": study_id, "b_after": 0}).all()
    if window:
        _purge_trials(tx, [row.id for row in window])
        return True
    if tx.conn.execute(_SOME_EVENTS, {"b_study_id": study_id}).rowcount == BATCH:
        return True
    for statement in _LAST:
        tx.conn.execute(statement, {"b_study_id": study_id})
    return False


def _purge_trials(tx: Tx, trial_ids: Sequence[str]) -> None:
    """Removes trials with all that is theirs, or a part of what is theirs."""
    for statement in _OF_WINDOW:
        if tx.conn.execute(statement, {"b_ids": trial_ids}).rowcount == BATCH:
            return
    tx.conn.execute(_DELETE_TRIALS, {"b_ids": trial_ids})


_BEFORE: BindParameter[Any] = bindparam("b_before")
_OLD_AUDIT = _some(audit, audit.c.occurred_at <= _BEFORE)
_OLD_LOGS = _some(log_chunks, log_chunks.c.created_at <= _BEFORE)
_OLD_DELIVERIES = _some(
    deliveries, deliveries.c.next_at.is_(None) & (deliveries.c.created_at <= _BEFORE)
)


def purge_audit(tx: Tx, before: datetime) -> int:
    """Removes audit rows up to an instant, `BATCH` at most; returns how many."""
    return tx.conn.execute(_OLD_AUDIT, {"b_before": before}).rowcount


def purge_logs(tx: Tx, before: datetime) -> int:
    """Removes output that came up to an instant, `BATCH` chunks at most; returns how many."""
    return tx.conn.execute(_OLD_LOGS, {"b_before": before}).rowcount


def purge_deliveries(tx: Tx, before: datetime) -> int:
    """Removes webhook deliveries that are over, made up to an instant; returns how many."""
    return tx.conn.execute(_OLD_DELIVERIES, {"b_before": before}).rowcount
