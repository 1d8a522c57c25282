"""All use cases of one process, wired to one store, with what runs beside them."""

from __future__ import annotations

import asyncio
from typing import Any

from ..domain.catalog import EARLY_STOPPING, SUGGESTERS
from ..domain.objectives import BUILT_IN
from ..settings import Settings
from ..store import schema
from ..store import studies as study_rows
from ..store.engine import Store
from .claims import ClaimService
from .events import EventService
from .handout import Handout, Waits
from .housekeeping import Housekeeping
from .leadership import Leadership
from .leases import LeaseService
from .points import PointSource
from .pool import FitPool
from .provenance import library_versions
from .replay import ReplayService
from .sharing import Sharing
from .studies import StudyService
from .threads import Threads
from .tokens import TokenService
from .trials import TrialService
from .wake import WakeHub
from .winners import WinnerService
from .workers import WorkerService


class Services:
    """The use cases. Made inside a running event loop, which its waiting calls use.

    Attributes:
        store: the database.
        studies, trials, claims, leases, workers, tokens, winners, replays, events: the use cases
            by noun.
        leadership: this process among the replicas.
        housekeeping: what runs beside the use cases; `sweeper` is a part of it.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self._settings = settings
        self._hub = WakeHub(asyncio.get_running_loop())
        self._threads = Threads(settings.pool_size)
        self.leadership = Leadership(store, self._threads, self._hub)
        self._points = PointSource(
            store,
            FitPool(settings.n_suggest_processes()),
            Sharing.of(store, self.leadership.replica_id, self._hub),
            fit_limit_s=settings.fit_limit_s,
        )
        waits = Waits(suggest_wait_s=settings.suggest_wait_s, alone_s=settings.fit_limit_s)
        handout = Handout(store, self._threads, self._points, waits)
        self.studies = StudyService(store, self._points)
        self.trials = TrialService(store, self._points)
        self.claims = ClaimService(
            store, self._threads, handout, self._hub, lease_ttl_s=settings.lease_ttl_s
        )
        self.leases = LeaseService(store, self._points)
        self.workers = WorkerService(
            store,
            lease_ttl_s=settings.lease_ttl_s,
            heartbeat_s=settings.effective_heartbeat_s(),
        )
        self.tokens = TokenService(store)
        self.winners = WinnerService(store, self._threads, self._points)
        self.replays = ReplayService(store, fit_limit_s=settings.fit_limit_s)
        self.events = EventService(store, self._threads, self._hub)
        self.housekeeping = Housekeeping(
            store, self._threads, self._points, self.leadership, settings
        )
        self.sweeper = self.housekeeping.sweeper
        self._unsubscribe = store.subscribe(self._hub.publish)
        self._is_stopping = False

    async def start(self) -> None:
        """Starts the housekeeping, and prepares the next points of the studies that are open."""
        await self._threads.run(self.leadership.begin)
        self.housekeeping.start()
        for study in await self._threads.run(self.store.read, study_rows.open_studies):
            self._points.kick(study)

    def drain(self) -> None:
        """Lets waiting calls and event streams end now, with what they have."""
        self._is_stopping = self.claims.is_closing = self.events.is_closing = True
        self._hub.wake_all()

    async def stop(self) -> None:
        """Ends what runs beside the use cases; the store stays open."""
        self.drain()
        await self.housekeeping.stop()
        self._unsubscribe()
        await self._points.close()
        await asyncio.to_thread(self.replays.close)
        await asyncio.to_thread(self._threads.close)

    def ready(self) -> dict[str, Any]:
        """Whether the service can serve: the database answers and its schema is current.

        Raises:
            Unavailable: the database does not answer.
        """
        self.store.ping()
        is_current = schema.is_current(self.store)
        is_ready = is_current and not self._is_stopping
        return {"ready": is_ready, "database": "ok", "schema_current": is_current}

    def meta(self) -> dict[str, Any]:
        """Versions, and what is compiled in."""
        versions = library_versions()
        return {
            "name": "tunewell",
            "version": versions["tunewell"],
            "api": "v1",
            "database": self.store.dialect,
            "libraries": {k: v for k, v in versions.items() if k != "tunewell"},
            "suggesters": sorted(SUGGESTERS),
            "early_stopping": sorted(EARLY_STOPPING),
            "objectives": sorted(BUILT_IN),
            "lease_ttl_s": self._settings.lease_ttl_s,
            "heartbeat_s": self._settings.effective_heartbeat_s(),
        }
