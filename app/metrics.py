"""What one process counts about itself for Prometheus, in a registry of its own.

Labels are bounded: routes by their template, methods and statuses of HTTP, suggesters by name.
Counting costs a few microseconds: the children of a metric are kept, not looked up each time.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of `Metrics.text`."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Methods that are counted by name; any other is counted as `other`."""

_REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_SUGGEST_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 30)


class Metrics:
    """The counters of one process.

    Attributes:
        registry: where they live; not the library's global one, so that two applications in one
            process do not mix.
        expired_leases: leases that this process took back.
        stale_writes: writes that were refused, and beats answered `abort`, for a stale lease.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "tunewell_http_request_seconds",
            "Seconds until an answer began, waits of long polls included.",
            ("route", "method", "status"),
            buckets=_REQUEST_S,
            registry=self.registry,
        )
        self._routes: dict[tuple[str, str, int], Histogram] = {}
        claims = Counter(
            "tunewell_claims",
            "Claims of workers that were answered, by whether they brought a trial.",
            ("outcome",),
            registry=self.registry,
        )
        self._claims = {bool(n): claims.labels(name) for n, name in enumerate(("empty", "granted"))}
        self._granted = Counter(
            "tunewell_trials_granted",
            "Trials handed out under a lease, to workers and to clients.",
            ("holder",),
            registry=self.registry,
        )
        self._holders = {
            True: self._granted.labels("worker"),
            False: self._granted.labels("client"),
        }
        self.expired_leases = self._counter(
            "tunewell_leases_expired", "Leases that ran out and were taken back by this process."
        )
        self.stale_writes = self._counter(
            "tunewell_stale_writes", "Writes and beats that were refused for a stale lease."
        )
        self._suggest = Histogram(
            "tunewell_suggest_seconds",
            "Seconds that an ask waited for new points, by suggester.",
            ("suggester",),
            buckets=_SUGGEST_S,
            registry=self.registry,
        )
        self._fallbacks = Counter(
            "tunewell_suggest_fallbacks",
            "Asks that got a quasi-random point instead of the model's, by suggester.",
            ("suggester",),
            registry=self.registry,
        )
        self._deliveries = Counter(
            "tunewell_webhook_posts",
            "Attempts to deliver a webhook, by outcome.",
            ("outcome",),
            registry=self.registry,
        )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, registry=self.registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answered request.

        Args:
            route: the template of its path, e.g. `/v1/trials/{trial_id}`; "" for none of ours.
            method: as it was sent.
            status: of the answer.
            seconds: from its arrival to the beginning of the answer.
        """
        key = (route, method, status)
        child = self._routes.get(key)
        if child is None:
            known = method if method in METHODS else "other"
            child = self._seconds.labels(route or "unmatched", known, str(status))
            if known == method:  # the table must not grow by what strangers send
                self._routes[key] = child
        child.observe(seconds)

    def claimed(self, n_trials: int) -> None:
        """Counts an answered claim."""
        self._claims[n_trials > 0].inc()

    def granted(self, *, to_worker: bool) -> None:
        """Counts a trial that was handed out."""
        self._holders[to_worker].inc()

    def suggested(self, suggester: str, seconds: float) -> None:
        """Counts an ask for new points and how long it waited."""
        self._suggest.labels(suggester).observe(seconds)

    def fell_back(self, suggester: str) -> None:
        """Counts an ask that got a fallback."""
        self._fallbacks.labels(suggester).inc()

    def posted(self, *, is_delivered: bool) -> None:
        """Counts an attempt at a webhook."""
        self._deliveries.labels("delivered" if is_delivered else "failed").inc()

    def text(self, collectors: Iterable[Collector] = ()) -> str:
        """All metrics in the text format, those of `collectors` after our own."""
        extra = CollectorRegistry()
        for collector in collectors:
            extra.register(collector)
        return (generate_latest(self.registry) + generate_latest(extra)).decode()
