"""What the reference model knows: plain values, each as it stands now, and what follows for each
from itself alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OPEN_STUDY = ("active", "paused", "stopping")
OPEN_TRIAL = ("pending", "running")
MAX_BACKOFF_S = 300.0
SLOTS = 4
"""Of each worker."""
RETRIED = ("user_error", "infrastructure")


class Refused(Exception):
    """The call is refused with this problem code."""


def check(is_allowed: bool, code: str = "illegal-transition") -> None:
    if not is_allowed:
        raise Refused(code)


@dataclass(kw_only=True)
class Holder:
    """Who asks for trials: a worker, or a client that may have a name; with which token."""

    token: str
    worker: Worker | None = None
    client: str | None = None
    duration_s: float


@dataclass(kw_only=True, eq=False)
class Lease:
    trial: Trial
    holder: Holder
    acquired_at: float
    renewed_at: float = 0.0
    expires_at: float = 0.0
    id: str = ""
    end: str | None = None
    last_seq: int = -1
    last_step: int | None = None
    ended_by: str | None = None  # the write that ended it, which may be repeated

    @property
    def is_current(self) -> bool:
        """Whether its writes count: it runs, or has expired and nobody else has the trial."""
        is_running = self.end is None or (self.end == "expired" and self.trial.state == "pending")
        return is_running and self.trial.lease is self

    def judge(self, now: float, *, is_bad: bool) -> None:
        """A worker on which three trials in a row failed by its own fault takes no more, unless all
        of them ran at the same time.
        """
        if worker := self.holder.worker:
            worker.n_bad = worker.n_bad + 1 if is_bad else 0
            worker.bad_since = now if worker.n_bad <= 1 else worker.bad_since
            is_one_mishap = self.acquired_at < worker.bad_since and worker.n_bad <= SLOTS
            worker.is_draining |= worker.n_bad >= 3 and not is_one_mishap


@dataclass(kw_only=True, eq=False)
class Trial:
    study: Study
    number: int
    state: str = "pending"
    attempts: int = 0
    losses: int = 0
    lease: Lease | None = None  # the current one, or an expired one that may come back
    reserved_for: str | None = None
    reserved_until: float = 0.0
    not_before: float = 0.0  # drawn by the service, up to `longest_wait_s`
    longest_wait_s: float = 0.0
    failed_at: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    reports: list[tuple[str, int, int, float]] = field(default_factory=list)  # lease, seq, step

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_TRIAL

    def fail(self, kind: str, now: float) -> None:
        """It is tried again after a while, or has failed for good."""
        self.attempts, self.failed_at = self.attempts + 1, now
        self.again(kind not in RETRIED or self.attempts >= self.study.max_attempts)
        self.longest_wait_s = min(self.study.backoff_s * 2 ** (self.attempts - 1), MAX_BACKOFF_S)

    def again(self, is_over: bool) -> None:
        self.state, self.lease = ("failed", self.lease) if is_over else ("pending", None)
        self.not_before, self.longest_wait_s = 0.0, 0.0

    def abort(self) -> None:
        if self.lease is not None and self.lease.end is None:
            self.lease.end = "cancelled"
        self.state = "cancelled"


@dataclass(kw_only=True, eq=False)
class Study:
    id: str
    priority: int
    max_trials: int
    max_parallel: int
    max_attempts: int
    max_losses: int
    max_failed: int
    backoff_s: float
    state: str = "active"
    reason: str | None = None
    trials: list[Trial] = field(default_factory=list)

    def count(self, *states: str) -> int:
        return sum(trial.state in states for trial in self.trials)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STUDY

    @property
    def places(self) -> int:
        return len(self.trials) - self.count("failed", "cancelled")

    @property
    def n_left(self) -> int:
        """How many places of the budget are left."""
        return self.max_trials - self.places

    @property
    def has_failed(self) -> bool:
        return self.count("failed") >= self.max_failed

    def add(self) -> Trial:
        self.trials.append(Trial(study=self, number=len(self.trials) + 1))
        return self.trials[-1]

    def next_pending(self, client: str | None, now: float) -> Trial | None:
        """The trial that a client or, without a name, anybody is given next."""
        due = [t for t in self.trials if t.state == "pending" and t.not_before <= now]
        mine = [t for t in due if client is not None and t.reserved_for == client]
        free = [t for t in due if t.reserved_for is None or t.reserved_until <= now]
        return next(iter(mine + free), None)

    def settle(self) -> None:
        """Ends it when its limits say so."""
        if not self.is_open:
            return
        if self.has_failed:
            self.end("failed", "max_failed")
        elif self.state == "stopping":
            if not self.count("running"):
                self.end("completed", self.reason)
        elif self.n_left <= 0 and not self.count(*OPEN_TRIAL):
            self.end("completed", "max_trials")

    def end(self, state: str, reason: str | None) -> None:
        self.state, self.reason = state, reason
        for trial in self.trials:
            if trial.is_open:
                trial.abort()


@dataclass(kw_only=True, eq=False)
class Worker:
    id: str
    name: str
    boot: str
    is_draining: bool = False
    seen_at: float = 0.0
    n_bad: int = 0  # trials in a row that failed on its infrastructure
    bad_since: float = 0.0  # when the first of them did
