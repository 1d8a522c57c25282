"""Which waiting claim looks again when there is work: as many as can be served, the oldest first.

A change wakes no claim by itself. The board reads once what could be started, by whatever number
of claims wait, and wakes those that it would go to. Whether they get it is decided under the lock
of the study, as for every claim.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass

from sqlalchemy import Connection

from ..domain.study import Study
from ..domain.trial import TrialState
from ..errors import AppError
from ..store import queue
from ..store import studies as study_rows
from ..store.engine import Store
from .points import parallel_room, room
from .threads import Threads
from .wake import WORK, WakeHub, Watch

SHORTEST_WAIT_S = 0.005
"""Shortest wait for a trial that falls due: the clocks of the database and of this process differ
a little.
"""

LOOK_AGAIN_S = 15.0
"""After this long without a word the board looks by itself: a word from a replica may get lost."""

RETRY_S = 1.0
"""How long the board waits after the database did not answer it."""

log = logging.getLogger(__name__)


def capacity(study: Study) -> int:
    """How many trials of a study could be handed out now, if its pending ones are anyone's."""
    n_pending = study.counts.get(TrialState.PENDING, 0)
    return min(parallel_room(study), n_pending + room(study))


@dataclass(slots=True)
class _News:
    """What could be started: places by study, in the order of claims; when a trial falls due."""

    places: dict[str, tuple[Study, int]]
    due_in_s: float


@dataclass(slots=True, eq=False)
class _Waiting:
    watch: Watch
    version: int
    want: int
    fits: Callable[[Study], bool]
    is_called: bool = False


class WorkBoard:
    """The waiting claims of one process."""

    def __init__(self, store: Store, threads: Threads, hub: WakeHub) -> None:
        self._store = store
        self._threads = threads
        self._hub = hub
        self._waiting: dict[_Waiting, None] = {}
        self._looking: asyncio.Task[None] | None = None
        self._again = Watch()  # another one while it looks

    @property
    def version(self) -> int:
        """Counts changes; a claim notes it before it looks, so that it misses none."""
        return self._hub.n_work

    async def wait(
        self, watch: Watch, version: int, want: int, fits: Callable[[Study], bool], left_s: float
    ) -> bool:
        """Waits until there may be work for a claim, `watch` is woken otherwise, or time is up.

        Args:
            watch: woken when it is the claim's turn.
            version: before the claim looked last.
            want: how many trials it would take.
            fits: whether it could take one of a study.
            left_s: how long to wait at most, in seconds.

        Returns:
            Whether it was called for something: if it is not for this claim, then for another
            (`pass_on`).
        """
        if version != self.version:
            return False
        waiting = _Waiting(watch, version, want, fits)
        self._waiting[waiting] = None
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), context=Context())
        try:
            await watch.wait(left_s)
        except asyncio.CancelledError:
            if waiting.is_called:
                self.pass_on()
            raise
        finally:
            self._waiting.pop(waiting, None)
        return waiting.is_called

    def pass_on(self) -> None:
        """Has the board look again: what a claim was called for is there for another one."""
        self._again.wake()

    def wake_all(self) -> None:
        """Ends every wait."""
        for waiting in self._waiting:
            waiting.watch.wake()

    async def close(self) -> None:
        """Stops looking."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            with self._hub.watch([WORK]) as news:
                self._again = news
                while self._waiting:
                    news.clear()
                    try:
                        found = await self._threads.run(self._read)
                    except AppError as error:
                        log.warning("work_unread", extra={"reason": error.detail})
                        found = _News(places={}, due_in_s=RETRY_S)
                    self._call(found)
                    if not await news.wait(min(LOOK_AGAIN_S, found.due_in_s)):
                        self._hub.n_work += 1  # by the time that has passed
        finally:
            self._looking = None

    def _read(self) -> _News:
        return self._store.read(_news)

    def _call(self, found: _News) -> None:
        """Wakes the claims that the work would go to; each once, for the first study that fits.

        One that has looked since the last change would find the same again.
        """
        left = dict(found.places)
        for waiting in list(self._waiting):
            if not left:
                return
            if waiting.is_called or waiting.version >= self.version:
                continue
            fitting = ((study, n) for study, n in left.values() if waiting.fits(study))
            study, n_places = next(fitting, (None, 0))
            if study is None:
                continue
            left[study.id] = (study, n_places - waiting.want)
            if n_places <= waiting.want:
                del left[study.id]
            waiting.is_called = True
            waiting.watch.wake()


def _news(conn: Connection) -> _News:
    studies = [study for study in study_rows.served(conn) if capacity(study) > 0]
    pending = [study.id for study in studies if study.counts.get(TrialState.PENDING, 0) > 0]
    n_due = queue.n_due(conn, pending) if pending else {}
    due_in_s = queue.next_due_in_s(conn, pending) if pending else None
    places = {
        study.id: (study, min(parallel_room(study), n_due.get(study.id, 0) + room(study)))
        for study in studies
    }
    return _News(
        places={study_id: at for study_id, at in places.items() if at[1] > 0},
        due_in_s=math.inf if due_in_s is None else max(due_in_s, SHORTEST_WAIT_S),
    )
