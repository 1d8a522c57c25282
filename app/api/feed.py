"""All studies' events as server-sent events: one reader of the database for any number of watchers.

Each event is turned into bytes once. A connection is a place in a ring of the newest ones, not a
queue of its own: who is slow costs no memory, and who falls out of the ring is told to read anew.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator
from contextvars import Context
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi.sse import format_sse_event

from . import render
from .answers import dumps
from .deps import RECHECK_S, Api
from .sse import may_go_on

if TYPE_CHECKING:
    from ..service.events import EventService
    from ..service.views import Feed

TICK_S = 15.0
"""Seconds without an event after which a `tick` says that the stream lives."""
RETRY_MS = (1_000, 5_000)
"""How long a client should wait before it comes back, drawn so that not all come at once."""
RING = 10_000
"""Events kept as bytes for those who watch."""
_BATCH = 500
_MOST_BYTES = 64 * 1024
"""Sent in one piece at most; the next piece waits until the connection has taken it."""


class Line(NamedTuple):
    """One event as bytes, and its cursor in the feed."""

    cursor: str
    text: bytes


class Ring:
    """The newest events of all studies, as lines of a stream. It reads while somebody watches."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque(maxlen=RING)
        self._end = 0  # number of the next line, counted since the start of the process
        self._n_watching = 0
        self._begun: asyncio.Future[str] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._news = asyncio.Event()

    @property
    def end(self) -> int:
        """Place behind the newest line."""
        return self._end

    async def enter(self, events: EventService) -> None:
        """Somebody watches: the reading begins with the first. What happens from now on will be in
        the ring.

        Raises:
            AppError: the events cannot be read.
        """
        self._n_watching += 1
        if self._reading is None or self._reading.done():
            self._lines.clear()
            self._begun = asyncio.ensure_future(_now(events))
            self._reading = asyncio.create_task(self._read(events, self._begun), context=Context())
            self._reading.add_done_callback(lambda _: self._wake())
        if self._begun is not None:
            await asyncio.shield(self._begun)

    def leave(self) -> None:
        """Somebody watches no more: the reading ends with the last."""
        self._n_watching -= 1
        if self._n_watching == 0 and self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def after(self, place: int) -> list[Line] | None:
        """The lines from a place on, `_MOST_BYTES` and one line at most; None: they have gone."""
        first = place - (self._end - len(self._lines))
        if first < 0:
            return None
        found: list[Line] = []
        n_bytes = 0
        while first + len(found) < len(self._lines) and n_bytes < _MOST_BYTES:
            found.append(self._lines[first + len(found)])
            n_bytes += len(found[-1].text)
        return found

    async def wait(self, place: int, wait_s: float) -> bool:
        """Whether there is a line at a place; waits for it, `wait_s` seconds at most.

        Raises:
            AppError: the events cannot be read.
        """
        reading = self._reading
        if reading is not None and reading.done() and not reading.cancelled():
            reading.result()
        if self._end == place:
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                return False
        return self._end > place

    async def _read(self, events: EventService, begun: asyncio.Future[str]) -> None:
        at = await begun
        while not events.is_closing:
            feed = await events.wait_feed(at, TICK_S, _BATCH)
            at = feed.cursor
            for line in _lines(feed):
                self._lines.append(line)
                self._end += 1
            self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def stream(api: Api, ring: Ring, cursor: str | None) -> AsyncGenerator[bytes]:
    """The stream, from its first line on; ends when the client leaves or the service stops.

    Args:
        api: the request's view of the service.
        ring: what all watchers share.
        cursor: of the feed, to go on after; None: from now on. One that is too old first says
            `reset` and goes on from now.
    """
    events = api.services.events
    yield format_sse_event(retry=RETRY_MS[0], comment="events of all studies")
    try:
        await ring.enter(events)
        follower = _Follower(events, ring, cursor)
        checked_at = monotonic()
        while not events.is_closing:
            text = await follower.next()
            if monotonic() - checked_at >= RECHECK_S:
                checked_at = monotonic()
                if not await may_go_on(api):
                    return
            if text and not events.is_closing:
                yield text
    finally:
        ring.leave()
    retry_ms = random.randint(*RETRY_MS)
    yield format_sse_event(retry=retry_ms, comment="the service is stopping")


class _Follower:
    """One connection: first what the database holds behind its cursor, then its place in the
    ring.
    """

    def __init__(self, events: EventService, ring: Ring, cursor: str | None) -> None:
        self._events = events
        self._ring = ring
        self._at = cursor
        self._place: int | None = None
        # What was read here and may come up in the ring once more, which reads batch by batch too.
        self._told: deque[str] = deque(maxlen=2 * _BATCH)

    async def next(self) -> bytes:
        """What comes next; a `tick` after `TICK_S` without anything, empty when there is more to
        look for.
        """
        if self._place is None:
            return await self._catch_up()
        if not await self._ring.wait(self._place, TICK_S):
            return _text("tick", self._at, {"cursor": self._at})
        found = self._ring.after(self._place)
        if found is None:
            self._place, self._at = None, await _now(self._events)
            return _reset(self._at)
        self._place += len(found)
        self._at = found[-1].cursor
        return b"".join(line.text for line in found if line.cursor not in self._told)

    async def _catch_up(self) -> bytes:
        # Read in this order: what is in the ring by now lies before a place behind which the
        # database shows nothing.
        end = self._ring.end
        feed = await self._events.wait_feed(self._at, 0.0, _BATCH)
        self._at = feed.cursor
        lines = _lines(feed)
        if not lines:
            self._place = end
        self._told.extend(line.cursor for line in lines)
        return b"".join(line.text for line in lines)


async def _now(events: EventService) -> str:
    return (await events.wait_feed(None, 0.0, 1)).cursor


def _lines(feed: Feed) -> list[Line]:
    if feed.is_reset:
        return [Line(feed.cursor, _reset(feed.cursor))]
    return [Line(e.cursor, _text(e.kind, e.cursor, render.event(e))) for e in feed.events]


def _reset(cursor: str) -> bytes:
    return _text("reset", cursor, {"cursor": cursor})


def _text(kind: str, cursor: str | None, data: dict[str, Any]) -> bytes:
    return format_sse_event(event=kind, id=cursor, data_str=dumps(data))
