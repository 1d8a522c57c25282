"""Hands trials out: those that wait first, then new points, with a lease for each. Shared by
claims and `:suggest`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..domain.copies import with_fields
from ..domain.lease import Lease
from ..domain.space import point_key
from ..domain.study import Study
from ..domain.trial import Trial, TrialSource, TrialState
from ..logs import bind
from ..metrics import Metrics
from ..store import actor, queue, trial_sets
from ..store import checkpoints as checkpoint_rows
from ..store import leases as lease_rows
from ..store import studies as study_rows
from ..store import trials as trial_rows
from ..store.actor import Actor
from ..store.engine import Store
from ..store.studies import LockedStudy
from ..store.transaction import Tx
from ..suggest.base import Suggestion
from ..suggest.registry import effective_suggester
from . import stopping
from .asks import Ask, AskQueue, Holder, Taken
from .fence import after
from .grants import granted_step, reserve
from .points import PointSource, may_wait_its_turn, parallel_room, room, uses_model
from .sharing import Batch
from .threads import Threads
from .views import Budget, Grant
from .wake import EVENTS

MAX_CLASHES = 20
"""How often a point that somebody else made meanwhile is asked for again before the call gives up
for now.
"""


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
        self._asks = AskQueue(threads, self._serve)

    async def close(self) -> None:
        """Waits for the asks under way."""
        await self._asks.close()

    async def take(self, study: Study, holder: Holder, want: int) -> Taken:
        """Up to `want` trials of a study: pending ones, then new points; none when none may start
        now.

        Args:
            study: as it was read a moment ago.

        Raises:
            NotFound: there is no such study any more.
        """
        taken = await self._take(study, holder, want)
        for each in taken.grants:
            self._metrics.granted(to_worker=holder.worker_id is not None)
            bind(study_id=study.id, trial_id=each.trial.id, lease_id=each.lease.id)
        return taken

    async def _take(self, study: Study, holder: Holder, want: int) -> Taken:
        if not uses_model(study):
            return await self._asks.put(study.id, holder, want)
        taken = await self._pending(study, holder, want)
        arrived = taken.study
        if len(taken.grants) >= want or room(arrived) == 0:
            return taken
        wait_s = self._waits.of(arrived)
        deadline = asyncio.get_running_loop().time() + wait_s
        async with self._points.turn(study.id, wait_s) as is_ours:
            await self._add_new(taken, holder, want, deadline=deadline, may_wait=is_ours)
        return taken

    async def _add_new(
        self, taken: Taken, holder: Holder, want: int, *, deadline: float, may_wait: bool
    ) -> None:
        """New trials up to `want`, at points of the model or, where it is late, fallbacks."""
        study_id, results_seq = taken.study.id, taken.study.results_seq
        for _ in range(MAX_CLASHES):
            count = min(want - len(taken.grants), room(taken.study))
            if count <= 0:
                break
            begun = asyncio.get_running_loop().time()
            batch = await self._batch(study_id, count, results_seq, deadline, may_wait)
            waited_s = asyncio.get_running_loop().time() - begun
            self._metrics.suggested(effective_suggester(taken.study.definition), waited_s)
            n_taken = len(taken.grants)
            ask = Share(holder, want - n_taken, n_taken=n_taken)
            (more,), has_clashed = await self._threads.serve(self._write, study_id, [ask], batch)
            taken.grants += more.grants
            taken.study = more.study
            if not has_clashed:
                break

    async def _batch(
        self, study_id: str, count: int, results_seq: int, deadline: float, may_wait: bool
    ) -> Batch:
        if may_wait:
            return await self._points.obtain(
                study_id, count, results_seq=results_seq, deadline=deadline
            )
        reason = "the model was not ready in time: other asks were before this one"
        return await self._points.fallback(study_id, count, reason)

    async def _pending(self, study: Study, holder: Holder, want: int) -> Taken:
        """Pending trials. The study is only locked when it has one that may start."""
        if study.counts.get(TrialState.PENDING, 0) == 0 or parallel_room(study) == 0:
            return Taken(study)
        shares = [Share(holder, want)]
        if not await self._threads.serve(self._has_pending, study.id, shares):
            return Taken(study)
        (taken,), _ = await self._threads.serve(self._write, study.id, shares, Batch.none_of(study))
        return taken

    def _serve(self, study_id: str, asks: Sequence[Ask]) -> list[Taken]:
        """Serves asks of a study whose points need no model, in a thread."""
        shares = [Share(ask.holder, ask.want, ask.actor) for ask in asks]
        taken: list[Taken] = []
        for _ in range(MAX_CLASHES):
            study, batch = self._drawn(study_id, [share.want for share in shares])
            is_nothing_new = not batch.suggestions and not batch.exhausted
            if is_nothing_new and not (
                _may_start_pending(study) and self._has_pending(study_id, shares)
            ):
                return _added(taken, [Taken(study) for _ in shares])
            more, has_clashed = self._write(study_id, shares, batch)
            taken = _added(taken, more)
            for share, one in zip(shares, more, strict=True):
                share.want -= len(one.grants)
                share.n_taken += len(one.grants)
            if not has_clashed:
                break
        return taken

    def _drawn(self, study_id: str, wants: Sequence[int]) -> tuple[Study, Batch]:
        begun = time.monotonic()
        study, batch = self._points.inline(study_id, sum(wants))
        waited_s = time.monotonic() - begun
        for _ in filter(None, wants if batch.suggestions else ()):
            self._metrics.suggested(effective_suggester(study.definition), waited_s)
        return study, batch

    def _has_pending(self, study_id: str, shares: Sequence[Share]) -> bool:
        """Whether a pending trial is there for one of the shares: a look that takes no lock."""
        return self._store.read(
            lambda conn: any(
                queue.has_pending(
                    conn,
                    study_id,
                    client_id=share.holder.client_id,
                    memory_bytes=share.holder.memory_bytes,
                )
                for share in shares
            )
        )

    def _write(
        self, study_id: str, shares: Sequence[Share], batch: Batch
    ) -> tuple[list[Taken], bool]:
        """Starts trials for the shares, in one transaction; the last says whether a point of the
        batch was taken meanwhile, so that it is worth coming again.
        """

        def start_all(tx: Tx) -> tuple[list[Taken], bool]:
            study = study_rows.lock(tx, study_id)
            return _start_all(study, shares, self._renewed(study.study, shares, batch))

        result = self._store.write(start_all)
        if result[0][0].study.exhausted:
            self._points.forget(study_id)
        return result

    def _renewed(self, study: Study, shares: Sequence[Share], batch: Batch) -> Batch:
        """The batch, or one of the study as it is locked, where trials were made since and that
        takes no time: else whoever ends trials and brings the next ones along is always first.
        """
        if not batch.suggestions or batch.index == study.next_number:
            return batch
        return self._points.at_once(study, sum(share.want for share in shares)) or batch


@dataclass(slots=True)
class Share:
    """How many trials a holder still wants, who asks for them, and how many it has got before."""

    holder: Holder
    want: int
    actor: Actor = field(default_factory=actor.present)
    n_taken: int = 0


def _added(taken: list[Taken], more: list[Taken]) -> list[Taken]:
    if not taken:
        return more
    return [Taken(b.study, a.grants + b.grants) for a, b in zip(taken, more, strict=True)]


def _may_start_pending(study: Study) -> bool:
    return study.counts.get(TrialState.PENDING, 0) > 0 and parallel_room(study) > 0


def _start_all(
    study: LockedStudy, shares: Sequence[Share], batch: Batch
) -> tuple[list[Taken], bool]:
    points = Points(study, batch)
    grants = [start_some(study, share, points) for share in shares]
    if any(grants):
        study.tx.signal(EVENTS)
    if batch.exhausted and points.are_used_up:
        _note_exhausted(study, batch)
    return [Taken(study.study, some) for some in grants], points.has_clashed


def start_some(study: LockedStudy, share: Share, points: Points) -> list[Grant]:
    """Starts trials for a share: pending ones, then new points; as many as there are."""
    grants: list[Grant] = []
    study.tx.actor = share.actor
    while len(grants) < share.want:
        k, trial = share.n_taken + len(grants), None
        if _may_start_pending(study.study):
            trial = _next_pending(study, share.holder)
        if trial is not None:
            grants.append(start(study, trial, share.holder, k))
        elif (suggestion := points.next()) is not None:
            grants.append(start_new(study, suggestion, share.holder, k))
        else:
            break
    return grants


def _next_pending(study: LockedStudy, holder: Holder) -> Trial | None:
    """The trial to hand out next; a promoted one to the worker that has trained it, if it can."""
    is_ruled = study.definition.early_stopping.name != "none"
    return queue.next_pending(
        study,
        client_id=holder.client_id,
        worker_id=holder.worker_id if is_ruled else None,
        memory_bytes=holder.memory_bytes,
    )


class Points:
    """The points of a batch, while the study has room and nobody made the next one meanwhile."""

    def __init__(self, study: LockedStudy, batch: Batch) -> None:
        self._study = study
        self._left = list(batch.suggestions[::-1])
        self._made_since = _made_since(study, batch.index) if batch.suggestions else frozenset()
        self.has_clashed = False

    @property
    def are_used_up(self) -> bool:
        """Whether every point was given to somebody."""
        return not self._left

    def next(self) -> Suggestion | None:
        """The next point, or None."""
        if not self._left or self.has_clashed or room(self._study.study) == 0:
            return None
        if _clashes(self._left[-1], self._made_since):
            self.has_clashed = True
            return None
        return self._left.pop()


def _made_since(study: LockedStudy, index: int) -> frozenset[str]:
    """Keys of the points that were made after a batch was: they may be the same ones."""
    if study.study.next_number == index:
        return frozenset()
    made = trial_sets.numbered_from(study.tx.conn, study.study.id, index)
    return frozenset(point_key(trial.params) for trial in made)


def _clashes(suggestion: Suggestion, made_since: frozenset[str]) -> bool:
    """Whether a point repeats one that was made after it was; a replicate is meant to."""
    if not made_since or suggestion.source is TrialSource.REPLICATE:
        return False
    return point_key(suggestion.params) in made_since


def _note_exhausted(study: LockedStudy, batch: Batch) -> None:
    """The suggester has no further point, unless a result came meanwhile that may change its
    mind.
    """
    if study.study.results_seq == batch.results_seq and study.study.state.value == "active":
        study.set(exhausted=True)
        after(study)


def start(study: LockedStudy, trial: Trial, holder: Holder, k: int) -> Grant:
    """Gives a pending trial to a holder: its lease number `k`, the trial running under it."""
    place = stopping.placed(study, trial)
    begins_at = _from_step(study, trial)
    to_step = granted_step(study, begins_at, place.get("to_step", trial.to_step))
    lease = lease_rows.insert(
        study, trial, **holder.fields(k), from_step=begins_at, to_step=to_step
    )
    reserve(study, lease)
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
        **place,
    )
    stopping.begun(study, running)
    return grant(study, with_fields(running, lease_expires_at=lease.expires_at), lease)


def start_new(study: LockedStudy, suggestion: Suggestion, holder: Holder, k: int) -> Grant:
    """A trial at a new point, running under its holder's lease number `k` from the start."""
    trial_id = trial_rows.new_trial_id(study)
    place = stopping.placed(study, None)
    to_step = granted_step(study, 0, place.get("to_step"))
    lease = lease_rows.new(study, trial_id, **holder.fields(k), to_step=to_step)
    reserve(study, lease)
    trial = trial_rows.insert_running(
        study,
        lease,
        params=suggestion.params,
        source=suggestion.source,
        provenance=suggestion.provenance,
        **place,
    )
    lease_rows.store(study, lease)
    stopping.begun(study, trial)
    return grant(study, trial, lease)


