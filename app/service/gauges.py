"""The gauges of the metrics page: read from the database when somebody asks, and kept for a while.

A scrape never waits for a database that does not answer: it then shows what this process knows by
itself, and `tunewell_database_up 0`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..metrics import Metrics
from ..store import gauges
from ..store.engine import Store
from ..store.gauges import Gauges
from .probe import Probe

KEPT_S = 5.0
"""How long the database's counts are shown again before they are read anew."""


class MetricsService:
    """Makes the page that Prometheus reads."""

    def __init__(self, store: Store, metrics: Metrics, *, version: str, wait_s: float) -> None:
        self._store = store
        self._metrics = metrics
        self._build = {"version": version, "database": store.dialect}
        self._probe = Probe(lambda: store.read(gauges.read), "tunewell-gauges", wait_s)
        self._kept: Gauges | None = None
        self._kept_at = -KEPT_S

    async def text(self) -> str:
        """The page, in the text format."""
        now = time.monotonic()
        if now - self._kept_at >= KEPT_S:
            self._kept, self._kept_at = await self._probe.answer(), now
        shown = [*_of_process(self._store, self._build), *_of_database(self._kept)]
        return await asyncio.to_thread(self._metrics.text, [_Fixed(shown)])


class _Fixed(Collector):
    """Metrics that were made already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = tuple(metrics)

    def collect(self) -> Iterator[Metric]:
        yield from self._metrics


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tunewell_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"tunewell_{name}", text, value=value)


def _labelled(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"tunewell_{name}", text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def _of_process(store: Store, build: dict[str, str]) -> Iterator[Metric]:
    stats = store.stats()
    yield InfoMetricFamily("tunewell_build", "Version and database of the service.", value=build)
    yield _counter("writes", "Write transactions of this process.", stats.n_transactions)
    yield _counter("commits", "Commits; one may serve several writes.", stats.n_commits)
    yield _gauge("writes_waiting", "Writes that wait for the writer now.", stats.n_waiting)
    yield _counter("writes_waited_seconds", "Seconds that writes have waited.", stats.waited_s)
    yield _gauge("writer_busy_seconds", "Age of the writer's present commit.", stats.busy_s)


def _of_database(found: Gauges | None) -> Iterator[Metric]:
    yield _gauge("database_up", "Whether the database answered in time.", found is not None)
    if found is None:
        return
    yield _labelled("studies", "Studies by state.", "state", sorted(found.studies.items()))
    yield _gauge("trials_pending", "Trials of open studies that wait.", found.pending)
    yield _gauge("trials_running", "Trials of open studies that run.", found.running)
    for what in ("pending", "running"):
        values = [(depth.study_id, getattr(depth, what)) for depth in found.depths]
        text = f"Trials {what} in each of the {gauges.LARGEST_STUDIES} largest open studies."
        yield _labelled(f"study_trials_{what}", text, "study", values)
    yield _gauge("leases_active", "Leases that hold.", found.leases_active)
    yield _gauge("leases_overdue", "Leases that ran out, not yet taken back.", found.leases_overdue)
    yield _gauge("workers_registered", "Workers that are registered.", found.workers_registered)
    yield _gauge("workers_seen", "Workers heard of within a minute.", found.workers_seen)
    yield _gauge("workers_draining", "Workers that are given nothing.", found.workers_draining)
    yield _gauge("webhooks_pending", "Webhooks still to be delivered.", found.webhooks_pending)
    yield _gauge("database_size_bytes", "Size of the database.", found.size_bytes)
