"""What the reference model of the service knows: plain values, each as it stands now."""

from __future__ import annotations

from dataclasses import dataclass, field

OPEN_STUDY = ("active", "paused", "stopping")
OPEN_TRIAL = ("pending", "running")
MAX_BACKOFF_S = 300.0
RETRIED = ("user_error", "infrastructure")


class Refused(Exception):
    """The call is refused with this problem code."""


@dataclass(kw_only=True)
class Holder:
    """Who asks for trials: a worker, or a client that may have a name; with which token."""

    token: str
    worker: str | None = None
    client: str | None = None
    duration_s: float


@dataclass(kw_only=True, eq=False)
class Lease:
    trial: Trial
    holder: Holder
    acquired_at: float
    renewed_at: float
    expires_at: float
    id: str = ""
    end: str | None = None
    last_seq: int = -1
    last_step: int | None = None
    ended_by: str | None = None  # the write that ended it, which may be repeated


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
    def places(self) -> int:
        return len(self.trials) - self.count("failed", "cancelled")


@dataclass(kw_only=True, eq=False)
class Worker:
    id: str
    name: str
    boot: str
    is_draining: bool = False
    seen_at: float = 0.0
    n_bad: int = 0  # trials in a row that failed on its infrastructure
