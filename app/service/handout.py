"""Hands trials out: those that wait first, then new points, with a lease for each. Shared by
claims and `:suggest`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from ..domain.lease import Lease
from ..domain.space import point_key
from ..domain.study import Study
from ..domain.trial import Trial, TrialSource, TrialState
from ..errors import Unavailable
from ..logs import bind
from ..metrics import Metrics
from ..store import checkpoints as checkpoint_rows
from ..store import leases as lease_rows
from ..store import queue, trial_sets
from ..store import studies as study_rows
from ..store import trials as trial_rows
from ..store.engine import Store
from ..store.studies import LockedStudy
from ..store.transaction import Tx
from ..suggest.base import Suggestion
from .points import PointSource, parallel_room, room, uses_model
from .settle import settle, wake
from .sharing import Batch
from .threads import Threads
from .views import Budget, Grant

LONGEST_TURN_S = 60.0
"""How long an ask of a suggester without a model waits for its turn."""

MAX_CLASHES = 20
"""How often a point that somebody else made meanwhile is asked for again before the call gives up
for now.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who gets the lease. Exactly one of `worker_id` and `token_id`/`client_id` names a worker or a
    client.

    Attributes:
        duration_s: how long the lease and each renewal last.
        memory_bytes: of the device that the trials would run on, where it is known.
    """

    worker_id: str | None = None
    client_id: str | None = None
    token_id: str | None = None
    duration_s: float
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long an ask waits for a point: `suggest_wait_s`, or `alone_s` while no other trial of
    the study runs.
    """

    suggest_wait_s: float
    alone_s: float

    def of(self, study: Study) -> float:
        """Seconds to wait for a point of the model, as the study stands."""
        is_alone = study.counts.get(TrialState.RUNNING, 0) == 0
        return self.alone_s if is_alone else self.suggest_wait_s


@dataclass(slots=True)
class _Taken:
    """What one transaction brought."""

    grants: list[Grant] = field(default_factory=list)
    study: Study | None = None
    clashed: bool = False


