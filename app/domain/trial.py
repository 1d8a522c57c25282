"""A trial: one evaluation of one point; its states and the table of legal transitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from .fidelity import Directive
from .space import Value


class TrialState(StrEnum):
    """Where a trial stands."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    STOPPED = "stopped"
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TrialSource(StrEnum):
    """Where a trial's point came from."""

    SUGGESTER = "suggester"
    INITIAL = "initial"
    FALLBACK = "fallback"
    USER = "user"
    PROMOTION = "promotion"
    REPLICATE = "replicate"
    DUPLICATE = "duplicate"
    IMPORT = "import"


class FailureKind(StrEnum):
    """Why an attempt failed."""

    USER_ERROR = "user_error"
    OOM = "oom"
    TIMEOUT = "timeout"
    NAN = "nan"
    PREEMPTED = "preempted"
    INFRASTRUCTURE = "infrastructure"


EXPECTED_GAIN = "expected_gain"
"""Member of a suggested point's provenance: what its model expected the point to gain on the best
value, in units of the first objective metric, > 0.
"""

DUPLICATE_OF = "duplicate_of"
"""Member of a duplicate's provenance: `trial_id` and `number` of the trial whose result it has, and
the `source` that it had before.
"""

TRIAL_TRANSITIONS: Mapping[TrialState, frozenset[TrialState]] = MappingProxyType(
    {
        # Failed: no worker is left with the memory that its next attempt needs.
        TrialState.PENDING: frozenset(
            # Stopped: its study ends after it was promoted; it keeps its last values.
            {TrialState.RUNNING, TrialState.STOPPED, TrialState.FAILED, TrialState.CANCELLED}
        ),
        TrialState.RUNNING: frozenset(
            {
                TrialState.COMPLETED,
                TrialState.STOPPED,
                TrialState.INFEASIBLE,
                TrialState.FAILED,
                TrialState.PAUSED,
                TrialState.PENDING,
                TrialState.CANCELLED,
            }
        ),
        TrialState.PAUSED: frozenset(
            {TrialState.PENDING, TrialState.STOPPED, TrialState.CANCELLED}
        ),
        TrialState.FAILED: frozenset({TrialState.PENDING}),
        TrialState.COMPLETED: frozenset(),
        TrialState.STOPPED: frozenset(),
        TrialState.INFEASIBLE: frozenset(),
        TrialState.CANCELLED: frozenset(),
    }
)
"""Every legal change of a trial's state; the code guards by it and the docs are made from it."""

OPEN_TRIAL_STATES = frozenset({TrialState.PENDING, TrialState.RUNNING, TrialState.PAUSED})
"""States of a trial that has not ended."""

PLACE_FREEING_STATES = frozenset({TrialState.FAILED, TrialState.CANCELLED})
"""Ends that give the trial's place in `max_trials` back."""

_SAYS_NOTHING = frozenset({FailureKind.PREEMPTED, FailureKind.INFRASTRUCTURE})


def tells_of_point(state: TrialState, failure: FailureKind | None) -> bool:
    """Whether a trial that ended so tells anything of its point; of one that does not, the point
    may be proposed again as if it had never been tried.

    Args:
        state: the state in which it ended.
        failure: the kind of its last failure.
    """
    if state is TrialState.FAILED:
        return failure not in _SAYS_NOTHING
    return state is not TrialState.CANCELLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt ended badly. `message` <= 2,000 and `traceback` <= 20,000 characters are
    kept.
    """

    kind: FailureKind
    message: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One evaluation of one point, as the store holds it.

    Attributes:
        number: counts from 1 within the study.
        params: the active parameters.
        values: final values by metric, empty until it ends; non-finite ones never appear here.
        step: resource consumed when the values were taken, or None.
        attempts: failures reported so far that used up an attempt.
        losses: leases lost, released or pre-empted so far.
        lease_id: the current lease, or the last one while it may still be revived.
        reserved_for: client id that has first call on the pending trial until `reserved_until`.
        change_seq: the study's `change_seq` at the trial's last change.
        revision: counts changes of the definition-like parts (state, note); for ETags.
        data: data set and digest that the values were measured on, as the worker reported them.
        checkpoint_id: the last committed checkpoint, from which the next attempt goes on.
        not_before: a pending trial is handed out from then on only (it has failed before).
        min_memory_bytes: least memory of the device of the next attempt (it ran out of memory on
            one with less).
        bracket: the bracket that the early-stopping rule has put it in, or None.
        to_step: the step up to which it may be trained now; None: to its end.
        rungs: (step, value of the deciding metric) at each rung of the study's ladder that it has
            reached, by step; a value that is missing or not finite is NaN.
        directive: what its holder has been told for good: `stop` or `pause`; None: go on.
        directive_reason: why, in words.
        equivalent: digest of the canonical point that its result stands for, once it completed.
    """

    id: str
    study_id: str
    number: int
    state: TrialState
    source: TrialSource
    params: Mapping[str, Value]
    values: Mapping[str, float] = field(default_factory=dict)
    step: int | None = None
    attempts: int = 0
    losses: int = 0
    lease_id: str | None = None
    lease_expires_at: datetime | None = None
    worker_id: str | None = None
    client_id: str | None = None
    reserved_for: str | None = None
    reserved_until: datetime | None = None
    failure: Failure | None = None
    note: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    checkpoint_id: str | None = None
    not_before: datetime | None = None
    min_memory_bytes: int | None = None
    bracket: int | None = None
    to_step: int | None = None
    rungs: tuple[tuple[int, float], ...] = ()
    directive: Directive | None = None
    directive_reason: str = ""
    equivalent: str | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime
    change_seq: int
    revision: int = 1

    @property
    def origin(self) -> TrialSource:
        """Where its point came from: of a duplicate, the source that it had before."""
        if self.source is TrialSource.DUPLICATE:
            return TrialSource(self.provenance[DUPLICATE_OF]["source"])
        return self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """An intermediate report: values after `step` units of resource. Values may be non-finite
    here.
    """

    trial_id: str
    lease_id: str | None
    seq: int
    step: int
    values: Mapping[str, float]
    elapsed_s: float | None
    reported_at: datetime
