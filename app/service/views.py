"""What the use cases answer: plain values that the API renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..domain.checkpoint import Checkpoint
from ..domain.delivery import Delivery
from ..domain.event import Event
from ..domain.fidelity import Directive
from ..domain.lease import Lease
from ..domain.study import ObjectiveRef, Resources, Study, StudyState
from ..domain.token import Role, Token
from ..domain.trial import Trial
from ..domain.worker import Worker
from ..store.measurements import Point, Summary
from ..store.page import Page

__all__ = [
    "Beat",
    "BeatAnswer",
    "Budget",
    "Caller",
    "Claim",
    "DeviceFree",
    "Expected",
    "Failed",
    "Feed",
    "Front",
    "Grant",
    "Matched",
    "Point",
    "Report",
    "Reported",
    "StudyView",
    "Suggested",
    "TrialPage",
    "TrialView",
    "Winners",
    "WorkerView",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls. With auth off: no token and the role admin.

    `ends_at`: the end of the token; None where it has none.
    """

    token_id: str | None = None
    role: Role = Role.ADMIN
    ends_at: datetime | None = None

    @classmethod
    def of(cls, token: Token) -> Caller:
        """Who calls with that token."""
        return cls(token_id=token.id, role=token.role, ends_at=token.expires_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Events of all studies and the cursor to go on from; `is_reset` when the one before was older
    than what is kept.
    """

    events: tuple[Event, ...]
    cursor: str
    is_reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyView:
    """A study with its best trial and what a person should know about it.

    `deliveries`: its latest webhooks, newest first; lists leave them out.
    """

    study: Study
    best: Trial | None
    warnings: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The Pareto front of a study's completed trials, and the hypervolume to `reference`."""

    trials: tuple[Trial, ...]
    hypervolume: float | None
    reference: tuple[float, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A trial, and what a model says of its point, in the first metric's own units."""

    trial: Trial
    mean: float
    sd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Winners:
    """The best trials by a model, best first.

    Attributes:
        n_results: how many values the model was fitted to.
        is_noisy: whether it takes the differences of neighbours for noise.
        warp: how the values were bent before the fit; undone in what is shown.
    """

    trials: tuple[Expected, ...]
    n_results: int
    is_noisy: bool
    warp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """A trial with its attempts (oldest first) and a summary of its measurements."""

    trial: Trial
    attempts: tuple[Lease, ...]
    measurements: Summary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPage:
    """A page of trials; `change_seq` is the study's when the page was read, for `changed_since`."""

    page: Page[Trial]
    change_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Which steps an attempt covers: after `from_step`, up to `to_step` (None: to the end)."""

    from_step: int = 0
    to_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A trial handed to a worker or client, with the lease that fences its writes.

    The attempt goes on from `checkpoint`; `last_seq` and `last_step` are those of the lease itself:
    -1 and None for a new one. `resources`: what a trial needs, as the study says. `more_ahead` says
    whether the study gives trials to claims ahead. `fuse_group` names the grants that were handed
    out to be trained as one.
    """

    lease: Lease
    trial: Trial
    objective: ObjectiveRef | None
    data_digest: str | None
    max_trial_duration_s: float | None
    resources: Resources
    budget: Budget
    checkpoint: Checkpoint | None = None
    last_seq: int = -1
    last_step: int | None = None
    more_ahead: bool = False
    fuse_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The answer to a trial that asked whether its work has been done: the trial, and whether an
    earlier result has completed it.
    """

    trial: Trial
    is_answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The answer to a claim; `open_work` while a study that the worker can serve has not ended."""

    grants: tuple[Grant, ...]
    open_work: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggested:
    """The answer to `:suggest`."""

    grants: tuple[Grant, ...]
    study_state: StudyState


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFree:
    """What is free on a device at the time of a claim. `cpu` in cores."""

    index: int
    memory_free_bytes: int | None = None
    cpu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life for one lease; `utilisation` in 0..1."""

    lease_id: str
    step: int | None = None
    memory_bytes: int | None = None
    utilisation: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatAnswer:
    """What a beat brought: the new expiry (None when the lease is stale) and what to do."""

    lease_id: str
    expires_at: datetime | None
    directive: Directive


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Measurements under a lease; `seq` grows strictly within it."""

    seq: int
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a report brought: points taken, points already known, and what to do."""

    accepted: int
    duplicates: int
    directive: Directive
    budget: Budget


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The trial after a reported failure, and whether it will be run again."""

    trial: Trial
    will_retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker and the times that it has to keep, in seconds."""

    worker: Worker
    lease_ttl_s: float
    heartbeat_s: float
    leases: tuple[HeldLease, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """A lease that a worker holds, with what people know its trial by."""

    lease: Lease
    number: int
    study_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPage:
    """Some studies in order, and how many there are in each state under the same other filters."""

    items: tuple[StudyView, ...]
    next_page_token: str | None
    state_counts: Mapping[StudyState, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """What a list of studies shows beside the study itself.

    Attributes:
        rate_per_h: trials that end in an hour, by the last ten of them or the last ten minutes.
        time_left_s: seconds until `max_trials` at that rate, or None.
        eta_low_s, eta_high_s: the same if trials are short, or long, within `max_duration_s`.
        n_running: trials that run now.
        trend: number and value of the last trials that were better than all before, up to 32.
        last_failures: number and failure of the latest failed attempts.
        recent_failures: by kind, how many of the last `n_recent` ended trials failed.
    """

    rate_per_h: float | None
    time_left_s: float | None
    eta_low_s: float | None
    eta_high_s: float | None
    n_running: int
    trend: tuple[tuple[int, float], ...]
    last_failures: tuple[Mapping[str, Any], ...]
    recent_failures: Mapping[str, int]
    n_recent: int
