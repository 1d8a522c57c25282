"""Hands trials to workers (claims) and to clients (`:suggest`), waiting for them where there is
nothing yet.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from ..domain.study import Study, StudyState
from ..domain.trial import TrialState
from ..domain.worker import Worker
from ..errors import Unavailable
from ..metrics import Metrics
from ..store import idempotency, queue
from ..store import leases as lease_rows
from ..store import studies as study_rows
from ..store import trials as trial_rows
from ..store import workers as worker_rows
from ..store.actor import acting_as
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.transaction import Tx
from .asks import Ask, AskQueue, Holder, Taken
from .board import SHORTEST_WAIT_S, WorkBoard, capacity
from .crowd import Crowd
from .fence import renewed, revived
from .fusing import ALONE, Fusing
from .handout import Handout, grant
from .placement import devices_cover, free_cores, may_use_data, memory_of, n_that_fit, offers_of
from .points import may_wait_its_turn
from .threads import Threads
from .views import Caller, Claim, DeviceFree, Grant, Suggested
from .wake import WakeHub, work_topic, worker_topic


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a claim would take: for how many places, for what room, of which objectives."""

    most: int
    devices_free: Sequence[DeviceFree] | None
    objectives: Sequence[str] | None
    is_ahead: bool
    fusing: Fusing
    slots: Sequence[int]


