"""Answers that take long to make: each is made once however many wait for it, and while it is made
those who have an older one get that.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from dataclasses import replace
from typing import TypeAlias

from ..analysis.envelope import Envelope

log = logging.getLogger(__name__)

KEPT = 64
"""Answers kept, those that were asked for last."""
WAIT_S = 1.0
"""How long a new answer is waited for before an older one is given."""

Make: TypeAlias = Callable[[], Awaitable[Envelope]]
"""Makes an answer of the present state."""


class Flights:
    """Answers by key, in one event loop."""

    def __init__(self, *, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._kept: OrderedDict[Hashable, Envelope] = OrderedDict()
        self._flying: dict[Hashable, asyncio.Task[Envelope]] = {}

    async def get(self, key: Hashable, seq: int, make: Make) -> Envelope:
        """The answer to `key` for a study at `seq`; `stale_by` in it tells by how many changes it
        is older.

        Args:
            make: what it raises, all who wait get.
        """
        known = self._kept.get(key)
        if known is not None and known.change_seq >= seq:
            self._kept.move_to_end(key)
            return _told(known, seq)
        flight = self._flying.get(key) or self._start(key, make)
        if known is None:
            return _told(await asyncio.shield(flight), seq)
        done, _ = await asyncio.wait({flight}, timeout=self._wait_s)
        return _told(flight.result() if done else known, seq)

    def _start(
        self, key: Hashable, make: Callable[[], Awaitable[Envelope]]
    ) -> asyncio.Task[Envelope]:
        async def fly() -> Envelope:
            return await make()

        # In no caller's context: it is made for those who come later too.
        flight = asyncio.get_running_loop().create_task(fly(), context=Context())
        self._flying[key] = flight
        flight.add_done_callback(lambda task: self._landed(key, task))
        return flight

    def _landed(self, key: Hashable, flight: asyncio.Task[Envelope]) -> None:
        del self._flying[key]
        if flight.cancelled():
            return
        if (error := flight.exception()) is not None:
            log.info("analysis_failed", extra={"reason": f"{type(error).__name__}: {error}"})
            return
        if flight.result().is_passing:
            return
        self._kept[key] = flight.result()
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    async def close(self) -> None:
        """Waits for those under way."""
        await asyncio.gather(*self._flying.values(), return_exceptions=True)


def _told(found: Envelope, seq: int) -> Envelope:
    return replace(found, more={**found.more, "stale_by": max(0, seq - found.change_seq)})
