"""Takes expired leases back, and ends studies whose limits only time decides.

Any process may do it: each step is a guarded transaction of its own, so two sweeps at once do no
harm. The leader does it for all; the others only look after what it left lying.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection

from ..domain.lease import OVERTIME_GRACE_S, Lease
from ..domain.study import OPEN_STUDY_STATES, Study
from ..domain.trial import Trial, TrialState
from ..errors import AppError
from ..metrics import Metrics
from ..store import leases as lease_rows
from ..store import queue
from ..store import replicas as replica_rows
from ..store import studies as study_rows
from ..store.engine import Store
from ..store.transaction import Tx, now_of
from .failures import fail_without_room
from .fence import expire, overrun
from .leadership import Leadership
from .placement import WORKER_ALIVE
from .points import PointSource
from .settle import settle, wake
from .threads import Threads

log = logging.getLogger(__name__)

_BATCH = 200
_LIMITS_EVERY_S = 1.0
_ROOM_EVERY_S = 10.0

LEFT_LYING_S = 1.0
"""A replica that does not lead takes leases back that expired longer ago than this: the leader is
dead, and until it is replaced no trial waits for that.
"""


class Sweeper:
    """Sweeps until it is stopped."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        points: PointSource,
        leadership: Leadership,
        *,
        lease_ttl_s: float,
        every_s: float,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._threads = threads
        self._points = points
        self._leadership = leadership
        self._lease_ttl_s = lease_ttl_s
        self._every_s = every_s
        self._metrics = metrics
        self._stop = asyncio.Event()
        self._was_watched = False

    async def run(self) -> None:
        """Sweeps until `stop`; an error of the database is logged and tried again."""
        not_before: datetime | None = None
        limits_at = room_at = 0.0
        while not self._stop.is_set():
            now, is_leader = asyncio.get_running_loop().time(), self._leadership.is_leader
            try:
                if not_before is None:
                    not_before = await self._threads.run(self.begin)
                left_s = 0.0 if is_leader else LEFT_LYING_S
                await self._threads.run(self.sweep_leases, not_before, left_s)
                if is_leader and now >= limits_at:
                    limits_at = now + _LIMITS_EVERY_S
                    await self._threads.run(self.apply_limits)
                    await self._threads.run(self.sweep_overtime, not_before)
                if is_leader and now >= room_at:
                    room_at = now + _ROOM_EVERY_S
                    await self._threads.run(self.fail_those_without_room, not_before)
            except AppError as error:
                log.warning("sweep_failed", extra={"reason": error.detail})
            except Exception:  # what trips over one lease must not leave all others lying
                log.exception("sweep_failed")
            await self._pause()

    def stop(self) -> None:
        """Ends `run` soon."""
        self._stop.set()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), timeout=self._every_s)
        except TimeoutError:
            return

    def begin(self) -> datetime:
        """The instant before which this process takes no lease back by itself: one lease time after
        its start. What expires until then may have done so in an outage of the service.
        """
        return self._store.now() + timedelta(seconds=self._lease_ttl_s)

    def sweep_leases(self, not_before: datetime, left_lying_s: float = 0.0) -> int:
        """Takes back the leases that have expired; returns how many.

        Args:
            not_before: what `begin` said; nothing is swept before, unless a replica is met that
                was up all along.
            left_lying_s: leave those alone that expired less long ago than this.
        """

        def read(conn: Connection) -> list[Lease]:
            now = now_of(conn)
            if now < not_before and not self._is_watched(conn, not_before):
                return []
            return lease_rows.expired(conn, now - timedelta(seconds=left_lying_s), _BATCH)

        expired = self._store.read(read)
        for lease in expired:
            if self._store.write(partial(expire, lease_id=lease.id)) is not None:
                self._metrics.expired_leases.inc()
                log.info("lease_expired", extra=_ids(lease))
        return len(expired)

    def _is_watched(self, conn: Connection, not_before: datetime) -> bool:
        """Whether an older replica has been alive since this one started: once seen, for good."""
        if not self._was_watched:
            started_at = not_before - timedelta(seconds=self._lease_ttl_s)
            self._was_watched = replica_rows.watched(
                conn, self._leadership.replica_id, started_at, self._lease_ttl_s
            )
        return self._was_watched

    def apply_limits(self) -> None:
        """Ends studies whose time is over."""
        for study in self._store.read(study_rows.open_studies):
            if _has_time_limit(study):
                self._settle(study.id)

    def sweep_overtime(self, not_before: datetime) -> int:
        """Fails the attempts that are past their time limit and the grace; returns how many.

        Args:
            not_before: database instant before which nothing is swept.
        """
        now = self._store.now()
        if now < not_before:
            return 0
        n_failed = 0
        for study in self._store.read(study_rows.open_studies):
            for lease in self._over_time(study, now):
                if self._store.write(partial(overrun, lease_id=lease.id)) is not None:
                    log.info("trial_timed_out", extra={"trial_id": lease.trial_id})
                    n_failed += 1
                    self._follow_up(study.id)
        return n_failed

    def _over_time(self, study: Study, now: datetime) -> Sequence[Lease]:
        limit_s = study.definition.limits.max_trial_duration_s
        if limit_s is None or not study.counts.get(TrialState.RUNNING, 0):
            return ()
        since = now - timedelta(seconds=limit_s + OVERTIME_GRACE_S)
        return self._store.read(lambda conn: lease_rows.held_since(conn, study.id, since, _BATCH))

    def fail_those_without_room(self, not_before: datetime) -> int:
        """Fails the pending trials that need more memory than any live worker has; returns how
        many.

        Args:
            not_before: database instant before which nothing is swept; the workers then have the
                time to be heard of that they always have.
        """
        if self._store.now() < not_before + WORKER_ALIVE:
            return 0
        n_failed = 0
        for study in self._store.read(study_rows.open_studies):
            if study.definition.objective is None or not study.counts.get(TrialState.PENDING, 0):
                continue
            for trial in self._store.read(partial(_in_need, study_id=study.id)):
                if self._store.write(partial(_fail_without_room, trial=trial)):
                    log.info("trial_without_room", extra={"trial_id": trial.id})
                    n_failed += 1
                    self._follow_up(study.id)
        return n_failed

    def _follow_up(self, study_id: str) -> None:
        """The next points are other ones once a trial has ended."""
        study = self._store.read(lambda conn: study_rows.get(conn, study_id, deleted=True))
        if study.state in OPEN_STUDY_STATES:
            self._points.kick(study)
        else:
            self._points.forget(study_id)

    def _settle(self, study_id: str) -> None:
        def run(tx: Tx) -> Study:
            study = study_rows.lock(tx, study_id)
            before = study.study.state
            settle(study)
            if study.study.state is not before:
                wake(study)
            return study.study

        study = self._store.write(run)
        if study.state not in OPEN_STUDY_STATES:
            self._points.forget(study_id)


def _in_need(conn: Connection, study_id: str) -> list[Trial]:
    return queue.in_need_of_memory(conn, study_id, _BATCH)


def _fail_without_room(tx: Tx, trial: Trial) -> bool:
    study = study_rows.lock(tx, trial.study_id, deleted=True)
    is_failed = fail_without_room(tx, study, trial.id)
    if is_failed:
        settle(study)
        wake(study)
    return is_failed


def _ids(lease: Lease) -> dict[str, str | None]:
    return {
        "lease_id": lease.id,
        "trial_id": lease.trial_id,
        "study_id": lease.study_id,
        "worker_id": lease.worker_id,
    }


def _has_time_limit(study: Study) -> bool:
    limits = study.definition.limits
    stands_still = limits.no_progress is not None and limits.no_progress.seconds is not None
    return limits.max_duration_s is not None or stands_still or limits.min_gain_per_h is not None
