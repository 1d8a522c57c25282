"""Webhooks: written in the transaction of the change that they tell of, then claimed, sent, noted.

A claim moves the time at which the row is due by one guarded statement. So two replicas never send
it at once, and the row of a process that dies in between is due again soon.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from ..domain.delivery import Delivery
from ..domain.ids import new_id
from ..domain.study import OPEN_STUDY_STATES, PauseReason, Study, StudyState
from .rows import AnyRow
from .tables import deliveries as table
from .transaction import Tx
from .types import dump_json, to_micros

TOPIC = "webhooks"
"""Signalled when a webhook was written."""

_INSERT = insert(table)
_ALL = select(table)
_DUE = (
    _ALL.where(table.c.next_at <= bindparam("b_now"))
    .order_by(table.c.next_at, table.c.id)
    .limit(bindparam("b_limit"))
)
_NEXT = select(func.min(table.c.next_at))
_OF_STUDY = (
    _ALL.where(table.c.study_id == bindparam("b_study_id"))
    .order_by(table.c.created_at.desc(), table.c.id.desc())
    .limit(bindparam("b_limit"))
)
_MINE = update(table).where(
    table.c.id == bindparam("b_id"), table.c.next_at == bindparam("b_next_at")
)
_CLAIM = _MINE.values(attempts=table.c.attempts + 1, next_at=bindparam("b_until"))
_END = _MINE.values(
    next_at=bindparam("b_again"),
    delivered_at=bindparam("b_delivered_at"),
    last_error=bindparam("b_error"),
)


def tells(before: Study, after: Study) -> bool:
    """Whether a change is one that a webhook tells of: an end, or a pause by the study itself."""
    if after.definition.webhook is None or before.state is after.state:
        return False
    if after.state is StudyState.PAUSED:
        return after.pause_reason not in (None, PauseReason.USER)
    return after.state not in OPEN_STUDY_STATES


def insert_for(tx: Tx, study: Study) -> None:
    """Writes the webhook of a change, due at once."""
    webhook = study.definition.webhook
    if webhook is None:
        return
    delivery_id = new_id("dl", now_ms=to_micros(tx.now) // 1000)
    values = {
        "id": delivery_id,
        "study_id": study.id,
        "url": webhook.url,
        "body": dump_json(_message(delivery_id, study, tx.now)),
        "attempts": 0,
        "next_at": tx.now,
        "created_at": tx.now,
    }
    tx.conn.execute(_INSERT, values)
    tx.signal(TOPIC)


def _message(delivery_id: str, study: Study, now: datetime) -> dict[str, Any]:
    is_paused = study.state is StudyState.PAUSED
    best = None
    if study.best_trial_id is not None:
        best = {
            "trial_id": study.best_trial_id,
            "number": study.best_number,
            "value": study.best_value,
        }
    return {
        "event_id": delivery_id,
        "type": "study.paused" if is_paused else "study.ended",
        "study_id": study.id,
        "name": study.definition.name,
        "state": study.state.value,
        "stop_reason": study.stop_reason.value if study.stop_reason else None,
        "pause_reason": study.pause_reason.value if study.pause_reason and is_paused else None,
        "pause_detail": study.pause_detail if is_paused else None,
        "best": best,
        "trial_counts": {state.value: n for state, n in study.counts.items() if n},
        "occurred_at": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
    }


def due(conn: Connection, now: datetime, limit: int) -> list[Delivery]:
    """Webhooks whose time has come, the longest due first."""
    return [_delivery_of(row) for row in conn.execute(_DUE, {"b_now": now, "b_limit": limit})]


def next_due(conn: Connection) -> datetime | None:
    """When the next one is due; None when none is under way."""
    found: datetime | None = conn.execute(_NEXT).scalar_one()
    return found


def of_study(conn: Connection, study_id: str, limit: int) -> Sequence[Delivery]:
    """A study's webhooks, newest first."""
    rows = conn.execute(_OF_STUDY, {"b_study_id": study_id, "b_limit": limit})
    return [_delivery_of(row) for row in rows]


def claim(tx: Tx, seen: Delivery, until: datetime) -> bool:
    """Takes a webhook that is due, as it was seen; False when somebody else was faster.

    Args:
        until: when it is due again, should this process not come back to it.
    """
    values = {"b_id": seen.id, "b_next_at": seen.next_at, "b_until": until}
    return tx.conn.execute(_CLAIM, values).rowcount == 1


def end_attempt(
    tx: Tx,
    delivery_id: str,
    held_until: datetime,
    *,
    delivered_at: datetime | None = None,
    again: datetime | None = None,
    error: str | None = None,
) -> bool:
    """Notes what came of an attempt, unless somebody else has the webhook by now.

    Args:
        held_until: as it was claimed.
        delivered_at: when it was taken.
        again: when to try again; neither it nor `delivered_at`: it is given up.
        error: what went wrong, for people.
    """
    values = {
        "b_id": delivery_id,
        "b_next_at": held_until,
        "b_again": again,
        "b_delivered_at": delivered_at,
        "b_error": error,
    }
    return tx.conn.execute(_END, values).rowcount == 1


def _delivery_of(row: AnyRow) -> Delivery:
    return Delivery(
        id=row.id,
        study_id=row.study_id,
        url=row.url,
        body=row.body,
        attempts=row.attempts,
        next_at=row.next_at,
        delivered_at=row.delivered_at,
        last_error=row.last_error,
        created_at=row.created_at,
    )
