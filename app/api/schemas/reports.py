"""Writes under a lease: measurements, the question for equal work, the ends of an attempt."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ...domain.trial import FailureKind
from .asks import BudgetOut, NextBody, SuggestOut
from .common import (
    Count,
    FinalNumber,
    Flag,
    Instant,
    MeasuredNumber,
    Name,
    Step,
    Wire,
    at_most,
    small,
)
from .trials import MAX_POINTS, MAX_VALUES, TRIAL_EXAMPLE, PointBody, TrialOut


class MeasurementOut(Wire):
    """One measurement."""

    lease_id: str | None = Field(description="The attempt that reported it; null for an import.")
    seq: int = Field(description="The report that it came with.")
    step: int = Field(description="Resource consumed so far.")
    values: dict[str, MeasuredNumber] = Field(description="Values by metric.")
    elapsed_s: float | None = Field(description="Seconds of work so far.")
    reported_at: Instant = Field(description="When the service took it in.")


class MeasurementsOut(Wire):
    """A trial's curves."""

    measurements: list[MeasurementOut] = Field(description="By attempt, then by step.")
    next_page_token: str | None = Field(description="For the next page; null on the last.")


class LastReportBody(Wire):
    """The last measurements under a lease, with its end. A `seq` already seen changes nothing."""

    seq: Annotated[Count, Field(le=2**53)] = Field(
        description="Strictly increasing within a lease; gaps are allowed."
    )
    points: list[PointBody] = Field(description="The measurements.", max_length=MAX_POINTS)


class ReportBody(LastReportBody):
    """Measurements under a lease. The same `seq` again changes nothing."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
                    "seq": 0,
                    "points": [{"step": 1, "values": {"accuracy": 0.91, "loss": "NaN"}}],
                }
            ]
        },
    )

    lease_id: Name = Field(description="The lease that the trial was handed out under.")


class ReportOut(Wire):
    """What a report brought."""

    accepted: int = Field(description="Measurements that were taken in.")
    duplicates: int = Field(description="Measurements of a `seq` that was known.")
    directive: Literal["continue", "stop", "pause", "checkpoint", "abort"] = Field(
        description="What to do next."
    )
    budget: BudgetOut = Field(description="The attempt's budget, now.")


CanonicalPoint = Annotated[dict[str, Any], at_most(MAX_VALUES, are_shown=False), small()]


class MatchBody(Wire):
    """The question whether a trial's work has been done before."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
                    "equivalent": {"n_estimators": 40, "max_depth": None},
                }
            ]
        },
    )

    lease_id: Name = Field(description="The lease that the trial was handed out under.")
    equivalent: CanonicalPoint = Field(
        description="The trial's canonical point: trials of the study for which it is the same "
        "give the very same result. Any JSON; numbers that are equal are the same."
    )


class MatchOut(TrialOut):
    """The trial, and whether an earlier result has completed it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{**TRIAL_EXAMPLE, "source": "duplicate", "answered": True}]
        },
    )

    answered: Flag = Field(
        description="True: the trial is `completed` with the values of an equal one, named in "
        "`provenance.duplicate_of`. False: it has to be trained."
    )


class DataBody(Wire):
    """The data set that values were measured on."""

    dataset: Name = Field(description="Name of the data set.")
    digest: Name = Field(description="Digest of its content, in hex.")


class EndBody(Wire):
    """What the end of an attempt may bring along, so that it takes one call."""

    lease_id: Name = Field(description="The lease that the trial was handed out under.")
    measurements: LastReportBody | None = Field(
        default=None,
        description="Measurements that no report has brought yet: taken in before the end, in the "
        "same transaction and by the rules of a report.",
    )
    next: NextBody | None = Field(
        default=None,
        description="Asks for the study's next trials as well, once the end is written: what "
        "`:suggest` would be asked, by who may call it.",
    )


class CompleteBody(EndBody):
    """The end of a trial, with its final values."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
                    "state": "completed",
                    "values": {"accuracy": 0.97},
                    "step": 3,
                },
                {
                    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
                    "values": {"accuracy": 0.97},
                    "measurements": {
                        "seq": 0,
                        "points": [{"step": 1, "values": {"accuracy": 0.97}}],
                    },
                    "next": {"client_id": "laptop"},
                },
            ]
        },
    )

    state: Literal["completed", "stopped", "infeasible"] = Field(
        default="completed",
        description="How it ended: in full, early, or at a point that cannot be.",
    )
    values: Annotated[dict[str, FinalNumber], at_most(MAX_VALUES)] = Field(
        default_factory=dict,
        description="Final values; a completed trial needs every declared one.",
    )
    step: Step | None = Field(
        default=None, description="Resource consumed; the last reported step if null."
    )
    usage: Annotated[dict[str, Any], at_most(MAX_VALUES, are_shown=False), small()] = Field(
        default_factory=dict, description="What it used, for the record; at most 64 KiB as JSON."
    )
    data: DataBody | None = Field(default=None, description="The data set that it was measured on.")
    equivalent: CanonicalPoint | None = Field(
        default=None,
        description="The canonical point that the values stand for, as in `:match`: equal trials "
        "of the study that ask later are answered with them.",
    )


class FailBody(EndBody):
    """The end of an attempt that failed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
                    "kind": "oom",
                    "message": "out of memory at batch_size 128",
                }
            ]
        },
    )

    kind: FailureKind = Field(description="The kind of failure.")
    message: str = Field(
        default="", description="What went wrong; the first 2,000 characters are kept."
    )
    traceback: str = Field(default="", description="Where; the last 20,000 characters are kept.")
    min_memory_bytes: Annotated[Count, Field(ge=1)] | None = Field(
        default=None,
        description="After `oom`: free memory that the next attempt needs. Left out: more than the "
        "worker's device has in all.",
    )


class EndedOut(TrialOut):
    """The trial as it is now, and what was asked for beside its end."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{**TRIAL_EXAMPLE, "next": None}]}
    )

    next: SuggestOut | None = Field(
        description="The answer to `next`; null where nothing was asked for, or the study is gone."
    )


class FailedOut(EndedOut):
    """The trial after a failed attempt, and whether it will be run again."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    **TRIAL_EXAMPLE,
                    "state": "pending",
                    "values": {},
                    "next": None,
                    "will_retry": True,
                }
            ]
        },
    )

    will_retry: Flag = Field(description="Whether the trial will be run again.")
