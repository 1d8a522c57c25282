"""Removes what is kept no longer, in small transactions, on the replica that leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from ..errors import AppError
from ..settings import Settings
from ..store import idempotency, prepared, retention
from ..store import leaders as leader_rows
from ..store import replicas as replica_rows
from ..store.engine import Store
from ..store.transaction import Tx
from .collect import Collector
from .leadership import Leadership
from .threads import Threads

log = logging.getLogger(__name__)

_DEAD_FOR_S = 86_400.0
"""How long rows of processes that have died are kept: a look into the database may want them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long things are kept, in seconds; `measurements_s` None: as long as their study."""

    events_s: float
    measurement_events_s: float
    measurements_s: float | None
    audit_s: float
    deliveries_s: float
    logs_s: float

    @classmethod
    def of(cls, settings: Settings) -> Keeping:
        """What the settings say."""
        return cls(
            events_s=settings.keep_events_s,
            measurement_events_s=settings.keep_measurement_events_s,
            measurements_s=settings.keep_measurements_s,
            audit_s=settings.keep_audit_s,
            deliveries_s=settings.keep_deliveries_s,
            logs_s=settings.keep_logs_s,
        )


class Purger:
    """Purges until it is stopped."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        leadership: Leadership,
        keeping: Keeping,
        collector: Collector,
        *,
        every_s: float,
    ) -> None:
        self._store = store
        self._threads = threads
        self._leadership = leadership
        self._keeping = keeping
        self._collector = collector
        self._every_s = every_s
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Purges every so often while this replica leads, until `stop`."""
        while not self._stop.is_set():
            await self.round()
            try:
                await asyncio.wait_for(self._stop.wait(), timeout=self._every_s)
            except TimeoutError:
                continue

    def stop(self) -> None:
        """Ends `run` soon."""
        self._stop.set()

    async def round(self) -> None:
        """Purges all there is to purge, if this replica leads, unless it is stopped meanwhile."""
        steps = self.steps()
        try:
            while self._leadership.is_leader and not self._stop.is_set():
                if await self._threads.run(next, steps, None) is None:
                    return
        except AppError as error:
            log.warning("purge_failed", extra={"reason": error.detail})
        except Exception:  # a defect in one step must not end all further rounds
            log.exception("purge_failed")

    def steps(self) -> Iterator[str]:
        """Runs one transaction after another, each when the next item is asked for.

        Yields:
            What was purged, as often as it took a transaction.
        """
        now = self._store.now()
        yield from self._repeated("keys", lambda tx: idempotency.purge(tx, now) > 0)
        yield from self._collector.steps()  # a study's row outlives its checkpoints
        yield from self._studies()
        yield from self._events(now)
        yield from self._measurements(now)
        yield from self._repeated("processes", _dead_processes)
        yield from self._repeated("prepared", lambda tx: prepared.purge(tx) > 0)
        for what, purge, kept_s in (
            ("audit", retention.purge_audit, self._keeping.audit_s),
            ("logs", retention.purge_logs, self._keeping.logs_s),
            ("deliveries", retention.purge_deliveries, self._keeping.deliveries_s),
        ):
            yield from self._repeated(what, partial(_older, purge, _ago(now, kept_s)))

    def _repeated(self, what: str, step: Callable[[Tx], bool]) -> Iterator[str]:
        """Runs a step until it says that nothing is left."""
        is_more = True
        while is_more:
            is_more = self._store.write(step)
            yield what

    def _studies(self) -> Iterator[str]:
        for study_id in self._store.read(retention.due_studies):
            yield from self._repeated("study", partial(retention.purge_study, study_id=study_id))
            log.info("study_purged", extra={"study_id": study_id})

    def _events(self, now: datetime) -> Iterator[str]:
        reports_before = _ago(now, self._keeping.measurement_events_s)
        ended_before = _ago(now, self._keeping.events_s)
        found = self._store.read(
            lambda conn: retention.with_old_events(
                conn, reports_before=reports_before, ended_before=ended_before
            )
        )
        for study_id in found:
            step = partial(
                retention.purge_events,
                study_id=study_id,
                reports_before=reports_before,
                ended_before=ended_before,
            )
            yield from self._repeated("events", step)

    def _measurements(self, now: datetime) -> Iterator[str]:
        kept_s = self._keeping.measurements_s
        if kept_s is None:
            return
        before = _ago(now, kept_s)
        for study_id in self._store.read(
            lambda conn: retention.with_old_measurements(conn, ended_before=before)
        ):
            after: int | None = 0
            while after is not None:
                after = self._store.write(
                    partial(retention.purge_measurements, study_id=study_id, after=after)
                )
                yield "measurements"


def _ago(now: datetime, seconds: float) -> datetime:
    return now - timedelta(seconds=seconds)


def _older(purge: Callable[[Tx, datetime], int], before: datetime, tx: Tx) -> bool:
    return purge(tx, before) > 0


def _dead_processes(tx: Tx) -> bool:
    leader_rows.purge(tx, _DEAD_FOR_S)
    replica_rows.purge(tx, _DEAD_FOR_S)
    return False