class ClaimService:
    """Hands out trials with leases."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        handout: Handout,
        hub: WakeHub,
        crowd: Crowd,
        *,
        lease_ttl_s: float,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._threads = threads
        self._handout = handout
        self._hub = hub
        self._crowd = crowd
        self._board = WorkBoard(store, threads, hub)
        self._arrivals = AskQueue(threads, self._arrived)
        self._lease_ttl_s = lease_ttl_s
        self.is_closing = False

    async def claim(
        self,
        worker_id: str,
        *,
        max_leases: int,
        wait_s: float,
        devices_free: Sequence[DeviceFree] | None,
        caller: Caller,
        objectives: Sequence[str] | None = None,
        is_ahead: bool = False,
        fusing: Fusing = ALONE,
        slots: Sequence[int] = (),
        receipt: Receipt[Claim] | None = None,
    ) -> Claim:
        """Trials for a worker, by priority, then by fewest running; waits up to `wait_s` for the
        first one.

        Args:
            objectives: the only ones of its objectives that it has room for; None: all.
            is_ahead: the trials are to begin later, when others have ended: only of studies for
                which that makes no difference (`may_wait_its_turn`).
            fusing: of which objectives several trials take one of the places.
            slots: of the worker, that are free: the trials are noted as in these, in this order.

        Raises:
            NotFound: no such worker: register again.
            Unavailable: as many claims as may wait do so, or its turn at the database has not
                come in time; nothing was handed out.
        """
        with self._crowd.entered():
            await self._threads.serve(self._arrive, worker_id, devices_free or (), receipt)
            asked = _Asked(max_leases, devices_free, objectives, is_ahead, fusing, slots)
            holder = Holder(
                worker_id=worker_id, token_id=caller.token_id, duration_s=self._lease_ttl_s
            )
            worker, grants = await self._wait_for_work(worker_id, asked, holder, wait_s)
            self._metrics.claimed(len(grants))
            # A study of which something was handed out has not ended.
            is_open = bool(grants) or await self._threads.serve(self._has_open_work, worker)
            answer = Claim(grants=tuple(grants), open_work=is_open)
            await self._keep(receipt if grants else None, answer)
            return answer

    async def _wait_for_work(
        self, worker_id: str, asked: _Asked, holder: Holder, wait_s: float
    ) -> tuple[Worker, list[Grant]]:
        """The worker as it stands, and what it gets: nothing when time is up."""
        deadline = asyncio.get_running_loop().time() + wait_s
        was_called = False
        with self._hub.watch([worker_topic(worker_id)]) as watch:
            while True:
                watch.clear()
                version = self._board.version
                try:
                    worker, grants = await self._look(worker_id, asked, holder)
                except Unavailable:
                    if was_called:
                        self._board.pass_on()
                    raise
                left = deadline - asyncio.get_running_loop().time()
                if grants or left <= 0 or worker.draining or self.is_closing:
                    return worker, grants
                if was_called:
                    self._board.pass_on()
                fits = partial(_fits, worker, asked)
                was_called = await self._board.wait(watch, version, asked.most, fits, left)

    async def _look(
        self, worker_id: str, asked: _Asked, holder: Holder
    ) -> tuple[Worker, list[Grant]]:
        """What there is for a worker now."""
        worker, studies = await self._threads.serve(self._candidates, worker_id)
        if worker.draining or self.is_closing:
            return worker, []
        grants = await self._claim_of(
            filter(partial(_fits, worker, asked), studies),
            replace(
                holder,
                memory_bytes=memory_of(worker, asked.devices_free),
                slots=asked.slots,
            ),
            asked.most,
            partial(_n_fitting, worker, asked.devices_free),
            _free_cores(worker, asked),
            asked.fusing,
        )
        return worker, grants

    async def _claim_of(
        self,
        studies: Iterable[Study],
        holder: Holder,
        want: int,
        n_fitting: Callable[[Study], int | None],
        cores: float,
        fusing: Fusing,
    ) -> list[Grant]:
        """Trials for `want` places, of each study as many as fit.

        Args:
            cores: how many are free for them; trials that share a place share its cores.
        """
        grants: list[Grant] = []
        for study in studies:
            if want <= 0:
                break
            need = study.definition.resources.cpu
            if capacity(study) > 0 and cores >= need:
                bound = n_fitting(study)
                most = want if bound is None else min(bound, want)
                if need > 0 and cores < math.inf:  # which has no whole part
                    most = min(most, int(cores / need))
                try:
                    left = replace(holder, slots=holder.slots[len(grants) :])
                    taken = await self._handout.take(study, left, fusing.n_trials(study, most))
                except Unavailable:
                    if grants:
                        break  # what it got from other studies must not get lost
                    raise
                found = fusing.grouped(taken.grants, most)
                grants += found.grants
                want -= found.n_places
                cores -= found.n_places * need
                if taken.grants and bound is not None:
                    break  # what is free now the worker says at its next claim
        return grants

    def end_waits(self) -> None:
        """Has waiting calls end now, with what they have."""
        self.is_closing = True
        self._board.wake_all()

    async def close(self) -> None:
        """Stops looking for work."""
        await self._arrivals.close()
        await self._board.close()

    async def suggest(
        self,
        study_id: str,
        *,
        count: int,
        client_id: str | None,
        wait_s: float,
        lease_s: float,
        caller: Caller,
        receipt: Receipt[Suggested] | None = None,
    ) -> Suggested:
        """Trials for a client: its open ones first under their old leases, then pending and new
        ones.

        Raises:
            NotFound: no such study.
            Unavailable: as for a claim.
        """
        with self._crowd.entered():
            await self._replay(receipt)
            holder = Holder(client_id=client_id, token_id=caller.token_id, duration_s=lease_s)
            study, grants = await self._wait_for_trials(study_id, count, holder, wait_s)
            answer = Suggested(grants=tuple(grants), study_state=study.state)
            await self._keep(receipt if grants else None, answer)
            return answer

    async def _wait_for_trials(
        self, study_id: str, count: int, holder: Holder, wait_s: float
    ) -> tuple[Study, list[Grant]]:
        """The study as it was left, and what the client gets: nothing when time is up."""
        deadline = asyncio.get_running_loop().time() + wait_s
        with self._hub.watch([work_topic(study_id)]) as watch:
            arrived = await self._arrivals.put(study_id, holder, count)
            study, grants = arrived.study, arrived.grants
            while True:
                if len(grants) < count:
                    taken = await self._handout.take(study, holder, count - len(grants))
                    grants += taken.grants
                    study = taken.study
                left = deadline - asyncio.get_running_loop().time()
                is_over = left <= 0 or self.is_closing or study.state is not StudyState.ACTIVE
                if grants or is_over or (study.exhausted and not _has_pending(study)):
                    return study, grants
                await watch.wait(min(left, await self._due_in_s([study])))
                watch.clear()
                study = await self._threads.serve(self._study, study_id)

    async def _due_in_s(self, studies: Sequence[Study]) -> float:
        """Seconds until a trial of these studies has waited long enough after its failure."""
        ids = [study.id for study in studies if _has_pending(study)]
        if not ids:
            return math.inf
        found = await self._threads.serve(
            self._store.read, lambda conn: queue.next_due_in_s(conn, ids)
        )
        return math.inf if found is None else max(found, SHORTEST_WAIT_S)

    def _study(self, study_id: str) -> Study:
        return self._store.read(lambda conn: study_rows.get(conn, study_id))

    async def _replay(self, receipt: Receipt[Any] | None) -> None:
        """Ends the call with the first answer when its key was answered before."""
        if receipt is not None:
            key = receipt.key
            await self._threads.serve(self._store.write, lambda tx: idempotency.look_up(tx, key))

    async def _keep(self, receipt: Receipt[Any] | None, answer: Any) -> None:
        if receipt is not None:
            keep = partial(self._store.write, lambda tx: answer, receipt=receipt)
            await self._threads.run(keep)

    async def note_free(self, worker_id: str, devices_free: Sequence[DeviceFree]) -> None:
        """Notes what is free on a worker, as it says between its claims."""
        await self._threads.run(self._arrive, worker_id, devices_free, None)

    def _arrive(
        self, worker_id: str, devices_free: Sequence[DeviceFree], receipt: Receipt[Any] | None
    ) -> None:
        """Notes that a worker is there and what is free on it; ends the call as `_replay` does."""
        free = {
            device.index: device.memory_free_bytes
            for device in devices_free
            if device.memory_free_bytes is not None
        }

        def note(tx: Tx) -> None:
            if receipt is not None:
                idempotency.look_up(tx, receipt.key)
            if free:
                worker_rows.asks(tx, worker_id, free)
            else:
                worker_rows.seen(tx, worker_id)

        self._store.write(note)

    def _candidates(self, worker_id: str) -> tuple[Worker, list[Study]]:
        def read(conn: Connection) -> tuple[Worker, list[Study]]:
            worker = worker_rows.get(conn, worker_id)
            names = [offer.name for offer in worker.objectives]
            return worker, study_rows.claimable(conn, names)

        return self._store.read(read)

    def _has_open_work(self, worker: Worker) -> bool:
        names = [offer.name for offer in worker.objectives]
        return self._store.read(lambda conn: study_rows.open_of(conn, names))

    def _arrived(self, study_id: str, asks: Sequence[Ask]) -> list[Taken]:
        """For each of the asks of a study that have come: the study, and the open trials of its
        client under their old leases, renewed.
        """

        def read(conn: Connection) -> list[tuple[Study, bool]]:
            holders = [ask.holder for ask in asks]
            return [
                lease_rows.study_for_client(conn, study_id, each.client_id, each.token_id)
                for each in holders
            ]

        found = self._store.read(read)
        return [
            self._returned(study_id, ask) if has_open and ask.holder.client_id else Taken(study)
            for ask, (study, has_open) in zip(asks, found, strict=True)
        ]

    def _returned(self, study_id: str, ask: Ask) -> Taken:
        with acting_as(ask.actor):
            return self._store.write(lambda tx: _reopened(tx, study_id, ask.holder, ask.want))


def _has_pending(study: Study) -> bool:
    return study.counts.get(TrialState.PENDING, 0) > 0


def _fits(worker: Worker, asked: _Asked, study: Study) -> bool:
    """Whether a worker can evaluate a study: objective, data set and devices."""
    offers, objective = offers_of(worker), study.definition.objective
    return (
        objective is not None
        and (not asked.is_ahead or may_wait_its_turn(study))
        and objective.name in offers
        and (asked.objectives is None or objective.name in asked.objectives)
        and may_use_data(study, offers)
        and devices_cover(study.definition.resources, worker.devices, asked.devices_free)
    )


def _free_cores(worker: Worker, asked: _Asked) -> float:
    """Cores for what is handed out; trials that join a group take none more."""
    cores = free_cores(worker.devices, asked.devices_free)
    return math.inf if cores is None or asked.fusing.group is not None else cores


def _n_fitting(
    worker: Worker, devices_free: Sequence[DeviceFree] | None, study: Study
) -> int | None:
    """How many trials of a study find room on a worker at once; None: any number."""
    return n_that_fit(study.definition.resources, worker.devices, devices_free)


def _reopened(tx: Tx, study_id: str, holder: Holder, count: int) -> Taken:
    study = study_rows.lock(tx, study_id)
    grants = []
    client_id = holder.client_id or ""
    leases = lease_rows.open_of_client(tx.conn, study_id, client_id, holder.token_id)
    for lease in leases[:count]:
        trial = trial_rows.get(tx.conn, lease.trial_id)
        held = revived(study, trial, lease)
        if held is None:
            continue
        grants.append(grant(study, held.trial, renewed(held)))
    return Taken(study.study, grants)
