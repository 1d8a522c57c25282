"""Workers: one row a name; the same name that comes back keeps its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Update, and_, bindparam, case, func, or_, select, tuple_, update
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects import postgresql, sqlite

from ..domain.ids import new_id
from ..domain.worker import Device, ObjectiveOffer, Worker
from ..errors import NotFound
from .page import Page, bounded, cut, decode
from .rows import AnyRow
from .tables import workers
from .transaction import Tx
from .types import Instant, from_micros, to_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A worker that has registered. `restarted`: its process is a new one; old leases are lost."""

    worker: Worker
    restarted: bool


_ALL = select(workers)
_BY_ID = _ALL.where(workers.c.id == bindparam("b_id"))
_BY_NAME = _ALL.where(workers.c.name == bindparam("b_name"))
_LOCK_BY_NAME = _BY_NAME.with_for_update()
_ONE = update(workers).where(workers.c.id == bindparam("b_id"))
_SEEN = _ONE.values(last_seen_at=bindparam("b_now")).returning(workers.c.draining)
_FREE: Update = _ONE.values(
    last_seen_at=bindparam("b_now"),
    free_memory=bindparam("b_free"),
    free_memory_at=bindparam("b_now"),
)
_IS_WELL: dict[str, Any] = {"n_infrastructure_failures": 0, "failing_since": None}
_DRAINING: Update = _ONE.values(draining=bindparam("b_draining"), drain_reason=None, **_IS_WELL)
_IS_ONE_TOO_MANY = and_(
    workers.c.n_infrastructure_failures + 1 >= bindparam("b_most"),
    # One mishap takes all that run on a machine, or on a node of a cluster: that is one, not many.
    or_(
        workers.c.failing_since <= bindparam("b_acquired"),
        workers.c.n_infrastructure_failures + 1 > workers.c.slots,
    ),
    ~workers.c.draining,
)
_FAILED: Update = _ONE.values(
    n_infrastructure_failures=workers.c.n_infrastructure_failures + 1,
    failing_since=func.coalesce(workers.c.failing_since, bindparam("b_now", type_=Instant)),
    draining=or_(workers.c.draining, _IS_ONE_TOO_MANY),
    drain_reason=case((_IS_ONE_TOO_MANY, bindparam("b_reason")), else_=workers.c.drain_reason),
)
_SERVED_WELL: Update = _ONE.where(workers.c.n_infrastructure_failures > 0).values(_IS_WELL)
# An INSERT tells how many rows it made only when asked to.
_INSERTS = {
    name: insert_into(workers).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    for name, insert_into in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}


