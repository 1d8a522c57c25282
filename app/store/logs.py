"""What the trials' processes have printed: chunks by attempt, the first of them and the last."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy import insert as insert_into

from ..domain.lease import Lease
from .tables import leases
from .tables import log_chunks as table
from .transaction import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of an attempt's output; `start` and `n_bytes` count bytes of UTF-8."""

    start: int
    n_bytes: int
    content: str

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.start + self.n_bytes


_OF_LEASE = (
    select(table.c.start, table.c.n_bytes, table.c.content)
    .where(
        table.c.lease_id == bindparam("b_lease_id"),
        table.c.start + table.c.n_bytes > bindparam("b_from"),
    )
    .order_by(table.c.start)
)
_LAST = (
    select(table.c.start, table.c.n_bytes, table.c.content)
    .where(table.c.lease_id == bindparam("b_lease_id"))
    .order_by(table.c.start.desc())
    .limit(1)
)
_AT = select(table.c.start, table.c.n_bytes, table.c.content).where(
    table.c.lease_id == bindparam("b_lease_id"), table.c.start == bindparam("b_start")
)
_NEWEST_LEASE = (
    select(leases.c.id)
    .where(
        leases.c.trial_id == bindparam("b_trial_id"),
        leases.c.id.in_(
            select(table.c.lease_id).where(table.c.trial_id == bindparam("b_trial_id"))
        ),
    )
    .order_by(leases.c.acquired_at.desc(), leases.c.id.desc())
    .limit(1)
)
_LOCK = select(leases.c.id).where(leases.c.id == bindparam("b_lease_id")).with_for_update()
_INSERT = insert_into(table)
_DROP_BETWEEN = delete(table).where(
    table.c.lease_id == bindparam("b_lease_id"),
    table.c.start >= bindparam("b_first"),
    table.c.start + table.c.n_bytes <= bindparam("b_end"),
)


def lock(tx: Tx, lease_id: str) -> None:
    """Has the pieces of one attempt come one after the other."""
    tx.conn.execute(_LOCK, {"b_lease_id": lease_id})


def of_lease(conn: Connection, lease_id: str, start: int = 0) -> list[Chunk]:
    """The chunks of an attempt that are kept, in order: those beyond the byte `start`."""
    asked = {"b_lease_id": lease_id, "b_from": start}
    return [Chunk(**row._mapping) for row in conn.execute(_OF_LEASE, asked)]


def last(conn: Connection, lease_id: str) -> Chunk | None:
    """The last chunk of an attempt."""
    row = conn.execute(_LAST, {"b_lease_id": lease_id}).one_or_none()
    return None if row is None else Chunk(**row._mapping)


def at(conn: Connection, lease_id: str, start: int) -> Chunk | None:
    """The chunk that begins at a byte."""
    row = conn.execute(_AT, {"b_lease_id": lease_id, "b_start": start}).one_or_none()
    return None if row is None else Chunk(**row._mapping)


def newest_lease(conn: Connection, trial_id: str) -> str | None:
    """The newest attempt at a trial that has printed anything."""
    found: str | None = conn.execute(_NEWEST_LEASE, {"b_trial_id": trial_id}).scalar_one_or_none()
    return found


def insert(tx: Tx, lease: Lease, chunk: Chunk) -> None:
    """Adds a chunk."""
    values = {
        "trial_id": lease.trial_id,
        "lease_id": lease.id,
        "start": chunk.start,
        "n_bytes": chunk.n_bytes,
        "content": chunk.content,
        "created_at": tx.now,
    }
    tx.conn.execute(_INSERT, values)


def drop_between(tx: Tx, lease_id: str, first: int, end: int) -> None:
    """Removes the chunks that begin at `first` or later and end at `end` or before."""
    tx.conn.execute(_DROP_BETWEEN, {"b_lease_id": lease_id, "b_first": first, "b_end": end})
