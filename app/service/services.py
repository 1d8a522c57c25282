"""All use cases of one process, wired to one store, with what runs beside them."""

from __future__ import annotations

import asyncio
from typing import Any

from ..blobs.opening import open_blobs
from ..domain.catalog import EARLY_STOPPING, SUGGESTERS
from ..domain.limit_fields import LIMIT_FIELDS
from ..domain.objectives import BUILT_IN
from ..metrics import Metrics
from ..settings import Settings
from ..store import studies as study_rows
from ..store import workers as worker_rows
from ..store.engine import Store
from .analysis import AnalysisService
from .audits import AuditService
from .checkpoints import CheckpointService, Quotas
from .claims import ClaimService
from .collect import Collecting, Collector
from .courier import Courier
from .crowd import Crowd
from .events import EventService
from .gauges import MetricsService
from .handout import Handout, Waits
from .health import WAIT_S, HealthService
from .housekeeping import Housekeeping
from .leadership import Leadership
from .leases import LeaseService
from .plot_tables import PlotTables
from .points import PointSource
from .pool import FitPool
from .posting import Poster
from .provenance import library_versions
from .replay import ReplayService
from .sessions import SessionService
from .sharing import Sharing
from .studies import StudyService
from .threads import Threads
from .tokens import TokenService
from .trial_logs import LogService
from .trials import TrialService
from .wake import WakeHub
from .winners import WinnerService
from .workers import WorkerService


class Services:
    """The use cases. Made inside a running event loop, which its waiting calls use.

    Attributes:
        store: the database.
        studies, trials, claims, leases, logs, checkpoints, workers, tokens, sessions, audits,
            winners, replays, events: the use cases by noun.
        points: where new points come from.
        leadership: this process among the replicas.
        housekeeping: what runs beside the use cases; `sweeper` is a part of it.
        courier: delivers webhooks.
        health: whether it can serve.
        counters, metrics: what this process counts, and the page that shows it.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store = store
        self._settings = settings
        self.counters = Metrics()
        self.metrics = MetricsService(
            store, self.counters, version=library_versions()["tunewell"], wait_s=WAIT_S
        )
        self._hub = WakeHub(asyncio.get_running_loop())
        self._threads = Threads(settings.pool_size)
        self.leadership = Leadership(store, self._threads, self._hub)
        self.health = HealthService(store, self.leadership)
        self.points = PointSource(
            store,
            FitPool(settings.n_suggest_processes()),
            Sharing.of(store, self.leadership.replica_id, self._hub),
            fit_limit_s=settings.fit_limit_s,
            metrics=self.counters,
        )
        waits = Waits(suggest_wait_s=settings.suggest_wait_s, alone_s=settings.fit_limit_s)
        self._handout = Handout(store, self._threads, self.points, waits, self.counters)
        self.studies = StudyService(store, self.points, webhook_hosts=settings.webhook_hosts)
        tables = PlotTables(store)
        self.trials = TrialService(store, self.points, tables)
        self.claims = ClaimService(
            store,
            self._threads,
            self._handout,
            self._hub,
            Crowd(settings.claims_limit),
            lease_ttl_s=settings.lease_ttl_s,
            metrics=self.counters,
        )
        self.leases = LeaseService(store, self.points, self.counters)
        self.logs = LogService(store)
        self.analyses = AnalysisService(store, self._threads, tables, self.points)
        self.workers = WorkerService(
            store,
            lease_ttl_s=settings.lease_ttl_s,
            heartbeat_s=settings.effective_heartbeat_s(),
        )
        # An SQLite file has one service.
        self.tokens = TokenService(store, is_alone=store.dialect == "sqlite")
        self.sessions = SessionService(store, self.tokens, session_s=settings.session_s)
        self.audits = AuditService(store)
        self.winners = WinnerService(store, self._threads, self.points)
        self.replays = ReplayService(store, fit_limit_s=settings.fit_limit_s)
        self.events = EventService(store, self._threads, self._hub)
        place = settings.checkpoint_place()
        blobs = None if place is None else open_blobs(place)
        self.checkpoints = CheckpointService(store, blobs, Quotas.of(settings))
        collector = Collector(store, blobs, Collecting.of(settings))
        self.housekeeping = Housekeeping(
            store, self._threads, self.points, self.leadership, settings, self.counters, collector
        )
        self.sweeper = self.housekeeping.sweeper
        poster = Poster(settings.webhook_hosts, settings.webhook_secret.get_secret_value())
        self.courier = Courier(store, self._threads, self._hub, poster, self.counters)
        self._unsubscribe = store.subscribe(self._hear)
        self._delivering: asyncio.Task[None] | None = None

    def _hear(self, topics: frozenset[str]) -> None:
        self.tokens.memory.hear(topics)
        self._hub.publish(topics)

    async def start(self) -> None:
        """Starts the housekeeping and webhooks; prepares the next points of the open studies."""
        await self._threads.run(self.leadership.begin)
        self.housekeeping.start()
        self._delivering = asyncio.create_task(self.courier.run())
        for study in await self._threads.run(self.store.read, study_rows.open_studies):
            self.points.kick(study)

    def drain(self) -> None:
        """Lets waiting calls and event streams end now, with what they have."""
        self.health.is_draining = self.events.is_closing = True
        self.claims.end_waits()
        self._hub.wake_all()

    async def stop(self) -> None:
        """Ends what runs beside the use cases; the store stays open."""
        self.drain()
        await self.housekeeping.stop()
        self._unsubscribe()
        if self._delivering is not None:
            await self.courier.stop(self._delivering)
        await self.claims.close()
        await self._handout.close()
        await self.points.close()
        await self.analyses.close()
        await asyncio.to_thread(self.replays.close)
        await asyncio.to_thread(self._threads.close)

    def catalog(self) -> dict[str, Any]:
        """Suggesters, early-stopping rules, limits and objectives with what each takes; objectives
        that workers offer beside the built-in ones, and who is meant by a name that both have.
        """
        offered = self.store.read(worker_rows.offers)
        return {
            "suggesters": list(SUGGESTERS.values()),
            "early_stopping": list(EARLY_STOPPING.values()),
            "limits": LIMIT_FIELDS,
            "objectives": {**BUILT_IN, **{offer.name: offer for offer in offered}},
            "offered": {offer.name for offer in offered},
        }

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
