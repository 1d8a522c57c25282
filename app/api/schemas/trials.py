"""Requests and answers about trials."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from ...domain.fidelity import Directive
from ...domain.lease import LeaseEnd
from ...domain.sizes import limit_of
from ...domain.trial import FailureKind, TrialSource, TrialState
from .common import (
    FinalNumber,
    Instant,
    MeasuredNumber,
    Number,
    Step,
    Value,
    Wire,
    at_most,
)

MAX_TRIALS_A_CALL = 2_500
MAX_POINTS = 10_000
"""Measurements in a call, or of an imported trial."""

MAX_VALUES = 200

TRIAL_EXAMPLE: dict[str, Any] = {
    "id": "tr_1b2c3d4e5f6g7h8j9k0m1n2p",
    "study_id": "st_1b2c3d4e5f6g7h8j9k0m1n2p",
    "number": 3,
    "state": "completed",
    "source": "suggester",
    "params": {"learning_rate": 0.0061, "batch_size": 24, "model": "simple"},
    "values": {"accuracy": 0.9465},
    "step": 3,
    "n_attempts": 0,
    "losses": 0,
    "not_before": None,
    "checkpoint_id": None,
    "min_memory_bytes": None,
    "bracket": None,
    "to_step": 9,
    "rungs": [{"step": 1, "value": 0.9012}, {"step": 3, "value": 0.9465}],
    "directive": None,
    "directive_reason": "",
    "failure": None,
    "note": "",
    "provenance": {"suggester": "gp", "seed": 42},
    "usage": {},
    "data": {"dataset": "mnist", "digest": "5f0c8a7be2d1"},
    "lease_id": "ls_1b2c3d4e5f6g7h8j9k0m1n2p",
    "worker_id": "wk_1b2c3d4e5f6g7h8j9k0m1n2p",
    "expires_at": None,
    "created_at": "2026-11-23T20:00:00.000000Z",
    "started_at": "2026-11-23T20:00:01.000000Z",
    "ended_at": "2026-11-23T20:00:09.000000Z",
    "updated_at": "2026-11-23T20:00:09.000000Z",
    "change_seq": 17,
    "revision": 1,
}


class FailureOut(Wire):
    """Why an attempt ended badly."""

    kind: FailureKind = Field(description="The kind of failure.")
    message: str = Field(description="What the worker said, at most 2,000 characters.")
    traceback: str = Field(description="The end of the traceback, at most 20,000 characters.")


class AttemptOut(Wire):
    """One attempt at a trial: a lease that was given out for it."""

    lease_id: str = Field(description="Id of the lease, `ls_...`.")
    worker_id: str | None = Field(description="The worker that held it, or null for a client.")
    slot: int | None = Field(
        description="The worker's slot that it was given for, from 0; null: not known."
    )
    client_id: str | None = Field(description="The client's name for itself, or null.")
    acquired_at: Instant = Field(description="When the lease was given out.")
    expires_at: Instant = Field(description="Until when the lease was last renewed.")
    ended_at: Instant | None = Field(description="When it ended; null while it holds.")
    end: LeaseEnd | None = Field(description="How it ended; null while it holds.")
    failure: FailureOut | None = Field(description="The failure that was reported under it.")
    last_step: int | None = Field(description="Highest step reported under it.")
    from_step: int = Field(description="The step that it began after.")
    to_step: int | None = Field(description="The step it was granted up to; null: not known.")


class MeasurementSummary(Wire):
    """A trial's measurements in short."""

    count: int = Field(description="How many measurements were taken in.")
    last_step: int | None = Field(description="The highest step.")
    last_values: dict[str, MeasuredNumber] = Field(description="The values at that step.")


class RungOut(Wire):
    """What a trial had reached at a rung."""

    step: Step = Field(description="The rung.")
    value: MeasuredNumber = Field(
        description="The deciding metric in the first report at or beyond it; NaN without one."
    )