class Handout:
    """Hands out trials of one study at a time."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        points: PointSource,
        waits: Waits,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._threads = threads
        self._points = points
        self._waits = waits

    async def take(self, study_id: str, holder: Holder, want: int) -> list[Grant]:
        """Up to `want` trials of a study: pending ones, then new points; empty when none may start
        now.

        Raises:
            NotFound: there is no such study.
        """
        grants = await self._take(study_id, holder, want)
        for each in grants:
            self._metrics.granted(to_worker=holder.worker_id is not None)
            bind(study_id=study_id, trial_id=each.trial.id, lease_id=each.lease.id)
        return grants

    async def _take(self, study_id: str, holder: Holder, want: int) -> list[Grant]:
        taken = await self._threads.run(self._take_pending, study_id, holder, want)
        grants = list(taken.grants)
        arrived = taken.study
        if arrived is None or len(grants) >= want or room(arrived) == 0:
            return grants
        # A suggester without a model has no fallback: a grid must stay a grid.
        wait_s = self._waits.of(arrived) if uses_model(arrived) else LONGEST_TURN_S
        deadline = asyncio.get_running_loop().time() + wait_s
        async with self._points.turn(study_id, wait_s) as is_ours:
            more = await self._new_trials(
                arrived, holder, want - len(grants), deadline=deadline, may_wait=is_ours
            )
        return grants + more

    async def _new_trials(
        self, arrived: Study, holder: Holder, want: int, *, deadline: float, may_wait: bool
    ) -> list[Grant]:
        grants: list[Grant] = []
        study = arrived
        for _ in range(MAX_CLASHES):
            count = min(want - len(grants), room(study))
            if count <= 0:
                break
            begun = asyncio.get_running_loop().time()
            batch = await self._batch(study, count, arrived.results_seq, deadline, may_wait)
            waited_s = asyncio.get_running_loop().time() - begun
            self._metrics.suggested(study.definition.suggester.name, waited_s)
            taken = await self._threads.run(self._create, study.id, holder, batch)
            grants += taken.grants
            study = taken.study or study
            if not taken.clashed:
                break
        return grants

    async def _batch(
        self, study: Study, count: int, results_seq: int, deadline: float, may_wait: bool
    ) -> Batch:
        if may_wait:
            return await self._points.obtain(
                study.id, count, results_seq=results_seq, deadline=deadline
            )
        if not uses_model(study):
            raise Unavailable(
                "too many asks of this study are waiting",
                code="suggester-unavailable",
                retry_after_s=1,
            )
        reason = "the model was not ready in time: other asks were before this one"
        return await self._points.fallback(study.id, count, reason)

    def _take_pending(self, study_id: str, holder: Holder, want: int) -> _Taken:
        """Pending trials first. The study is only locked when it has one that may start."""
        study = self._store.read(lambda conn: study_rows.get(conn, study_id))
        if study.counts.get(TrialState.PENDING, 0) == 0 or parallel_room(study) == 0:
            return _Taken(study=study)
        if not self._store.read(lambda conn: _has_pending(conn, study_id, holder)):
            return _Taken(study=study)
        return self._store.write(lambda tx: self._pending_in(tx, study_id, holder, want))

    def _pending_in(self, tx: Tx, study_id: str, holder: Holder, want: int) -> _Taken:
        study = study_rows.lock(tx, study_id)
        taken = _Taken()
        while len(taken.grants) < want and parallel_room(study.study) > 0:
            trial = queue.next_pending(
                study, client_id=holder.client_id, memory_bytes=holder.memory_bytes
            )
            if trial is None:
                break
            taken.grants.append(start(study, trial, holder))
        taken.study = study.study
        if taken.grants:
            wake(study)
        return taken

    def _create(self, study_id: str, holder: Holder, batch: Batch) -> _Taken:
        taken = self._store.write(lambda tx: self._create_in(tx, study_id, holder, batch))
        if taken.study is not None and taken.study.exhausted:
            self._points.forget(study_id)
        return taken

    def _create_in(self, tx: Tx, study_id: str, holder: Holder, batch: Batch) -> _Taken:
        study = study_rows.lock(tx, study_id)
        taken = _Taken()
        made_since = _made_since(study, batch.index)
        for suggestion in batch.suggestions:
            if room(study.study) == 0:
                break
            if _clashes(suggestion, made_since):
                taken.clashed = True
                break
            taken.grants.append(start(study, insert_point(study, suggestion), holder))
        if batch.exhausted and not taken.clashed:
            _note_exhausted(study, batch)
        taken.study = study.study
        wake(study)
        return taken


def _has_pending(conn: Connection, study_id: str, holder: Holder) -> bool:
    return queue.has_pending(
        conn, study_id, client_id=holder.client_id, memory_bytes=holder.memory_bytes
    )


def _made_since(study: LockedStudy, index: int) -> frozenset[str]:
    """Keys of the points that were made after a batch was: they may be the same ones."""
    if study.study.next_number == index:
        return frozenset()
    made = trial_sets.numbered_from(study.tx.conn, study.study.id, index)
    return frozenset(point_key(trial.params) for trial in made)


def _clashes(suggestion: Suggestion, made_since: frozenset[str]) -> bool:
    """Whether a point repeats one that was made after it was; a replicate is meant to."""
    is_meant = suggestion.source is TrialSource.REPLICATE
    return not is_meant and point_key(suggestion.params) in made_since


def _note_exhausted(study: LockedStudy, batch: Batch) -> None:
    """The suggester has no further point, unless a result came meanwhile that may change its
    mind.
    """
    if study.study.results_seq == batch.results_seq and study.study.state.value == "active":
        study.set(exhausted=True)
        settle(study)


def insert_point(study: LockedStudy, suggestion: Suggestion) -> Trial:
    """A pending trial for a suggested point."""
    return trial_rows.insert(
        study,
        params=suggestion.params,
        source=suggestion.source,
        provenance=suggestion.provenance,
    )


def start(study: LockedStudy, trial: Trial, holder: Holder) -> Grant:
    """Gives a pending trial to a holder: a new lease, the trial running under it."""
    lease = lease_rows.insert(
        study,
        trial,
        worker_id=holder.worker_id,
        client_id=holder.client_id,
        token_id=holder.token_id,
        duration_s=holder.duration_s,
    )
    running = trial_rows.move(
        study,
        trial,
        TrialState.RUNNING,
        lease_id=lease.id,
        worker_id=holder.worker_id,
        client_id=holder.client_id,
        reserved_for=None,
        reserved_until=None,
        not_before=None,
    )
    return grant(study, replace(running, lease_expires_at=lease.expires_at), lease)


def grant(locked: LockedStudy, trial: Trial, lease: Lease) -> Grant:
    """What the holder of a lease is told."""
    study = locked.study
    checkpoint = checkpoint_rows.last_of(locked.tx.conn, trial)
    return Grant(
        lease=lease,
        trial=trial,
        objective=study.definition.objective,
        data_digest=study.data_digest,
        max_trial_duration_s=study.definition.limits.max_trial_duration_s,
        budget=Budget(from_step=checkpoint.step if checkpoint else 0),
        checkpoint=checkpoint,
        last_seq=lease.last_seq,
        last_step=lease.last_step,
    )
