"""Hands trials to workers (claims) and to clients (`:suggest`), waiting for them where there is
nothing yet.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from ..domain.lease import Lease
from ..domain.study import Study, StudyState
from ..domain.trial import TrialState
from ..domain.worker import Worker
from ..metrics import Metrics
from ..store import idempotency, queue
from ..store import leases as lease_rows
from ..store import studies as study_rows
from ..store import workers as worker_rows
from ..store.engine import Store
from ..store.idempotency import Receipt
from ..store.transaction import Tx
from .fence import renewed, revived
from .handout import Handout, Holder, grant
from .placement import devices_cover, may_use_data, memory_of, offers_of
from .threads import Threads
from .views import Caller, Claim, DeviceFree, Grant, Suggested
from .wake import WORK, WakeHub, study_topic

SHORTEST_WAIT_S = 0.005
"""Shortest wait for a trial that falls due: the clocks of the database and of this process differ
a little.
"""


class ClaimService:
    """Hands out trials with leases."""

    def __init__(
        self,
        store: Store,
        threads: Threads,
        handout: Handout,
        hub: WakeHub,
        *,
        lease_ttl_s: float,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._threads = threads
        self._handout = handout
        self._hub = hub
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
        receipt: Receipt[Claim] | None = None,
    ) -> Claim:
        """Trials for a worker, by priority, then by fewest running; waits up to `wait_s` for the
        first one.

        Raises:
            NotFound: no such worker: register again.
        """
        await self._threads.run(self._replay, receipt)
        worker = await self._threads.run(self._seen, worker_id)
        holder = Holder(worker_id=worker.id, token_id=caller.token_id, duration_s=self._lease_ttl_s)
        deadline = asyncio.get_running_loop().time() + wait_s
        grants: list[Grant] = []
        with self._hub.watch([WORK]) as watch:
            while True:
                watch.clear()
                worker, studies = await self._threads.run(self._candidates, worker.id)
                if worker.draining or self.is_closing:
                    break
                grants = await self._claim_of(worker, studies, holder, max_leases, devices_free)
                left = deadline - asyncio.get_running_loop().time()
                if grants or left <= 0 or self.is_closing:
                    break
                await watch.wait(min(left, await self._due_in_s(studies)))
        self._metrics.claimed(len(grants))
        is_open = await self._threads.run(self._has_open_work, worker)
        answer = Claim(grants=tuple(grants), open_work=is_open)
        await self._threads.run(self._keep, receipt if grants else None, answer)
        return answer

    async def _claim_of(
        self,
        worker: Worker,
        studies: Sequence[Study],
        holder: Holder,
        want: int,
        devices_free: Sequence[DeviceFree] | None,
    ) -> list[Grant]:
        grants: list[Grant] = []
        holder = replace(holder, memory_bytes=memory_of(worker))
        for study in studies:
            if len(grants) >= want:
                break
            if not devices_cover(study.definition.resources, worker.devices, devices_free):
                continue
            grants += await self._handout.take(study.id, holder, want - len(grants))
        return grants

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
        """
        await self._threads.run(self._replay, receipt)
        holder = Holder(client_id=client_id, token_id=caller.token_id, duration_s=lease_s)
        grants = await self._threads.run(self._open_of_client, study_id, holder, count)
        deadline = asyncio.get_running_loop().time() + wait_s
        with self._hub.watch([study_topic(study_id)]) as watch:
            while True:
                watch.clear()
                if len(grants) < count:
                    grants += await self._handout.take(study_id, holder, count - len(grants))
                study = await self._threads.run(self._study, study_id)
                left = deadline - asyncio.get_running_loop().time()
                is_over = left <= 0 or self.is_closing or study.state is not StudyState.ACTIVE
                if grants or is_over or (study.exhausted and not _has_pending(study)):
                    break
                await watch.wait(min(left, await self._due_in_s([study])))
        answer = Suggested(grants=tuple(grants), study_state=study.state)
        await self._threads.run(self._keep, receipt if grants else None, answer)
        return answer

    async def _due_in_s(self, studies: Sequence[Study]) -> float:
        """Seconds until a trial of these studies has waited long enough after its failure."""
        ids = [study.id for study in studies if _has_pending(study)]
        if not ids:
            return math.inf
        found = await self._threads.run(
            self._store.read, lambda conn: queue.next_due_in_s(conn, ids)
        )
        return math.inf if found is None else max(found, SHORTEST_WAIT_S)

    def _study(self, study_id: str) -> Study:
        return self._store.read(lambda conn: study_rows.get(conn, study_id))

    def _replay(self, receipt: Receipt[Any] | None) -> None:
        """Ends the call with the first answer when its key was answered before."""
        if receipt is not None:
            key = receipt.key
            self._store.write(lambda tx: idempotency.look_up(tx, key))

    def _keep(self, receipt: Receipt[Any] | None, answer: Any) -> None:
        if receipt is not None:
            self._store.write(lambda tx: answer, receipt=receipt)

    def _seen(self, worker_id: str) -> Worker:
        def seen(tx: Tx) -> Worker:
            worker_rows.seen(tx, worker_id)
            return worker_rows.get(tx.conn, worker_id)

        return self._store.write(seen)

    def _candidates(self, worker_id: str) -> tuple[Worker, list[Study]]:
        def read(conn: Connection) -> tuple[Worker, list[Study]]:
            worker = worker_rows.get(conn, worker_id)
            names = [offer.name for offer in worker.objectives]
            return worker, study_rows.claimable(conn, names)

        worker, studies = self._store.read(read)
        offers = offers_of(worker)
        return worker, [study for study in studies if may_use_data(study, offers)]

    def _has_open_work(self, worker: Worker) -> bool:
        names = [offer.name for offer in worker.objectives]
        return self._store.read(lambda conn: study_rows.open_of(conn, names))

    def _open_of_client(self, study_id: str, holder: Holder, count: int) -> list[Grant]:
        client_id = holder.client_id
        if client_id is None:
            self._study(study_id)
            return []

        def of_client(conn: Connection) -> list[Lease]:
            return lease_rows.open_of_client(conn, study_id, client_id, holder.token_id)

        def reopen(tx: Tx) -> list[Grant]:
            study = study_rows.lock(tx, study_id)
            grants = []
            for lease in of_client(tx.conn)[:count]:
                held = revived(study, lease)
                if held is None:
                    continue
                lease_now = renewed(held)
                grants.append(grant(study, held.trial, lease_now))
            return grants

        known = self._store.read(
            lambda conn: (
                study_rows.get(conn, study_id),
                of_client(conn),
            )
        )
        return self._store.write(reopen) if known[1] else []


def _has_pending(study: Study) -> bool:
    return study.counts.get(TrialState.PENDING, 0) > 0
