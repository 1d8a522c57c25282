"""Wakes what waits: long polls and event streams sleep here until a commit, here or on a replica,
concerns them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..store.signals import EVERYTHING

WORK = "work"
"""Topic of everything that may give a waiting claim something to do."""


def work_topic(study_id: str) -> str:
    """Topic of what may let one more trial of a study start, or end the wait for one."""
    return f"work:{study_id}"


def worker_topic(worker_id: str) -> str:
    """Topic of changes of a worker that end its waiting claim."""
    return f"worker:{worker_id}"


EVENTS = "events"
"""Topic of commits that write events but bring no work, such as measurements and hand-outs."""

LEADER = "leader"
"""Topic of a leader that has stepped down: another may follow at once."""


def study_topic(study_id: str) -> str:
    """Topic of one study's events."""
    return f"study:{study_id}"


def points_topic(study_id: str) -> str:
    """Topic of the points that a replica prepares for a study: they are ready, or will not come."""
    return f"points:{study_id}"


class Watch:
    """One waiter's view of its topics. Clear it, look at the state, then wait: no change is
    missed in between.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def clear(self) -> None:
        """Forgets the changes so far; call it before looking at the state."""
        self._event.clear()

    def wake(self) -> None:
        """Ends a wait, now or the next one."""
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """Waits for a change, at most `timeout_s` seconds; whether one came."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout=max(timeout_s, 0.0))
        except TimeoutError:
            return False
        return True


class WakeHub:
    """Hands the topics of each commit to the watches of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watches: dict[str, set[Watch]] = {}
        self.n_work = 0
        """How often there may have been new work."""

    def publish(self, topics: frozenset[str]) -> None:
        """Wakes the watches of these topics; may be called from any thread."""
        if not self._loop.is_closed():
            # After a lost connection the store cannot tell what it missed.
            if topics >= EVERYTHING:
                self._loop.call_soon_threadsafe(self.wake_all)
            else:
                self._loop.call_soon_threadsafe(self.wake, topics)

    def wake(self, topics: Iterable[str]) -> None:
        """Wakes the watches of these topics in this process; called in the event loop only."""
        topics = frozenset(topics)
        self.n_work += WORK in topics
        for topic in topics:
            for watch in self._watches.get(topic, ()):
                watch.wake()

    def wake_all(self) -> None:
        """Wakes every watch, so that waiting calls end when the service stops."""
        self.wake(frozenset(self._watches) | {WORK})

    @contextmanager
    def watch(self, topics: Iterable[str]) -> Iterator[Watch]:
        """A watch over these topics while the block runs."""
        mine, names = Watch(), tuple(topics)
        for name in names:
            self._watches.setdefault(name, set()).add(mine)
        try:
            yield mine
        finally:
            for name in names:
                self._watches[name].discard(mine)
                if not self._watches[name]:
                    del self._watches[name]
