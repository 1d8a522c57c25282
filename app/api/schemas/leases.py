"""Requests and answers of the lease protocol."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from ...domain.fidelity import Directive
from .asks import BudgetOut
from .checkpoints import ResumeOut
from .common import Count, Instant, Name, Number, Step, Wire, at_most
from .definition import ResourcesBody
from .trials import TrialOut

LEASE_ID = "ls_1b2c3d4e5f6g7h8j9k0m1n2p"
MAX_BEATS = 1_000
MAX_FUSED_OBJECTIVES = 1_000
Fused = Annotated[Step, Field(le=1_000)]
Slot = Annotated[Count, Field(le=9_999)]
MAX_SLOTS = 1_000
Ratio = Annotated[Number, Field(ge=0, le=1)]


class DeviceFreeBody(Wire):
    """What is free on a device."""

    index: Count = Field(description="Index of the device, as registered.")
    memory_free_bytes: Count | None = Field(default=None, description="Free memory.")
    cpu: Annotated[Number, Field(ge=0)] | None = Field(default=None, description="Free CPU cores.")


class ClaimBody(Wire):
    """A worker asks for trials."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"worker_id": "wk_1b2c3d4e5f6g7h8j9k0m1n2p", "max_leases": 2, "wait_s": 25}
            ]
        },
    )

    worker_id: Name = Field(description="The worker's id.")
    max_leases: Annotated[Step, Field(le=1_000)] = Field(
        default=1, description="Trials at most, 1 to 1,000."
    )
    wait_s: Annotated[Number, Field(ge=0, le=120)] = Field(
        default=0.0, description="Seconds to wait for the first trial, 0 to 120."
    )
    devices_free: Annotated[list[DeviceFreeBody], Field(max_length=1_000)] | None = Field(
        default=None,
        description="What is free now; without it the worker's registered devices count.",
    )
    slots: Annotated[list[Slot], Field(max_length=MAX_SLOTS)] = Field(
        default_factory=list,
        description="The worker's slots that are free, each a number from 0: the trials are noted "
        "as running in these, in this order.",
    )
    objectives: Annotated[list[Name], Field(max_length=1_000)] | None = Field(
        default=None,
        description="The only ones of the worker's objectives that it has room for now; left out: "
        "all.",
    )
    ahead: bool = Field(
        default=False,
        description=(
            "For trials that begin only when one that runs ends: nothing is handed out that a "
            "result still to come could change, nor of a study with `max_parallel` or "
            "`max_trial_duration_s`."
        ),
    )
    fuse: Annotated[dict[Name, Fused], at_most(MAX_FUSED_OBJECTIVES)] = Field(
        default_factory=dict,
        description="Objectives of which the worker may train several trials as one, and how many, "
        "1 to 1,000: so many of one study come for one of `max_leases`, with one `fuse_group`.",
    )
    fuse_group: Name | None = Field(
        default=None, description="A group that the leases are to join: they come with its name."
    )


class ObjectiveOut(Wire):
    """What to evaluate."""

    name: str = Field(description="The objective's registered name.")
    options: dict[str, Any] = Field(description="Its options, from the study.")
    data_digest: str | None = Field(
        description="Digest of the data set that the study is bound to."
    )


class LeaseOut(Wire):
    """A trial handed to a worker."""

    lease_id: str = Field(description="Goes with every write about this trial.")
    expires_at: Instant = Field(description="When the lease ends unless renewed.")
    trial: TrialOut = Field(description="The trial, in state `running`.")
    objective: ObjectiveOut | None = Field(description="What to evaluate.")
    budget: BudgetOut = Field(description="Which steps to do.")
    max_trial_duration_s: float | None = Field(description="Seconds that the attempt may take.")
    resources: ResourcesBody = Field(description="What the trial needs, from the study.")
    checkpoint: ResumeOut | None = Field(description="Where to go on from; null: begin anew.")
    fuse_group: str | None = Field(
        description="Names the leases that were handed out to be trained as one: those of one "
        "study that took one place. Each is a lease like any other. Null: none."
    )
    slot: int | None = Field(
        description="Which of the claim's `slots` the trial is noted in; null: none was left."
    )
    more_ahead: bool = Field(description="Whether the study gives trials to claims with `ahead`.")


class ClaimOut(Wire):
    """The answer to a claim."""

    leases: list[LeaseOut] = Field(description="The trials; none when the wait ran out.")
    open_work: bool = Field(
        description="Whether a study that this worker can serve has not ended yet."
    )


class RenewBody(Wire):
    """What a holder says of its trial with a sign of life."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"step": 2, "utilisation": 0.8}]}
    )

    step: Count | None = Field(
        default=None,
        description="Step that the training is at. Taken and not kept: that of the last report "
        "counts.",
    )
    memory_bytes: Count | None = Field(default=None, description="Memory in use.")
    utilisation: Ratio | None = Field(
        default=None, description="Share of the device in use, 0 to 1."
    )


class BeatBody(RenewBody):
    """A sign of life of one lease."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"lease_id": LEASE_ID, "step": 2}]}
    )

    lease_id: Name = Field(description="The lease.")


class HeartbeatBody(Wire):
    """Signs of life of several leases."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"leases": [{"lease_id": LEASE_ID, "step": 2}]}]},
    )

    leases: list[BeatBody] = Field(description="One entry a lease.", max_length=MAX_BEATS)
    worker_id: Name | None = Field(default=None, description="The worker, to note that it lives.")
    devices_free: Annotated[list[DeviceFreeBody], Field(max_length=1_000)] | None = Field(
        default=None, description="What is free on the worker's devices now, for those who look."
    )


class BeatOut(Wire):
    """What a beat brought."""

    lease_id: str = Field(description="The lease.")
    expires_at: Instant | None = Field(description="The new expiry; null for a stale lease.")
    directive: Directive = Field(
        description="What to do: `abort` for a stale lease or past `max_trial_duration_s`."
    )


class HeartbeatOut(Wire):
    """What the beats brought."""

    leases: list[BeatOut] = Field(description="One entry a lease, in the order sent.")


class ReleaseBody(Wire):
    """Gives a trial back."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "draining"}]}
    )

    reason: Name = Field(
        default="released",
        description="Why; `paused` is for rungs only, any other makes it pending.",
    )
    checkpoint_id: Name | None = Field(
        default=None, description="A committed checkpoint to go on from."
    )