def register(
    tx: Tx,
    *,
    name: str,
    boot_id: str,
    labels: Mapping[str, str],
    devices: Sequence[Device],
    objectives: Sequence[ObjectiveOffer],
    slots: int,
) -> Registered:
    """Registers a worker under its name, or renews what is known of it.

    A process that starts anew under the name (another `boot_id`) is no longer draining.
    """
    fresh = {
        "boot_id": boot_id,
        "labels": dict(labels),
        "devices": [asdict(device) for device in devices],
        "objectives": [asdict(offer) for offer in objectives],
        "slots": slots,
        "last_seen_at": tx.now,
        "free_memory": None,
        "free_memory_at": None,
    }
    new = {
        "id": new_id("wk", now_ms=to_micros(tx.now) // 1000),
        "name": name,
        "draining": False,
        "registered_at": tx.now,
        "n_infrastructure_failures": 0,
    }
    if tx.conn.execute(_INSERTS[tx.dialect], {**fresh, **new}).rowcount == 1:
        known, restarted = None, False
    else:
        known = tx.conn.execute(_LOCK_BY_NAME, {"b_name": name}).one()
        restarted = known.boot_id != boot_id
        again: dict[str, Any] = dict(fresh)
        if restarted:
            again |= {"draining": False, "drain_reason": None, **_IS_WELL}
        tx.conn.execute(update(workers).where(workers.c.id == known.id).values(again))
    row = tx.conn.execute(_BY_NAME, {"b_name": name}).one()
    return Registered(worker=_worker(row), restarted=restarted)


def get(conn: Connection, worker_id: str) -> Worker:
    """A worker by its id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(_BY_ID, {"b_id": worker_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no worker {worker_id}")
    return _worker(row)


def find(conn: Connection, worker_id: str) -> Worker | None:
    """A worker by its id, None when it is gone."""
    row = conn.execute(_BY_ID, {"b_id": worker_id}).one_or_none()
    return None if row is None else _worker(row)


def page(conn: Connection, size: int, token: str | None = None) -> Page[Worker]:
    """All workers, the one that registered first comes first.

    Raises:
        InvalidInput: `token` does not belong here.
    """
    size, named = bounded(size), ["workers"]
    statement = _ALL.order_by(workers.c.registered_at, workers.c.id).limit(size + 1)
    if token is not None:
        micros, last_id = decode(token, named, (int, str))
        key = tuple_(workers.c.registered_at, workers.c.id)
        statement = statement.where(key > (from_micros(micros), last_id))
    rows = conn.execute(statement).all()
    kept, following = cut(rows, size, named, lambda row: (to_micros(row.registered_at), row.id))
    return Page(items=tuple(_worker(row) for row in kept), next_page_token=following)


def all_of(conn: Connection) -> list[Worker]:
    """Every worker, by name."""
    return [_worker(row) for row in conn.execute(_ALL.order_by(workers.c.name))]


def offers(conn: Connection) -> list[ObjectiveOffer]:
    """What all workers offer; of several offers of a name the latest registered comes last."""
    found = sorted(all_of(conn), key=lambda worker: worker.last_seen_at)
    return [offer for worker in found for offer in worker.objectives]


def seen(tx: Tx, worker_id: str) -> bool:
    """Notes a sign of life; returns whether the worker drains."""
    found = tx.conn.execute(_SEEN, {"b_id": worker_id, "b_now": tx.now})
    return bool(found.scalar_one_or_none())


def asks(tx: Tx, worker_id: str, free_memory: Mapping[int, int]) -> None:
    """Notes that a worker asks for trials, and what is free on its devices.

    Args:
        free_memory: bytes by the device's index.
    """
    free = {str(index): size for index, size in free_memory.items()}
    tx.conn.execute(_FREE, {"b_id": worker_id, "b_now": tx.now, "b_free": free})


def set_draining(tx: Tx, worker_id: str, draining: bool) -> Worker:
    """Says whether a worker still takes new trials; its failures are counted anew.

    Raises:
        NotFound: there is none.
    """
    tx.conn.execute(_DRAINING, {"b_id": worker_id, "b_draining": draining})
    return get(tx.conn, worker_id)


def failed_on_infrastructure(
    tx: Tx, worker_id: str, *, acquired_at: datetime, most: int, reason: str
) -> None:
    """Counts a trial that a worker lost to its infrastructure, and drains it at `most` in a row, if
    this one began after the first of them had failed, or they are more than it has slots.

    Args:
        acquired_at: when the worker got the trial.
        reason: why it is drained then, in a sentence.
    """
    said = {"b_most": most, "b_reason": reason, "b_acquired": acquired_at, "b_now": tx.now}
    tx.update(_FAILED, {"b_id": worker_id, **said})


def served_well(tx: Tx, worker_id: str) -> None:
    """Notes that a trial of a worker ended in another way: its failures are counted anew."""
    tx.update(_SERVED_WELL, {"b_id": worker_id})


def delete(tx: Tx, worker_id: str) -> None:
    """Forgets a worker.

    Raises:
        NotFound: there is none.
    """
    gone = tx.conn.execute(delete_from(workers).where(workers.c.id == worker_id))
    if gone.rowcount != 1:
        raise NotFound(f"there is no worker {worker_id}")


def _worker(row: AnyRow) -> Worker:
    return Worker(
        id=row.id,
        name=row.name,
        boot_id=row.boot_id,
        labels=row.labels,
        devices=tuple(Device(**device) for device in row.devices),
        objectives=tuple(_offer(offer) for offer in row.objectives),
        slots=row.slots,
        draining=row.draining,
        drain_reason=row.drain_reason,
        n_infrastructure_failures=row.n_infrastructure_failures,
        registered_at=row.registered_at,
        last_seen_at=row.last_seen_at,
        free_memory={int(index): size for index, size in (row.free_memory or {}).items()},
        free_memory_at=row.free_memory_at,
    )


def _offer(raw: Mapping[str, Any]) -> ObjectiveOffer:
    return ObjectiveOffer(**{**raw, "data": tuple(raw["data"])})
