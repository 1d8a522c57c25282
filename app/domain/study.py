"""A study: one tuning problem with its budget; its definition, states and legal transitions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from .space import Space
from .trial import TrialState
from .webhook import Webhook


class Direction(StrEnum):
    """Which values of a metric are better."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class StudyState(StrEnum):
    """Where a study stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPING = "stopping"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class StopReason(StrEnum):
    """Why a study ended."""

    MAX_TRIALS = "max_trials"
    MAX_DURATION = "max_duration"
    MAX_RESOURCE = "max_resource"
    TARGET_REACHED = "target_reached"
    NO_PROGRESS = "no_progress"
    LOW_EXPECTED_GAIN = "low_expected_gain"
    SPACE_EXHAUSTED = "space_exhausted"
    USER = "user"
    MAX_FAILED = "max_failed"


class PauseReason(StrEnum):
    """Why a study is paused."""

    USER = "user"
    FAILURES = "failures"


STUDY_TRANSITIONS: Mapping[StudyState, frozenset[StudyState]] = MappingProxyType(
    {
        StudyState.ACTIVE: frozenset(
            {StudyState.PAUSED, StudyState.STOPPING, StudyState.CANCELLED, StudyState.FAILED}
        ),
        StudyState.PAUSED: frozenset(
            {StudyState.ACTIVE, StudyState.STOPPING, StudyState.CANCELLED, StudyState.FAILED}
        ),
        StudyState.STOPPING: frozenset(
            {StudyState.COMPLETED, StudyState.CANCELLED, StudyState.FAILED}
        ),
        StudyState.COMPLETED: frozenset({StudyState.ACTIVE}),
        StudyState.CANCELLED: frozenset(),
        StudyState.FAILED: frozenset(),
    }
)
"""Every legal change of a study's state. `completed` -> `active` only by `:resume` after a limit
was raised.
"""

OPEN_STUDY_STATES = frozenset({StudyState.ACTIVE, StudyState.PAUSED, StudyState.STOPPING})
"""States of a study that has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A declared metric. `role` is "objective" or "constraint" (then feasible at or within
    `threshold`).
    """

    name: str
    direction: Direction
    role: str = "objective"
    threshold: float | None = None

    def is_kept(self, value: float | None) -> bool:
        """Whether a value is there, finite and within the threshold."""
        if value is None or not math.isfinite(value):
            return False
        if self.threshold is None:
            return True
        is_lower = self.direction is Direction.MINIMIZE
        return value <= self.threshold if is_lower else value >= self.threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRef:
    """The objective that workers evaluate: its registered name and its options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggesterRef:
    """Which suggester proposes points; `seed` is always set (drawn at creation when not given)."""

    name: str = "auto"
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStoppingRef:
    """Which early-stopping rule applies."""

    name: str = "none"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoProgress:
    """Ends a study that stands still: less than `min_gain` over the last `trials` or `seconds`."""

    trials: int | None = None
    seconds: float | None = None
    min_gain: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds a study; None is no bound. Durations in seconds, resources in steps."""

    max_trials: int | None = None
    max_parallel: int | None = None
    max_duration_s: float | None = None
    max_trial_duration_s: float | None = None
    target: float | None = None
    no_progress: NoProgress | None = None
    max_resource_total: int | None = None
    min_gain_per_h: float | None = None

    @property
    def time_per_trial_s(self) -> float | None:
        """Wall-clock seconds from one point to the next where the whole budget is to be run in the
        duration; None where one of the two is open.
        """
        if self.max_trials is None or self.max_duration_s is None:
            return None
        return self.max_duration_s / self.max_trials


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePolicy:
    """How many failures are borne: per trial `max_attempts` and `max_losses`, per study
    `max_failed`; which kinds are retried, and how long a trial waits before it is.

    Attributes:
        backoff_s: the longest wait after a trial's first failure; doubled after each further one,
            up to `max_backoff_s`.
        pause_after: the study pauses when its first that many trials all fail with `user_error`;
            0: never.
    """

    max_attempts: int = 3
    max_losses: int = 5
    max_failed: int | None = None
    retry_user_error: bool = True
    retry_oom: bool = True
    retry_nan: bool = False
    retry_timeout: bool = False
    backoff_s: float = 1.0
    max_backoff_s: float = 300.0
    pause_after: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one trial needs: a share of a GPU, bytes of its memory, CPU cores."""

    gpu: float = 0.0
    gpu_memory_bytes: int = 0
    cpu: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyDefinition:
    """A whole study definition, checked and with every default filled in."""

    name: str
    objective: ObjectiveRef | None
    metrics: tuple[Metric, ...]
    space: Space
    suggester: SuggesterRef
    early_stopping: EarlyStoppingRef = field(default_factory=EarlyStoppingRef)
    limits: Limits = field(default_factory=Limits)
    failure_policy: FailurePolicy = field(default_factory=FailurePolicy)
    resources: Resources = field(default_factory=Resources)
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    description: str = ""
    webhook: Webhook | None = None

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """The metrics that are optimised, constraints left out."""
        return tuple(m for m in self.metrics if m.role == "objective")

    def is_feasible(self, values: Mapping[str, float]) -> bool:
        """Whether values keep the threshold of every constraint metric; a missing one does not."""
        return all(m.is_kept(values.get(m.name)) for m in self.metrics if m.role == "constraint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study as the store holds it.

    Attributes:
        counts: number of trials in each state (imported ones included).
        places: places taken in `max_trials` (neither failed nor cancelled nor imported).
        next_number: number that the next trial gets; also guards creation (no trial was made in
            between).
        results_seq: counts changes of what a model can know (a trial ended, was imported or
            retried).
        change_seq: counts all changes; the sequence of the study's events.
        revision: counts changes of definition, limits and state; for If-Match.
        best_trial_id: best finished trial by observed first objective; None with several
            objectives.
        resource_used: steps trained by its trials so far, those trained twice included.
        resource_granted: steps that the present leases may still train.
        resource_saved: steps to a full training that its ended trials were spared.
        saved_s: about how many seconds of training that is, by each trial's own pace.
        stop_detail: the figures behind `stop_reason`, in words.
        data_digest: digest of the data set that the first completed trial pinned, or None.
        exhausted: the suggester has said that no further point exists.
        pause_reason: why it is paused; None unless it is. `pause_detail` says it in words.
    """

    id: str
    definition: StudyDefinition
    state: StudyState
    stop_reason: StopReason | None = None
    stop_detail: str | None = None
    pause_reason: PauseReason | None = None
    pause_detail: str | None = None
    counts: Mapping[TrialState, int]
    places: int
    next_number: int
    results_seq: int
    change_seq: int
    revision: int
    best_trial_id: str | None = None
    best_value: float | None = None
    best_number: int | None = None
    best_at: datetime | None = None
    resource_used: int = 0
    resource_granted: int = 0
    resource_saved: int = 0
    saved_s: float = 0.0
    data_digest: str | None = None
    exhausted: bool = False
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    deleted_at: datetime | None = None
    purge_at: datetime | None = None

    @property
    def resource_left(self) -> int | None:
        """Steps that may still be granted; None without `max_resource_total`."""
        total = self.definition.limits.max_resource_total
        if total is None:
            return None
        return max(0, total - self.resource_used - self.resource_granted)

    @property
    def may_start_more(self) -> bool:
        """Whether its limits leave room for new trials, now or once it is resumed."""
        total = self.definition.limits.max_trials
        if self.state not in (StudyState.ACTIVE, StudyState.PAUSED) or self.exhausted:
            return False
        return (total is None or self.places < total) and self.resource_left != 0
