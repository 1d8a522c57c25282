"""The event log as those who watch read it: by study, or all of it, waiting for what is new."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection

from ..domain.event import Event
from ..store import events as event_rows
from ..store import studies as study_rows
from ..store.engine import Store
from .threads import Threads
from .views import Feed
from .wake import EVENTS, WORK, WakeHub, study_topic

_FEED_POLL_S = 1.0
"""The global feed looks again this often: an older transaction that ends without events wakes
nobody.
"""


class EventService:
    """The use cases of events."""

    def __init__(self, store: Store, threads: Threads, hub: WakeHub) -> None:
        self._store = store
        self._threads = threads
        self._hub = hub
        self.is_closing = False

    async def wait_study(
        self, study_id: str, after_seq: int, wait_s: float, limit: int
    ) -> list[Event]:
        """A study's events after `after_seq`, in order; waits up to `wait_s` seconds for the first.

        Raises:
            NotFound: there is no such study.
        """

        def read(conn: Connection) -> list[Event]:
            study_rows.get(conn, study_id)
            return event_rows.of_study(conn, study_id, after_seq, limit)

        deadline = asyncio.get_running_loop().time() + wait_s
        with self._hub.watch([study_topic(study_id)]) as watch:
            while True:
                watch.clear()
                found = await self._threads.run(lambda: self._store.read(read))
                left = deadline - asyncio.get_running_loop().time()
                if found or left <= 0 or self.is_closing:
                    return found
                await watch.wait(left)

    async def wait_feed(self, cursor: str | None, wait_s: float, limit: int) -> Feed:
        """All events after a cursor (None: from now on), in commit order; waits up to `wait_s`
        seconds for the first.

        Raises:
            InvalidInput: the cursor is none of ours.
        """
        if cursor is None or await self._threads.run(self._is_too_old, cursor):
            at = await self._threads.run(self._tail)
            if cursor is not None:
                return Feed(events=(), cursor=at, is_reset=True)
        else:
            at = cursor
        deadline = asyncio.get_running_loop().time() + wait_s
        with self._hub.watch([WORK, EVENTS]) as watch:
            while True:
                watch.clear()
                found = await self._threads.run(self._feed, at, limit)
                left = deadline - asyncio.get_running_loop().time()
                if found or left <= 0 or self.is_closing:
                    return Feed(events=tuple(found), cursor=found[-1].cursor if found else at)
                await watch.wait(min(left, _FEED_POLL_S))

    def check_cursor(self, cursor: str | None) -> None:
        """Looks at a cursor of the feed before a stream begins.

        Raises:
            InvalidInput: it is none of ours.
        """
        if cursor is not None:
            self._is_too_old(cursor)

    def latest(self, study_id: str) -> int:
        """The sequence of a study's newest event."""
        return self._store.read(lambda conn: event_rows.latest(conn, study_id))

    def oldest(self, study_id: str) -> int:
        """The sequence of the oldest event of a study that can still be read; 0 without any."""
        return self._store.read(lambda conn: event_rows.oldest(conn, study_id))

    def _feed(self, cursor: str, limit: int) -> list[Event]:
        return self._store.read(lambda conn: event_rows.feed(conn, cursor, limit))

    def _is_too_old(self, cursor: str) -> bool:
        return self._store.read(lambda conn: event_rows.is_too_old(conn, cursor))

    def _tail(self) -> str:
        return self._store.read(event_rows.tail)
