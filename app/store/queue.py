"""The queue of a study's pending trials: which one is handed out next, and when one falls due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, func, literal_column, or_, select

from ..domain.trial import Trial
from .locked import LockedStudy
from .rows import trial_of
from .tables import trials
from .transaction import now_of
from .trial_select import SELECT_TRIALS

# Spelled out: with a parameter no planner sees that the partial indexes fit.
IS_PENDING = trials.c.state == literal_column("'pending'")
_PENDING = (trials.c.study_id == bindparam("b_study_id"), IS_PENDING)
_DUE = (
    or_(trials.c.not_before.is_(None), trials.c.not_before <= bindparam("b_now")),
    or_(
        trials.c.min_memory_bytes.is_(None),
        trials.c.min_memory_bytes <= bindparam("b_memory_bytes"),
    ),
)
_OF_CLIENT = trials.c.reserved_for == bindparam("b_client_id")
_OF_ANYONE = or_(trials.c.reserved_for.is_(None), trials.c.reserved_until <= bindparam("b_now"))


def _first(select_from: Select[Any], whose: Any, *preferred: Any) -> Select[Any]:
    found = select_from.where(*_PENDING, *_DUE, whose)
    return found.order_by(trials.c.queue_rank, *preferred, trials.c.number).limit(1)


_LOCKED = SELECT_TRIALS.with_for_update(skip_locked=True, of=trials)
_RESERVED, _FREE = _first(_LOCKED, _OF_CLIENT), _first(_LOCKED, _OF_ANYONE)
# Sorts what is pending, where the plain one follows an index.
_LAST_TRAINED = _first(
    _LOCKED, _OF_ANYONE, case((trials.c.worker_id == bindparam("b_worker_id"), 0), else_=1)
)
_ANY = _first(select(trials.c.id), or_(_OF_CLIENT, _OF_ANYONE))
_NEXT_DUE = select(func.min(trials.c.not_before)).where(
    trials.c.study_id.in_(bindparam("b_study_ids", expanding=True)),
    IS_PENDING,
    trials.c.not_before > bindparam("b_now"),
)
_N_DUE = (
    select(trials.c.study_id, func.count())
    .where(
        trials.c.study_id.in_(bindparam("b_study_ids", expanding=True)),
        IS_PENDING,
        or_(trials.c.not_before.is_(None), trials.c.not_before <= bindparam("b_now")),
    )
    .group_by(trials.c.study_id)
)
_NEED_MEMORY = (
    SELECT_TRIALS.where(*_PENDING, trials.c.min_memory_bytes.is_not(None))
    .order_by(trials.c.number)
    .limit(bindparam("b_limit"))
)


def next_pending(
    study: LockedStudy,
    *,
    client_id: str | None,
    worker_id: str | None = None,
    memory_bytes: int | None = None,
) -> Trial | None:
    """The pending trial to hand out next, or None.

    First the ones kept for this client, then the user's points and trials that come back, then
    by number. Passed over are those kept for another client until their time is up, those that
    wait after a failure, and those that need more memory than there is.

    Args:
        worker_id: of equals, the one that this worker trained last comes first; None: the lowest
            number.
        memory_bytes: of the device that it would run on; None where that is not known.
    """
    conn, values = study.tx.conn, _values(study.id, study.tx.now, memory_bytes)
    row = None
    if client_id is not None:
        row = conn.execute(_RESERVED, {**values, "b_client_id": client_id}).one_or_none()
    if row is None and worker_id is not None:
        row = conn.execute(_LAST_TRAINED, {**values, "b_worker_id": worker_id}).one_or_none()
    elif row is None:
        row = conn.execute(_FREE, values).one_or_none()
    return None if row is None else trial_of(row)


def has_pending(
    conn: Connection, study_id: str, *, client_id: str | None, memory_bytes: int | None
) -> bool:
    """Whether `next_pending` would find one: a look that takes no lock."""
    values = _values(study_id, now_of(conn), memory_bytes)
    return conn.execute(_ANY, {**values, "b_client_id": client_id}).one_or_none() is not None


def _values(study_id: str, now: datetime, memory_bytes: int | None) -> dict[str, Any]:
    return {"b_study_id": study_id, "b_now": now, "b_memory_bytes": memory_bytes or 0}


def next_due_in_s(conn: Connection, study_ids: Sequence[str]) -> float | None:
    """Seconds until the first pending trial of these studies has waited long enough after its
    failure; None when none waits.
    """
    now = now_of(conn)
    values = {"b_study_ids": list(study_ids), "b_now": now}
    due = conn.execute(_NEXT_DUE, values).scalar_one()
    return None if due is None else (due - now).total_seconds()


def n_due(conn: Connection, study_ids: Sequence[str]) -> dict[str, int]:
    """How many pending trials of each study do not wait after a failure; none is left out."""
    rows = conn.execute(_N_DUE, {"b_study_ids": list(study_ids), "b_now": now_of(conn)})
    return {study_id: count for study_id, count in rows}


def in_need_of_memory(conn: Connection, study_id: str, limit: int) -> list[Trial]:
    """Pending trials that only a device with a certain memory may take, by number."""
    values = {"b_study_id": study_id, "b_limit": limit}
    return [trial_of(row) for row in conn.execute(_NEED_MEMORY, values)]