def _from_step(study: LockedStudy, trial: Trial) -> int:
    """The step after which an attempt at a trial begins.

    That of its checkpoint. A client that evaluates trials itself keeps its trainings itself: one
    that pauses and is promoted goes on from its last rung.
    """
    if trial.checkpoint_id:
        checkpoint = checkpoint_rows.last_of(study.tx.conn, trial)
        return checkpoint.step if checkpoint else 0
    is_own = study.definition.objective is None and trial.source is TrialSource.PROMOTION
    return trial.rungs[-1][0] if is_own and trial.rungs else 0


def grant(locked: LockedStudy, trial: Trial, lease: Lease) -> Grant:
    """What the holder of a lease is told."""
    study = locked.study
    # Only then: the connection is not asked for without need, for what was put off is sent first.
    checkpoint = checkpoint_rows.last_of(locked.tx.conn, trial) if trial.checkpoint_id else None
    return Grant(
        lease=lease,
        trial=trial,
        objective=study.definition.objective,
        data_digest=study.data_digest,
        max_trial_duration_s=study.definition.limits.max_trial_duration_s,
        resources=study.definition.resources,
        budget=Budget(
            from_step=checkpoint.step if checkpoint else lease.from_step, to_step=lease.to_step
        ),
        checkpoint=checkpoint,
        last_seq=lease.last_seq,
        last_step=lease.last_step,
        more_ahead=may_wait_its_turn(study),
    )
