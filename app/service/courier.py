"""Delivers webhooks, at least once each: any replica may, and one that dies loses none."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import datetime, timedelta

from ..domain.delivery import Delivery, next_attempt
from ..domain.event import EventKind
from ..errors import AppError
from ..metrics import Metrics
from ..store import deliveries as delivery_rows
from ..store import studies as study_rows
from ..store.engine import Store
from ..store.transaction import Tx
from .posting import TOTAL_S, NotDelivered, Poster
from .threads import Threads
from .wake import WakeHub, Watch

log = logging.getLogger(__name__)

HELD_S = TOTAL_S + 2.0
"""How long an attempt keeps others from a webhook; when its process dies, that long at most."""

_AT_ONCE = 8
_LOOK_S = 30.0
"""How often it looks when nothing is due, and nobody says that something is."""

_AFTER_ERROR_S = 5.0
_STOP_S = 2.0
"""How long the attempts under way may take to end at a stop."""


class Courier:
    """Sends what is due until it is stopped."""

    def __init__(
        self, store: Store, threads: Threads, hub: WakeHub, poster: Poster, metrics: Metrics
    ) -> None:
        self._store = store
        self._threads = threads
        self._hub = hub
        self._poster = poster
        self._metrics = metrics
        self._watch: Watch | None = None
        self._is_stopping = False

    async def run(self) -> None:
        """Delivers until `stop`; an error of the database is logged and tried again."""
        with self._hub.watch([delivery_rows.TOPIC]) as self._watch:
            while not self._is_stopping:
                self._watch.clear()
                try:
                    wait_s = await self.deliver_due()
                except AppError as error:
                    log.warning("webhooks_not_read", extra={"reason": error.detail})
                    wait_s = _AFTER_ERROR_S
                except Exception:  # a defect in one webhook must not end all others
                    log.exception("webhooks_failed")
                    wait_s = _AFTER_ERROR_S
                if not self._is_stopping:
                    await self._watch.wait(wait_s)

    async def stop(self, running: asyncio.Task[None]) -> None:
        """Ends `run`; an attempt that does not end soon is left to whoever comes next."""
        self._is_stopping = True
        if self._watch is not None:
            self._watch.wake()
        await asyncio.wait({running}, timeout=_STOP_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def deliver_due(self) -> float:
        """Tries everything that is due; returns after how many seconds to look again."""
        due, wait_s = await self._threads.run(self._look)
        await asyncio.gather(*(self._deliver(each) for each in due))
        return 0.0 if due else wait_s

    def _look(self) -> tuple[list[Delivery], float]:
        now = self._store.now()
        due = self._store.read(lambda conn: delivery_rows.due(conn, now, _AT_ONCE))
        upcoming = self._store.read(delivery_rows.next_due)
        left_s = _LOOK_S if upcoming is None else (upcoming - now).total_seconds()
        return due, min(max(left_s, 0.0), _LOOK_S)

    async def _deliver(self, seen: Delivery) -> None:
        claimed = await self._threads.run(self._claim, seen)
        if claimed is None:
            return
        delivery, now = claimed
        try:
            await self._poster.post(delivery, now)
        except NotDelivered as error:
            await self._threads.run(self._end, delivery, str(error))
        else:
            await self._threads.run(self._end, delivery, None)

    def _claim(self, seen: Delivery) -> tuple[Delivery, datetime] | None:
        def claim(tx: Tx) -> tuple[Delivery, datetime] | None:
            until = tx.now + timedelta(seconds=HELD_S)
            if not delivery_rows.claim(tx, seen, until):
                return None
            return replace(seen, attempts=seen.attempts + 1, next_at=until), tx.now

        return self._store.write(claim)

    def _end(self, delivery: Delivery, error: str | None) -> None:
        """Notes the outcome; the last one is an event of the study too."""
        self._metrics.posted(is_delivered=error is None)
        shown = {"study_id": delivery.study_id, "delivery_id": delivery.id}
        if error is None:
            log.info("webhook_delivered", extra={**shown, "attempts": delivery.attempts})
        else:
            log.warning("webhook_failed", extra={**shown, "reason": error})
        self._store.write(lambda tx: _note(tx, delivery, error))


def _note(tx: Tx, delivery: Delivery, error: str | None) -> None:
    study = study_rows.lock(tx, delivery.study_id, deleted=True)
    again = None if error is None else next_attempt(delivery, tx.now)
    held_until = delivery.next_at or tx.now
    is_mine = delivery_rows.end_attempt(
        tx,
        delivery.id,
        held_until,
        delivered_at=tx.now if error is None else None,
        again=again,
        error=error,
    )
    if is_mine and again is None:
        state = "delivered" if error is None else "failed"
        data = {"event_id": delivery.id, "state": state, "attempts": delivery.attempts}
        study.emit(EventKind.STUDY_WEBHOOK, data=data)
