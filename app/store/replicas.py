"""The running processes of the service: whether another is alive decides when to sweep leases."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, bindparam, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from .tables import replicas
from .transaction import Tx, now_of

_UPSERTS = {
    name: insert(replicas).on_conflict_do_update(
        index_elements=["id"], set_={"seen_at": bindparam("b_now")}
    )
    for name, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_OTHERS = select(
    exists().where(
        replicas.c.id != bindparam("b_id"),
        replicas.c.seen_at >= bindparam("b_since"),
    )
)


def beat(tx: Tx, replica_id: str) -> None:
    """Says that a process is alive."""
    values = {"id": replica_id, "started_at": tx.now, "seen_at": tx.now, "b_now": tx.now}
    tx.conn.execute(_UPSERTS[tx.dialect], values)


def others_alive(conn: Connection, replica_id: str, within_s: float) -> bool:
    """Whether another process has said so within the last `within_s` seconds."""
    since = now_of(conn) - timedelta(seconds=within_s)
    return bool(conn.execute(_OTHERS, {"b_id": replica_id, "b_since": since}).scalar_one())


def remove(tx: Tx, replica_id: str) -> None:
    """Forgets a process that ends."""
    tx.conn.execute(delete(replicas).where(replicas.c.id == replica_id))