class TrialOut(Wire):
    """A trial, as lists show it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [TRIAL_EXAMPLE]})

    id: str = Field(description="Id of the trial, `tr_...`.")
    study_id: str = Field(description="Its study.")
    number: int = Field(description="Counts from 1 within the study.")
    state: TrialState = Field(description="Where the trial stands; changed by verbs only.")
    source: TrialSource = Field(description="Where its point came from.")
    params: dict[str, Value] = Field(description="The active parameters.")
    values: dict[str, float] = Field(description="Final values by metric; empty until it ends.")
    step: int | None = Field(description="Resource consumed when the values were taken.")
    n_attempts: int = Field(description="Failures reported so far that used up an attempt.")
    losses: int = Field(description="Leases lost, released or pre-empted so far.")
    checkpoint_id: str | None = Field(
        description="The last committed checkpoint, from which the next attempt goes on."
    )
    not_before: Instant | None = Field(
        description="A pending trial is not handed out before: it waits after a failure."
    )
    min_memory_bytes: int | None = Field(
        description="Least memory of the device of its next attempt; it ran out of less."
    )
    bracket: int | None = Field(
        description="The bracket that early stopping has put it in, from 0; null without brackets."
    )
    to_step: int | None = Field(description="The step that it may be trained to; null: to its end.")
    rungs: list[RungOut] = Field(
        description="The rungs of early stopping that it has reached, by step."
    )
    directive: Directive | None = Field(
        description="`stop` or `pause` once early stopping has said so; null: it goes on."
    )
    directive_reason: str = Field(description="Why, or why it went on, with the figures.")
    failure: FailureOut | None = Field(description="The last failure.")
    note: str = Field(description="A person's note.")
    provenance: dict[str, Any] = Field(
        description="How the point came about: suggester, seed, what it had seen, predictions."
    )
    usage: dict[str, Any] = Field(description="What the attempt used, as the worker reported it.")
    data: dict[str, Any] | None = Field(description="Data set and digest it was measured on.")
    lease_id: str | None = Field(description="The current lease, or the last one.")
    worker_id: str | None = Field(description="The worker that has or had it.")
    expires_at: Instant | None = Field(description="When the current lease ends unless renewed.")
    created_at: Instant = Field(description="When it was created.")
    started_at: Instant | None = Field(description="When it was first handed out.")
    ended_at: Instant | None = Field(description="When it ended.")
    updated_at: Instant = Field(description="When it last changed.")
    change_seq: int = Field(description="The study's `change_seq` at its last change.")
    revision: int = Field(description="Counts its own changes that `If-Match` looks at.")


class TrialDetail(TrialOut):
    """A trial with its attempts and a summary of its measurements."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    **TRIAL_EXAMPLE,
                    "attempts": [],
                    "measurements": {"count": 0, "last_step": None, "last_values": {}},
                }
            ]
        },
    )

    attempts: list[AttemptOut] = Field(description="Every attempt, oldest first.")
    measurements: MeasurementSummary = Field(description="Its measurements in short.")


class TrialListOut(Wire):
    """A page of a study's trials."""

    trials: list[TrialOut] = Field(description="The trials of the page.")
    next_page_token: str | None = Field(description="For the next page; null on the last.")
    change_seq: int = Field(description="The study's, to ask for `changed_since` next.")


class TrialsOut(Wire):
    """Trials that were added."""

    trials: list[TrialOut] = Field(description="In the order in which they were sent.")


class PointBody(Wire):
    """Values after a step."""

    step: Step = Field(description="Resource consumed so far; 3 says: after three steps.")
    values: Annotated[dict[str, MeasuredNumber], at_most(MAX_VALUES)] = Field(
        description="By metric; non-finite ones as the strings NaN, Infinity and -Infinity."
    )
    elapsed_s: Number | None = Field(default=None, ge=0, description="Seconds of work so far.")


class ImportFailureBody(Wire):
    """Why an imported trial failed."""

    kind: FailureKind = Field(default=FailureKind.USER_ERROR, description="The kind of failure.")
    message: str = Field(default="", description="What went wrong.")
    traceback: str = Field(default="", description="Where it went wrong.")


class NewTrialBody(Wire):
    """A point to try; with `values` or `state`, a finished trial to import."""

    params: Annotated[dict[str, Value], at_most(limit_of("parameters"))] = Field(
        description="The point; what a point to try leaves out, the suggester fills in."
    )
    values: Annotated[dict[str, FinalNumber], at_most(MAX_VALUES)] | None = Field(
        default=None, description="Final values, for an import."
    )
    state: Literal["completed", "stopped", "infeasible", "failed", "cancelled"] | None = Field(
        default=None, description="How an imported trial ended; `completed` when there are values."
    )
    step: Step | None = Field(default=None, description="Resource consumed, for an import.")
    measurements: Annotated[list[PointBody], Field(max_length=MAX_POINTS)] | None = Field(
        default=None, description="Its curve, for an import."
    )
    started_at: Instant | None = Field(default=None, description="When it began, for an import.")
    ended_at: Instant | None = Field(default=None, description="When it ended, for an import.")
    failure: ImportFailureBody | None = Field(
        default=None, description="Why it failed, for an import."
    )


class EnqueueBody(Wire):
    """Points to try, or finished trials to import: all are taken, or none."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"trials": [{"params": {"learning_rate": 0.004, "batch_size": 32}}]},
                {
                    "trials": [
                        {"params": {"x": 0.5}, "values": {"value": 0.25}, "state": "completed"}
                    ]
                },
            ]
        },
    )

    trials: list[NewTrialBody] = Field(
        description="The points.", min_length=1, max_length=MAX_TRIALS_A_CALL
    )


class NoteBody(Wire):
    """A person's note on a trial."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"note": "ran beside a backup"}]}
    )

    note: Annotated[str, Field(max_length=10_000)] = Field(
        description="The note; empty removes it."
    )
