"""Where the next points come from: prepared ahead in the fitting processes, never inside a
transaction.

An ask gets a point that has seen every result known when it came. One that would wait too long, or
whose fit fails, gets
a quasi-random point labelled `fallback`, which says why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..domain.copies import with_fields
from ..domain.study import Study, StudyState
from ..domain.trial import TrialState
from ..errors import AppError
from ..metrics import Metrics
from ..store import studies as study_rows
from ..store.engine import Store
from ..suggest.base import Decision
from ..suggest.registry import ENTRIES, effective_suggester, needs_history, suggest
from ..suggest.view import NO_MODEL, Line, View
from ..suggest.winner import Posterior
from .fitting import FitReply, FitRequest, Task
from .histories import Histories, changes_since
from .history import StudyHistory
from .pool import FitFailed, FitPool, FitProcess
from .posteriors import Posteriors
from .provenance import NOTHING_SPENT, Spent, fallback_decision, timed, traced
from .sharing import Batch, Seen, Sharing

log = logging.getLogger(__name__)
T = TypeVar("T")


_LOOK_AGAIN_S = 1.0
"""How long another replica is waited for before looking whether it still lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    """What came of a fit.

    Attributes:
        batch: the points; None when another replica is preparing them.
        is_behind: whether results have come since that no other replica will take in.
    """

    batch: Batch | None = None
    is_behind: bool = False


@dataclass(slots=True)
class _StudyPoints:
    """What is under way for one study."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    prepared: Batch | None = None
    fit: asyncio.Task[_Fitted] | None = None
    is_dirty: bool = False


def uses_model(study: Study) -> bool:
    """Whether the study's suggester runs in a fitting process."""
    return not ENTRIES[effective_suggester(study.definition)].is_cheap


def may_wait_its_turn(study: Study) -> bool:
    """Whether a trial may be handed out some time before it begins: no result that comes meanwhile
    could change its point, and neither a place among `max_parallel` nor its own time runs.
    """
    limits = study.definition.limits
    is_bound = limits.max_parallel is not None or limits.max_trial_duration_s is not None
    return not uses_model(study) and not is_bound


def room(study: Study) -> int:
    """How many new trials the study may start now."""
    limits = study.definition.limits
    if study.state is not StudyState.ACTIVE or study.exhausted:
        return 0
    left = [1 << 30] if study.resource_left is None else [study.resource_left]
    if limits.max_trials is not None:
        left.append(limits.max_trials - study.places)
    return max(0, min(*left, parallel_room(study)))


def parallel_room(study: Study) -> int:
    """How many more trials may run beside those that run now."""
    limits = study.definition.limits
    if study.state is not StudyState.ACTIVE or study.resource_left == 0:
        return 0
    if limits.max_parallel is None:
        return 1 << 30
    return max(0, limits.max_parallel - study.counts.get(TrialState.RUNNING, 0))


