"""What runs beside the use cases: this process's part among the replicas, the sweep, the purge."""

from __future__ import annotations

import asyncio

from ..metrics import Metrics
from ..settings import Settings
from ..store.engine import Store
from .collect import Collector
from .leadership import Leadership
from .points import PointSource
from .purge import Keeping, Purger
from .sweep import Sweeper
from .threads import Threads


class Housekeeping:
    """Starts and stops all of it together.

    Attributes:
        sweeper, purger, collector: the parts, for who wants to run one step.
    """

    def __init__(
        self,
        store: Store,
        threads: Threads,
        points: PointSource,
        leadership: Leadership,
        settings: Settings,
        metrics: Metrics,
        collector: Collector,
    ) -> None:
        self._leadership = leadership
        self.collector = collector
        self.sweeper = Sweeper(
            store,
            threads,
            points,
            leadership,
            lease_ttl_s=settings.lease_ttl_s,
            every_s=settings.sweep_s,
            metrics=metrics,
        )
        self.purger = Purger(
            store, threads, leadership, Keeping.of(settings), collector, every_s=settings.purge_s
        )
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts the parts."""
        parts = (self._leadership, self.sweeper, self.purger)
        self._running = [asyncio.create_task(part.run()) for part in parts]

    async def stop(self) -> None:
        """Ends the parts and waits for them; a leader's duties are given up last."""
        self.sweeper.stop()
        self.purger.stop()
        self._leadership.stop()
        await asyncio.gather(*self._running)
