"""The running processes of the service: whether one has watched for long decides when to sweep."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from .tables import replicas
from .transaction import Tx

_UPSERTS = {
    name: insert(replicas).on_conflict_do_update(
        index_elements=["id"], set_={"seen_at": bindparam("b_now")}
    )
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_WATCHED = select(
    exists().where(
        replicas.c.id != bindparam("b_id"),
        replicas.c.seen_at > bindparam("b_since"),
        replicas.c.started_at <= bindparam("b_before"),
    )
)


def beat(tx: Tx, replica_id: str) -> None:
    """Says that a process is alive."""
    values = {"id": replica_id, "started_at": tx.now, "seen_at": tx.now, "b_now": tx.now}
    tx.conn.execute(_UPSERTS[tx.dialect], values)


def watched(conn: Connection, replica_id: str, since: datetime, for_s: float) -> bool:
    """Whether another process was alive after `since` and had been up for `for_s` seconds then."""
    before = since - timedelta(seconds=for_s)
    values = {"b_id": replica_id, "b_since": since, "b_before": before}
    return bool(conn.execute(_WATCHED, values).scalar_one())


def remove(tx: Tx, replica_id: str) -> None:
    """Forgets a process that ends."""
    tx.conn.execute(delete(replicas).where(replicas.c.id == replica_id))


def purge(tx: Tx, older_than_s: float) -> int:
    """Forgets processes that were last seen longer ago; returns how many."""
    before = tx.now - timedelta(seconds=older_than_s)
    return tx.conn.execute(delete(replicas).where(replicas.c.seen_at <= before)).rowcount