class PointSource:
    """Prepares and hands out points, per study in turn."""

    def __init__(
        self,
        store: Store,
        pool: FitPool,
        sharing: Sharing,
        *,
        fit_limit_s: float,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._pool = pool
        self._sharing = sharing
        self._fit_limit_s = fit_limit_s
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(len(pool.processes) + 2, thread_name_prefix="points")
        self._studies: dict[str, _StudyPoints] = {}
        self._histories = Histories(store)
        self._posteriors = Posteriors()
        self._is_closed = False

    async def close(self) -> None:
        """Ends the fits under way and their processes."""
        self._is_closed = True
        await asyncio.to_thread(self._pool.close)
        running = [state.fit for state in self._studies.values() if state.fit is not None]
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)

    def kick(self, study: Study) -> None:
        """Prepares the next point of a study when that makes sense; may be called from any
        thread.
        """
        if uses_model(study) and room(study) > 0 and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._prepare, study.id)

    def _prepare(self, study_id: str) -> None:
        if self._is_closed:
            return
        state = self._state(study_id)
        if state.fit is None:
            self._start_fit(study_id, state, 1)
        else:
            state.is_dirty = True

    @asynccontextmanager
    async def turn(self, study_id: str, wait_s: float) -> AsyncIterator[bool]:
        """Asks of one study are served one after another; yields False when the turn did not come
        in time.
        """
        lock = self._state(study_id).turn
        try:
            await asyncio.wait_for(lock.acquire(), timeout=wait_s)
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    async def obtain(
        self, study_id: str, count: int, *, results_seq: int, deadline: float
    ) -> Batch:
        """Up to `count` points that know at least the results up to `results_seq`.

        Args:
            study_id: the study, whose suggester has a model, and whose turn the caller has.
            count: how many points, >= 1.
            results_seq: the study's `results_seq` when the ask came.
            deadline: loop time after which a fallback is given instead.
        """
        state = self._state(study_id)
        with self._sharing.watch(study_id) as watch:
            while True:
                watch.clear()
                seen = await self._run(self._sharing.look, study_id)
                batch = _take_prepared(state, seen, results_seq, count)
                if batch is not None:
                    return batch
                left_s = max(0.0, deadline - self._loop.time())
                if seen.is_taken and state.fit is None and left_s > 0:
                    await watch.wait(min(left_s, _LOOK_AGAIN_S))
                    continue
                fit = state.fit or self._start_fit(study_id, state, count)
                done, _ = await asyncio.wait({fit}, timeout=left_s)
                if not done:
                    return await self.fallback(study_id, count, "the model was not ready in time")
                if (error := fit.exception()) is not None:
                    return await self.fallback(study_id, count, _reason(error))

    async def fallback(self, study_id: str, count: int, reason: str) -> Batch:
        """Quasi-random points, labelled, with the reason."""
        return await self._run(self._fallback, study_id, count, reason)

    def _state(self, study_id: str) -> _StudyPoints:
        return self._studies.setdefault(study_id, _StudyPoints())

    def _start_fit(self, study_id: str, state: _StudyPoints, count: int) -> asyncio.Task[_Fitted]:
        state.is_dirty = False
        state.fit = self._loop.create_task(self._run(self._fit, study_id, count))
        state.fit.add_done_callback(lambda task: self._fit_ended(study_id, state, task))
        return state.fit

    def _fit_ended(self, study_id: str, state: _StudyPoints, task: asyncio.Task[_Fitted]) -> None:
        state.fit = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            state.prepared = task.result().batch or state.prepared
            state.is_dirty |= task.result().is_behind
        else:
            log.warning("fit_failed", extra={"study_id": study_id, "reason": _reason(error)})
        if state.is_dirty and not self._is_closed:
            self._start_fit(study_id, state, 1)

    async def _run(self, fn: Callable[..., T], *args: Any) -> T:
        return await self._loop.run_in_executor(self._threads, fn, *args)

    def _read_study(self, study_id: str) -> Study:
        return self._store.read(lambda conn: study_rows.get(conn, study_id))

    def _fit(self, study_id: str, count: int) -> _Fitted:
        """Makes the next points, unless another replica does, or has done so just now."""
        process = self._pool.of(study_id)
        # Only when the process is free and up: a study that waits for it is any other replica's.
        with process.lock:
            process.start()
            if not self._sharing.begin(study_id):
                return _Fitted()
            try:
                batch = self._found(study_id, count) or self._made(process, study_id, count)
            except BaseException:
                self._sharing.end(study_id, None)
                raise
            after = self._sharing.end(study_id, batch)
        is_behind = after is not None and after.results_seq > batch.results_seq and room(after) > 0
        return _Fitted(batch=batch, is_behind=is_behind)

    def _found(self, study_id: str, count: int) -> Batch | None:
        """What another replica has prepared, if it knows all."""
        seen = self._sharing.look(study_id)
        batch, study = seen.prepared, seen.study
        if batch is None or not batch.serves(study.next_number, study.results_seq, count):
            return None
        return batch

    def _made(self, process: FitProcess, study_id: str, count: int) -> Batch:
        study, reply = self._asked(process, study_id, Task.SUGGEST, count)
        if reply.decision is None:
            raise FitFailed("the fitting process answered another question")
        return _batch(study, reply.decision, reply.pending_ids, count, reply.spent)

    def _asked(
        self,
        process: FitProcess,
        study_id: str,
        task: Task,
        count: int = 1,
        line: Line | None = None,
    ) -> tuple[Study, FitReply]:
        """Asks the study's fitting process, whose lock the caller holds; returns the study as it
        was then, and the answer.

        Raises:
            FitFailed: the process died, or the suggester failed.
            FitTimeout: it took too long.
        """
        process.start()  # it may just have been ended
        request, study = self._fit_request(process, study_id, task, count, line)
        reply = process.call(request, self._fit_limit_s)
        if reply.error is not None:
            raise FitFailed(reply.error.strip().splitlines()[-1])
        process.known[study_id] = (study.change_seq, study.revision)
        return study, reply

    def _fit_request(
        self, process: FitProcess, study_id: str, task: Task, count: int, line: Line | None
    ) -> tuple[FitRequest, Study]:
        dropped = process.take_dropped()
        seq, revision = process.known.get(study_id, (-1, -1))
        study, delta = self._store.read(lambda conn: changes_since(conn, study_id, seq))
        request = FitRequest(
            study_id=study_id,
            definition=study.definition if study.revision != revision else None,
            fresh=seq < 0,
            delta=delta,
            index=study.next_number,
            count=count,
            task=task,
            line=line,
            dropped=dropped,
        )
        return request, study

    def inline(self, study_id: str, want: int) -> tuple[Study, Batch]:
        """Points of a suggester without a model, for as many of `want` trials as may start; in the
        caller's thread. Some may turn out not to be needed, where trials are pending.

        Returns:
            The study as it was when the points were made, and the points.

        Raises:
            NotFound: there is no such study.
        """
        study = self._read_study(study_id)
        batch = self.at_once(study, want)
        if batch is not None:
            return study, batch
        with self._histories.of(study_id) as (study, history):
            return study, _inline(study, history, want)

    def at_once(self, study: Study, want: int) -> Batch | None:
        """Points as by `inline`, of a suggester that has to know nothing but the study as it
        stands; None of any other. Takes some microseconds and reads nothing: may be called in a
        transaction.
        """
        definition = study.definition
        if uses_model(study) or needs_history(effective_suggester(definition), definition.space):
            return None
        # Told of no result and no pending trial, it is derived again from none.
        return _inline(with_fields(study, results_seq=0), StudyHistory(definition), want)

    def _fallback(self, study_id: str, count: int, reason: str) -> Batch:
        with self._histories.of(study_id) as (study, history):
            request = history.request(study.next_number, count)
            name = effective_suggester(study.definition)
            self._metrics.fell_back(name)
            decision, spent = timed(lambda: fallback_decision(request, name, reason))
            return _batch(study, decision, history.pending_ids, count, spent)

    async def posterior(self, study_id: str) -> Posterior | None:
        """What a model says of the study's finished trials; None with too few to fit one.

        Raises:
            NotFound: there is no such study.
            Unavailable: the fit failed, or took too long.
        """
        study = await self._run(self._read_study, study_id)
        return self._posteriors.of(study) or await self._run(self._posterior, study_id)

    def _posterior(self, study_id: str) -> Posterior | None:
        process = self._pool.of(study_id)
        with process.lock:
            study, reply = self._asked(process, study_id, Task.POSTERIOR)
        self._posteriors.keep(study, reply.posterior)
        return reply.posterior

    async def view(self, study: Study, line: Line) -> tuple[View, Spent]:
        """What the study's suggester believes along a line.

        Raises:
            NotFound: there is no such study.
            Unavailable: the fit failed, or took too long.
        """
        name = effective_suggester(study.definition)
        if name in NO_MODEL:
            return View(suggester=name, why=NO_MODEL[name]), NOTHING_SPENT
        return await self._run(self._view, study.id, line)

    def _view(self, study_id: str, line: Line) -> tuple[View, Spent]:
        process = self._pool.of(study_id)
        with process.lock:
            _, reply = self._asked(process, study_id, Task.VIEW, line=line)
        if reply.view is None:
            raise FitFailed("the fitting process answered another question")
        return reply.view, reply.spent

    def forget(self, study_id: str) -> None:
        """Drops what is kept for a study that has ended."""
        self._histories.forget(study_id)
        self._pool.of(study_id).drop(study_id)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._forget_state, study_id)

    def _forget_state(self, study_id: str) -> None:
        state = self._studies.get(study_id)
        if state is not None and state.fit is None and not state.turn.locked():
            del self._studies[study_id]


def _inline(study: Study, history: StudyHistory, want: int) -> Batch:
    count = min(room(study), want)
    if count == 0:
        return Batch.none_of(study)
    request = history.request(study.next_number, count)
    decision, spent = timed(lambda: suggest(effective_suggester(study.definition), request))
    return _batch(study, decision, history.pending_ids, count, spent)


def _take_prepared(state: _StudyPoints, seen: Seen, results_seq: int, count: int) -> Batch | None:
    """Points made ahead here or elsewhere that can be handed out now."""
    index = seen.study.next_number
    for batch in (state.prepared, seen.prepared):
        if batch is not None and batch.serves(index, results_seq, count):
            state.prepared = None
            return replace(batch, suggestions=batch.suggestions[:count])
    return None


def _batch(
    study: Study, decision: Decision, pending_ids: tuple[str, ...], count: int, spent: Spent
) -> Batch:
    return Batch(
        index=study.next_number,
        results_seq=study.results_seq,
        suggestions=traced(study, decision, pending_ids, count, spent),
        exhausted=decision.exhausted,
    )


def _reason(error: BaseException) -> str:
    return error.detail if isinstance(error, AppError) else f"{type(error).__name__}: {error}"
