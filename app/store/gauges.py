"""What the whole database holds at one moment, in a few short statements: for the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection, bindparam, case, func, literal_column, select, text

from ..domain.study import OPEN_STUDY_STATES
from .tables import deliveries, leases, studies, workers
from .transaction import now_of

LARGEST_STUDIES = 20
"""Open studies that are shown one by one: those with the most pending and running trials."""

SEEN_S = 60.0
"""A worker that was heard of within so many seconds counts as seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """Trials of one open study that wait and that run."""

    study_id: str
    pending: int
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """The counts.

    Attributes:
        studies: by state, deleted ones left out.
        depths: of the largest open studies.
        pending, running: trials of all open studies.
        leases_active: leases that have neither ended nor run out.
        leases_overdue: leases that have run out and were not taken back yet.
        workers_registered, workers_seen, workers_draining: workers in all, heard of within
            `SEEN_S`, and draining.
        webhooks_pending: webhooks that are still to be delivered.
        size_bytes: of the database.
    """

    studies: Mapping[str, int]
    depths: tuple[Depth, ...]
    pending: int
    running: int
    leases_active: int
    leases_overdue: int
    workers_registered: int
    workers_seen: int
    workers_draining: int
    webhooks_pending: int
    size_bytes: int


_LIVE = studies.c.deleted_at.is_(None)
_OPEN = (_LIVE, studies.c.state.in_(sorted(OPEN_STUDY_STATES)))
_BY_STATE = select(studies.c.state, func.count()).where(_LIVE).group_by(studies.c.state)
_TOTALS = select(
    func.coalesce(func.sum(studies.c.n_pending), 0), func.coalesce(func.sum(studies.c.n_running), 0)
).where(*_OPEN)
_DEPTHS = (
    select(studies.c.id, studies.c.n_pending, studies.c.n_running)
    .where(*_OPEN)
    .order_by((studies.c.n_pending + studies.c.n_running).desc(), studies.c.id)
    .limit(LARGEST_STUDIES)
)
_IS_OVERDUE = leases.c.expires_at <= bindparam("b_now")
_LEASES = select(func.count(case((~_IS_OVERDUE, 1))), func.count(case((_IS_OVERDUE, 1)))).where(
    leases.c.ended_at.is_(None)
)
_WORKERS = select(
    func.count(),
    func.count(case((workers.c.last_seen_at >= bindparam("b_since"), 1))),
    func.count(case((workers.c.draining, 1))),
)
_WEBHOOKS = select(func.count()).where(deliveries.c.next_at.is_not(None))
_PAGES = text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
_DATABASE_SIZE = select(func.pg_database_size(literal_column("current_database()")))


def read(conn: Connection) -> Gauges:
    """Reads all counts on one snapshot."""
    now = now_of(conn)
    pending, running = conn.execute(_TOTALS).one()
    active, overdue = conn.execute(_LEASES, {"b_now": now}).one()
    since = now - timedelta(seconds=SEEN_S)
    registered, seen, draining = conn.execute(_WORKERS, {"b_since": since}).one()
    depths = [
        Depth(study_id=study_id, pending=waiting, running=runs)
        for study_id, waiting, runs in conn.execute(_DEPTHS)
    ]
    return Gauges(
        studies={state: count for state, count in conn.execute(_BY_STATE)},
        depths=tuple(depths),
        pending=pending,
        running=running,
        leases_active=active,
        leases_overdue=overdue,
        workers_registered=registered,
        workers_seen=seen,
        workers_draining=draining,
        webhooks_pending=conn.execute(_WEBHOOKS).scalar_one(),
        size_bytes=_size_bytes(conn),
    )


def _size_bytes(conn: Connection) -> int:
    if conn.dialect.name == "postgresql":
        return int(conn.execute(_DATABASE_SIZE).scalar_one())
    log = Path(f"{conn.engine.url.database}-wal")
    size = int(conn.execute(_PAGES).scalar_one())
    return size + (log.stat().st_size if log.exists() else 0)
