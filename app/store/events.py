"""The event log: a study's own sequence, and the global feed over all studies.

A study's sequence comes from its row, under its lock: no gaps, and no number shows before a lower
one. The global feed has no such row. On Postgres transactions end in another order than their ids,
so each event carries its transaction's id, or a later one that keeps its study's events in order,
and the feed stops below the oldest transaction that is still open: whatever shows up later sorts
behind everything that was ever read.

The `trial.state` and `trial.rung` events are also the order of a study's results (`past.py`), from
which its points are derived again: they are never purged before their study. Others are
(`retention.py`), and who comes with a cursor from before that is told to read anew: see `oldest`
and `is_too_old`.
"""

from __future__ import annotations

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    func,
    literal_column,
    select,
    tuple_,
)

from ..domain.event import Event
from ..errors import Fault, InvalidInput
from .rows import cursor_text, event_of
from .tables import events, purges, studies

_LARGEST = 2**63 - 1
_ALL = select(events)
_OF_STUDY = (
    _ALL.where(events.c.study_id == bindparam("b_study_id"), events.c.seq > bindparam("b_seq"))
    .order_by(events.c.seq)
    .limit(bindparam("b_limit"))
)
HORIZON: ColumnElement[int] = literal_column(
    "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"
)
_AFTER = tuple_(events.c.xid, events.c.id) > tuple_(bindparam("b_xid"), bindparam("b_row"))
_FEEDS = {
    # One comparison of both columns would make SQLite walk from the first event each time.
    "sqlite": _ALL.where(events.c.xid == 0, events.c.id > bindparam("b_row")),
    "postgresql": _ALL.where(_AFTER, events.c.xid < HORIZON),
}
_TAIL_POSTGRES = select(HORIZON)
_TAIL_SQLITE = select(
    func.max(
        select(func.coalesce(func.max(events.c.id), 0)).scalar_subquery(),
        # The newest event may be one that has gone.
        select(func.coalesce(func.max(purges.c.event_id), 0)).scalar_subquery(),
    )
)
_LATEST = select(studies.c.change_seq).where(studies.c.id == bindparam("b_id"))
_PURGED = select(purges.c.seq).where(purges.c.study_id == bindparam("b_id"))
_PURGED_FEED = (
    select(purges.c.xid, purges.c.event_id)
    .order_by(purges.c.xid.desc(), purges.c.event_id.desc())
    .limit(1)
)
_PURGED_FEEDS = {
    # What was noted in another database, before a restore, says nothing of the feed of this one.
    "sqlite": _PURGED_FEED.where(purges.c.xid == 0),
    "postgresql": _PURGED_FEED.where(purges.c.xid < HORIZON),
}
_LONGEST_CURSOR = 40


def of_study(conn: Connection, study_id: str, after_seq: int, limit: int) -> list[Event]:
    """Events of a study whose number is above `after_seq`, in order, `limit` at most."""
    values = {"b_study_id": study_id, "b_seq": min(after_seq, _LARGEST), "b_limit": limit}
    return [event_of(row) for row in conn.execute(_OF_STUDY, values)]


def feed(
    conn: Connection, cursor: str | None, limit: int, *, study_id: str | None = None
) -> list[Event]:
    """Events of all studies, or of one, behind a cursor; none is ever skipped, and those of one
    study come in the order of their `seq`.

    Args:
        cursor: of the last event read, or from `tail`; None for the beginning.

    Raises:
        InvalidInput: the cursor is none of ours.
    """
    xid, row_id = _parse(cursor)
    statement = _FEEDS[conn.dialect.name]
    if study_id is not None:
        statement = statement.where(events.c.study_id == study_id)
    statement = statement.order_by(events.c.xid, events.c.id).limit(limit)
    return [event_of(row) for row in conn.execute(statement, {"b_xid": xid, "b_row": row_id})]


def tail(conn: Connection) -> str:
    """The cursor of now: behind it comes every event that the feed does not show yet."""
    if conn.dialect.name == "postgresql":
        return cursor_text(conn.execute(_TAIL_POSTGRES).scalar_one() - 1, _LARGEST)
    return cursor_text(0, conn.execute(_TAIL_SQLITE).scalar_one())


def latest(conn: Connection, study_id: str) -> int:
    """Number of a study's last event; 0 for a study that there is not."""
    return conn.execute(_LATEST, {"b_id": study_id}).scalar_one_or_none() or 0


def oldest(conn: Connection, study_id: str) -> int:
    """Number of the first event of a study from which on none is missing; 0 for an unknown study.

    It is that of the next event when all before it have been purged.
    """
    if latest(conn, study_id) == 0:
        return 0
    return (conn.execute(_PURGED, {"b_id": study_id}).scalar_one_or_none() or 0) + 1


def is_too_old(conn: Connection, cursor: str | None) -> bool:
    """Whether events behind a cursor of the feed have been purged.

    Raises:
        InvalidInput: the cursor is none of ours.
    """
    at = _parse(cursor)
    purged = conn.execute(_PURGED_FEEDS[conn.dialect.name]).one_or_none()
    return purged is not None and at < (purged.xid, purged.event_id)


def _parse(cursor: str | None) -> tuple[int, int]:
    if cursor is None:
        return 0, 0
    try:
        xid, row_id = (int(part, 16) for part in cursor[:_LONGEST_CURSOR].split("."))
    except ValueError as error:
        raise _refused() from error
    if not (0 <= xid <= _LARGEST and 0 <= row_id <= _LARGEST):
        raise _refused()
    return xid, row_id


def _refused() -> InvalidInput:
    detail = "this is no cursor of the event feed"
    fault = Fault(pointer="/after", code="malformed", detail=detail)
    return InvalidInput(detail, faults=[fault])
