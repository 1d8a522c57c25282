"""Which replica does what only one should do at a time, by a row with a lease on it.

A duty whose holder has died is free once its row has run out by the database's clock. It saves work
and decides nothing: whatever a duty does is guarded by itself, and two that do it do no harm.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from .tables import leaders
from .transaction import Tx, now_of


def _take(insert: Any) -> Any:
    statement = insert(leaders)
    return statement.on_conflict_do_update(
        index_elements=["duty"],
        set_={name: statement.excluded[name] for name in ("replica_id", "expires_at")},
        where=or_(
            leaders.c.replica_id == statement.excluded.replica_id,
            leaders.c.expires_at <= bindparam("b_now"),
        ),
    ).returning(leaders.c.duty)


_TAKE = {"sqlite": _take(sqlite.insert), "postgresql": _take(postgresql.insert)}
_MINE = leaders.c.replica_id == bindparam("b_replica_id")
_RENEW = update(leaders).where(_MINE).values(expires_at=bindparam("b_expires_at"))
_RESIGN = delete(leaders).where(_MINE, leaders.c.duty == bindparam("b_duty"))
_RESIGN_ALL = delete(leaders).where(_MINE)
_HOLDER = select(leaders.c.replica_id).where(
    leaders.c.duty == bindparam("b_duty"), leaders.c.expires_at > bindparam("b_now")
)
_PURGE = delete(leaders).where(leaders.c.expires_at <= bindparam("b_before"))


def take(tx: Tx, duty: str, replica_id: str, lease_s: float) -> bool:
    """Takes a duty that nobody holds, or renews it; whether it is this replica's now."""
    values = {
        "duty": duty,
        "replica_id": replica_id,
        "expires_at": tx.now + timedelta(seconds=lease_s),
        "b_now": tx.now,
    }
    return tx.conn.execute(_TAKE[tx.dialect], values).one_or_none() is not None


def renew_all(tx: Tx, replica_id: str, lease_s: float) -> None:
    """Renews every duty that a replica still has, by one statement."""
    expires_at = tx.now + timedelta(seconds=lease_s)
    tx.conn.execute(_RENEW, {"b_replica_id": replica_id, "b_expires_at": expires_at})


def resign(tx: Tx, duty: str, replica_id: str) -> None:
    """Gives a duty up, if it is this replica's."""
    tx.conn.execute(_RESIGN, {"b_replica_id": replica_id, "b_duty": duty})


def resign_all(tx: Tx, replica_id: str) -> None:
    """Gives up all duties of a replica that ends."""
    tx.conn.execute(_RESIGN_ALL, {"b_replica_id": replica_id})


def clear(tx: Tx) -> None:
    """Frees every duty, where no other process can have one."""
    tx.conn.execute(delete(leaders))


def holder(conn: Connection, duty: str) -> str | None:
    """The replica that holds a duty now, or None."""
    values = {"b_duty": duty, "b_now": now_of(conn)}
    return conn.execute(_HOLDER, values).scalar_one_or_none()


def purge(tx: Tx, older_than_s: float) -> int:
    """Removes the rows of duties that ran out longer ago; returns how many."""
    before = tx.now - timedelta(seconds=older_than_s)
    return tx.conn.execute(_PURGE, {"b_before": before}).rowcount
