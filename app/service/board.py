"""Which waiting claim looks again when there is work: as many as can be served, the oldest first.

A change wakes no claim by itself. The board reads once what could be started, by whatever number
of claims wait, and wakes those that it would go to. Whether they get it is decided under the lock
of the study, as for every claim.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..domain.study import Study
from ..domain.trial import TrialState
from ..store import studies as study_rows
from ..store.engine import Store
from .points import parallel_room, room
from .threads import Threads
from .wake import WORK, WakeHub, Watch

LOOK_AGAIN_S = 15.0
"""After this long without a word the board looks by itself: a word from a replica may get lost."""


def capacity(study: Study) -> int:
    """How many trials of a study could be handed out now, if its pending ones are nobody's."""
    n_pending = study.counts.get(TrialState.PENDING, 0)
    return min(parallel_room(study), n_pending + room(study))


@dataclass(slots=True, eq=False)
class _Waiting:
    watch: Watch
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

    @property
    def version(self) -> int:
        """Counts changes; a claim notes it before it looks, so that it misses none."""
        return self._hub.n_work

    async def wait(
        self, watch: Watch, version: int, want: int, fits: Callable[[Study], bool], left_s: float
    ) -> None:
        """Waits until there may be work for a claim, `watch` is woken otherwise, or time is up.

        Args:
            watch: woken when it is the claim's turn.
            version: before the claim looked last.
            want: how many trials it would take.
            fits: whether it could take one of a study.
            left_s: how long to wait at most, in seconds.
        """
        if version != self.version:
            return
        waiting = _Waiting(watch, want, fits)
        self._waiting[waiting] = None
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            await watch.wait(left_s)
        except asyncio.CancelledError:
            if waiting.is_called:  # what it was called for is there for another
                self._hub.publish(frozenset({WORK}))
            raise
        finally:
            self._waiting.pop(waiting, None)

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
                while self._waiting:
                    news.clear()
                    self._call(await self._threads.run(self._read))
                    await news.wait(LOOK_AGAIN_S)
        finally:
            self._looking = None

    def _read(self) -> list[Study]:
        studies = self._store.read(study_rows.served)
        return [study for study in studies if capacity(study) > 0]

    def _call(self, studies: Sequence[Study]) -> None:
        """Wakes the claims that the work would go to; each once, for the first study that fits."""
        left = {study.id: capacity(study) for study in studies}
        for waiting in list(self._waiting):
            if not left:
                return
            study = next((s for s in studies if s.id in left and waiting.fits(s)), None)
            if study is None:
                continue
            left[study.id] -= waiting.want
            if left[study.id] <= 0:
                del left[study.id]
            waiting.is_called = True
            waiting.watch.wake()
