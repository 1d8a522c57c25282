"""What the service answers, as typed values: the part of each that this package reads.

A test holds every field against docs/openapi.json. What a newer service adds is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer

from .errors import TunewellError
from .lines import cell, clean

Value: TypeAlias = bool | int | float | str

ENDED_STUDY = frozenset({"completed", "cancelled", "failed"})
"""States of a study that has ended."""
ENDED_TRIAL = frozenset({"completed", "stopped", "infeasible", "failed", "cancelled"})
"""States of a trial that has ended."""
FINISHED_TRIAL = frozenset({"completed", "stopped", "infeasible"})
"""States of a trial that has ended and keeps its place in the budget."""


class Wire(BaseModel):
    """A JSON object of the service."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Failure(Wire):
    """Why an attempt ended badly."""

    kind: str
    message: str = ""
    traceback: str = ""


class Attempt(Wire):
    """One attempt at a trial."""

    lease_id: str
    worker_id: str | None
    client_id: str | None
    acquired_at: datetime
    ended_at: datetime | None
    end: str | None
    failure: Failure | None
    last_step: int | None
    slot: int | None = None


class MeasurementSummary(Wire):
    """A trial's measurements in short; values may be NaN or infinite."""

    count: int
    last_step: int | None
    last_values: dict[str, float]


class Rung(Wire):
    """What a trial had reached at a rung; the value may be NaN."""

    step: int
    value: float

    @field_serializer("value", when_used="json")
    def _as_sent(self, value: float) -> float | str:
        return value if math.isfinite(value) else "NaN"


class Trial(Wire):
    """A trial, as lists show it."""

    id: str
    study_id: str
    number: int
    state: str
    source: str
    params: dict[str, Value]
    values: dict[str, float]
    step: int | None
    n_attempts: int
    losses: int
    not_before: datetime | None = None
    checkpoint_id: str | None = None
    bracket: int | None = None
    to_step: int | None = None
    rungs: list[Rung] = Field(default_factory=list)
    directive: str | None = None
    directive_reason: str = ""
    failure: Failure | None
    note: str
    provenance: dict[str, Any]
    data: dict[str, Any] | None
    worker_id: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    change_seq: int

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in ENDED_TRIAL

    def __str__(self) -> str:
        """Number, state, values and parameters in one line."""
        values = {**self.values, **self.params}
        shown = ", ".join(f"{clean(name)}={cell(value)}" for name, value in values.items())
        return f"trial {self.number} {self.state}: {shown}" if shown else f"trial {self.number}"


class TrialDetail(Trial):
    """A trial with its attempts and a summary of its measurements."""

    attempts: list[Attempt]
    measurements: MeasurementSummary


class Study(Wire):
    """A study; `definition` is its definition with every default filled in."""

    id: str
    name: str
    definition: dict[str, Any]
    state: str
    stop_reason: str | None
    stop_detail: str | None = None
    pause_reason: str | None = None
    pause_detail: str | None = None
    trial_counts: dict[str, int]
    best: Trial | None
    warnings: list[str]
    resource_used: int = 0
    resource_saved: int = 0
    saved_s: float = 0.0
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    purge_at: datetime | None
    change_seq: int

    @property
    def has_ended(self) -> bool:
        """Whether no trial of it will run any more."""
        return self.state in ENDED_STUDY

    @property
    def has_paused_itself(self) -> bool:
        """Whether it waits for a person to look at its failures and resume it."""
        return self.state == "paused" and self.pause_reason == "failures"

    @property
    def reason(self) -> str | None:
        """Why it stands where it stands, if there is something to say."""
        if self.stop_reason and self.stop_detail:
            return f"{self.stop_reason}: {self.stop_detail}"
        return self.stop_reason or self.pause_detail

    @property
    def params(self) -> list[str]:
        """Names of its parameters, in order."""
        return [str(parameter["name"]) for parameter in self.definition["space"]]

    @property
    def metrics(self) -> list[str]:
        """Names of its declared metrics, in order."""
        return [str(metric["name"]) for metric in self.definition["metrics"]]

    @property
    def objective(self) -> str | None:
        """Name of the objective that workers evaluate; None: its clients do."""
        found = self.definition.get("objective")
        return str(found["name"]) if found else None

    @property
    def max_trials(self) -> int | None:
        """The budget in trials, or None."""
        found = (self.definition.get("limits") or {}).get("max_trials")
        return None if found is None else int(found)

    @property
    def n_finished(self) -> int:
        """Trials that ended and keep their place in the budget."""
        return sum(self.trial_counts.get(state, 0) for state in FINISHED_TRIAL)

    @property
    def n_running(self) -> int:
        """Trials that run now."""
        return self.trial_counts.get("running", 0)

    @property
    def n_paused(self) -> int:
        """Trials that wait at a rung to be promoted."""
        return self.trial_counts.get("paused", 0)

    @property
    def best_value(self) -> float | None:
        """The first metric of the best trial, or None."""
        return self.best.values.get(self.metrics[0]) if self.best else None


class OfferedObjective(Wire):
    """An objective that a worker can evaluate."""

    name: str
    data: list[dict[str, str]] = Field(default_factory=list)


class Meta(Wire):
    """Versions of the service, and how long leases last."""

    name: str
    version: str
    lease_ttl_s: float
    heartbeat_s: float


class HeldLease(Wire):
    """A lease that a worker holds."""

    lease_id: str
    trial_id: str


class Worker(Wire):
    """A worker."""

    id: str
    name: str
    labels: dict[str, str]
    objectives: list[OfferedObjective]
    slots: int
    draining: bool
    drain_reason: str | None = None
    last_seen_at: datetime
    leases: list[HeldLease]


class Token(Wire):
    """A token, without its secret."""

    id: str
    name: str
    role: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Event(Wire):
    """One event of a study."""

    seq: int
    kind: str
    trial_id: str | None
    data: dict[str, Any]


class Budget(Wire):
    """Which steps an attempt covers; `to_step` None: to the end."""

    from_step: int
    to_step: int | None


class Resume(Wire):
    """The checkpoint that an attempt goes on from."""

    id: str
    url: str
    step: int
    size_bytes: int
    sha256: str


class SuggestedTrial(Wire):
    """A trial to evaluate oneself, and the lease that it was handed out under."""

    id: str
    number: int
    params: dict[str, Value]
    lease_id: str
    expires_at: datetime
    budget: Budget
    checkpoint: Resume | None = None
    last_seq: int
    last_step: int | None
    attempt: int = 1


class Reported(Wire):
    """The answer to a report."""

    directive: str
    budget: Budget


class Suggested(Wire):
    """The answer to `:suggest`."""

    trials: list[SuggestedTrial]
    study_state: str


M = TypeVar("M", bound=Wire)


def read(model: type[M], answer: Mapping[str, Any] | Any) -> M:
    """An answer of the service as a typed value.

    Raises:
        TunewellError: it is something else: another program answers at that address, or a service
            of another version.
    """
    try:
        return model.model_validate(answer)
    except ValidationError as error:
        first = error.errors()[0]
        where = "/".join(str(part) for part in first["loc"]) or "the whole answer"
        raise TunewellError(
            f"the answer is no {model.__name__.lower()} of a Tunewell service "
            f"({where}: {first['msg']})"
        ) from error
