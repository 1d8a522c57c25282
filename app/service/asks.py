"""Asks of one study that come while others are being served are served together: one read to find
what their clients have open; then one draw of points and one transaction for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from ..domain.study import Study
from ..store import actor
from ..store.actor import Actor
from . import threads
from .threads import Threads
from .views import Grant

MOST_TOGETHER = 32
"""Asks that share a transaction at most, so that it stays short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who gets the lease. Exactly one of `worker_id` and `token_id`/`client_id` names a worker or a
    client.

    Attributes:
        duration_s: how long the lease and each renewal last.
        memory_bytes: of the device that the trials would run on, where it is known.
        slots: of the worker, that are free: its leases take them in this order.
    """

    worker_id: str | None = None
    client_id: str | None = None
    token_id: str | None = None
    duration_s: float
    memory_bytes: int | None = None
    slots: Sequence[int] = ()

    def fields(self, k: int = 0) -> dict[str, Any]:
        """What its lease number `k`, from 0, says of its holder."""
        return {
            "worker_id": self.worker_id,
            "slot": self.slots[k] if k < len(self.slots) else None,
            "client_id": self.client_id,
            "token_id": self.token_id,
            "duration_s": self.duration_s,
        }


@dataclass(slots=True)
class Taken:
    """What one ask has brought, and the study as it was left."""

    study: Study
    grants: list[Grant] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Ask:
    """One ask for `want` trials of a study, and who asks."""

    holder: Holder
    want: int
    done: asyncio.Future[Taken]
    actor: Actor = field(default_factory=actor.present)
    is_begun: bool = False

    def give_up(self) -> None:
        """Refuses it, unless its turn has come."""
        if not self.is_begun and not self.done.done():
            self.done.set_exception(threads.busy())


Serve = Callable[[str, Sequence[Ask]], list[Taken]]
"""Serves asks of a study in a thread; answers in their order."""


class AskQueue:
    """Serves asks in the order in which they come, those of one study one batch after another."""

    def __init__(self, runner: Threads, serve: Serve) -> None:
        self._threads = runner
        self._serve = serve
        self._waiting: dict[str, list[Ask]] = {}
        self._serving: dict[str, asyncio.Task[None]] = {}

    async def put(self, study_id: str, holder: Holder, want: int) -> Taken:
        """One ask, served; who stops waiting before its turn takes nothing.

        Raises:
            Unavailable: its turn has not come in `threads.PLACE_WAIT_S`.
        """
        loop = asyncio.get_running_loop()
        ask = Ask(holder, want, loop.create_future())
        self._waiting.setdefault(study_id, []).append(ask)
        if study_id not in self._serving:
            # In no caller's context: it serves those who come later too.
            self._serving[study_id] = loop.create_task(self._serve_all(study_id), context=Context())
        overdue = loop.call_later(threads.PLACE_WAIT_S, ask.give_up)
        try:
            return await ask.done
        finally:
            overdue.cancel()

    async def close(self) -> None:
        """Waits until every ask that has come is served."""
        await asyncio.gather(*self._serving.values())

    async def _serve_all(self, study_id: str) -> None:
        while waiting := self._waiting.pop(study_id, None):
            if rest := waiting[MOST_TOGETHER:]:
                self._waiting[study_id] = rest
            asks = [ask for ask in waiting[:MOST_TOGETHER] if not ask.done.done()]
            for ask in asks:
                ask.is_begun = True
            if asks:
                await self._serve_some(study_id, asks)
        del self._serving[study_id]

    async def _serve_some(self, study_id: str, asks: Sequence[Ask]) -> None:
        outcome: Any
        try:
            outcome = await self._threads.serve(self._serve, study_id, asks)
        except Exception as error:
            for ask in asks:
                if not ask.done.done():
                    ask.done.set_exception(error)
            return
        for ask, taken in zip(asks, outcome, strict=True):
            if not ask.done.done():
                ask.done.set_result(taken)
