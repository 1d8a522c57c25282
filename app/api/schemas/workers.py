"""Requests and answers about workers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from ..operation import ref
from .common import Count, Flag, Instant, Line, Name, Step, Wire, at_most, small

Labels = Annotated[dict[str, Line], at_most(64)]
SmallObject = Annotated[dict[str, Any], at_most(1_000, are_shown=False), small()]
OBJECTIVE_DOC = (
    "Objectives it can evaluate: each a name, or an object with the schemas of what it takes."
)


class DeviceBody(Wire):
    """A device of a worker."""

    index: Count = Field(description="Counts from 0 within its kind.")
    kind: Literal["cpu", "gpu"] = Field(description="What it is.")
    model: Line = Field(default="", description="Model name.")
    memory_total_bytes: Count | None = Field(default=None, description="Memory, where known.")
    memory_free_bytes: Count | None = Field(default=None, description="Free memory, where known.")


class DataSetBody(Wire):
    """A data set at hand."""

    dataset: Name = Field(description="Name of the data set.")
    digest: Name = Field(description="Digest of its content, in hex.")


class OfferBody(Wire):
    """An objective that a worker can evaluate."""

    name: Name = Field(description="The objective's name.")
    version: Line = Field(default="", description="Its version.")
    params_schema: SmallObject | None = Field(
        default=None, description="JSON schema of its parameters; at most 64 KiB."
    )
    options_schema: SmallObject | None = Field(
        default=None, description="JSON schema of its options; at most 64 KiB."
    )
    metrics: Annotated[dict[str, Literal["minimize", "maximize"]], at_most(64)] = Field(
        default_factory=dict, description="Metrics it reports, with the better direction."
    )
    steps: Line = Field(default="", description="What a step is, in words.")
    checkpoints: Flag = Field(default=False, description="Whether it can save and resume.")
    max_resource: Step | None = Field(default=None, description="Steps of a full evaluation.")
    data: Annotated[list[DataSetBody], Field(max_length=64)] = Field(
        default_factory=list, description="Data sets at hand for it."
    )


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Offer = Annotated[
    OfferBody,
    BeforeValidator(_named),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1, "maxLength": 200}, ref(OfferBody)]}
    ),
]


class RegisterBody(Wire):
    """A worker introduces itself."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "gpu-a",
                    "boot_id": "2026-11-23T20:00:00-4711",
                    "devices": [{"index": 0, "kind": "cpu"}],
                    "objectives": ["function", {"name": "mnist-mlp", "version": "2"}],
                    "slots": 2,
                }
            ]
        },
    )

    name: Name = Field(description="Its name; the same name keeps its id.")
    boot_id: Name = Field(description="Names this start of its process.")
    labels: Labels = Field(default_factory=dict, description="Words to find it by.")
    devices: list[DeviceBody] = Field(
        default_factory=list, description="What it runs on.", max_length=1_000
    )
    objectives: list[Offer] = Field(
        default_factory=list, description=OBJECTIVE_DOC, max_length=1_000
    )
    slots: Annotated[Step, Field(le=10_000)] = Field(
        default=1, description="Trials it runs at once."
    )


class WorkerChangesBody(Wire):
    """What of a worker can be changed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"draining": True}]})

    draining: Flag = Field(description="Whether it is given no more trials.")


class HeldLease(Wire):
    """A lease that a worker holds."""

    lease_id: str = Field(description="Id of the lease.")
    trial_id: str = Field(description="Its trial.")
    study_id: str = Field(description="The trial's study.")
    number: int = Field(description="The trial's number within its study.")
    study_name: str = Field(description="The study's name.")
    slot: int | None = Field(description="The worker's slot it was given for; null: not known.")
    acquired_at: Instant = Field(description="When the attempt began.")
    renewed_at: Instant = Field(description="When it was last heard of.")
    expires_at: Instant = Field(description="When it ends unless renewed.")
    last_step: int | None = Field(description="Highest step reported.")
    to_step: int | None = Field(description="The step that it may go on to, where that is known.")
    memory_bytes: int | None = Field(description="Memory in use at its last beat; null: not said.")
    utilisation: float | None = Field(
        description="Share of the device in use at its last beat, 0 to 1; null: not said."
    )


class DeviceOut(Wire):
    """A device of a worker."""

    index: int = Field(description="Counts from 0 within its kind.")
    kind: str = Field(description="`cpu` or `gpu`.")
    model: str = Field(description="Model name.")
    memory_total_bytes: int | None = Field(description="Memory, where known.")
    memory_free_bytes: int | None = Field(description="Free memory when it registered.")


class DeviceFreeOut(Wire):
    """What was free on a device."""

    index: int = Field(description="Index of the device.")
    memory_free_bytes: int = Field(description="Free memory.")


class OfferOut(Wire):
    """An objective that a worker can evaluate."""

    name: str = Field(description="The objective's name.")
    version: str = Field(description="Its version.")
    params_schema: dict[str, Any] | None = Field(description="JSON schema of its parameters.")
    options_schema: dict[str, Any] | None = Field(description="JSON schema of its options.")
    metrics: dict[str, str] = Field(description="Metrics it reports, with the better direction.")
    steps: str = Field(description="What a step is, in words.")
    checkpoints: bool = Field(description="Whether it can save and resume.")
    max_resource: int | None = Field(description="Steps of a full evaluation.")
    data: list[dict[str, str]] = Field(description="Data sets at hand for it.")


class WorkerOut(Wire):
    """A worker, and the times that it has to keep."""

    id: str = Field(description="Id of the worker, `wk_...`.")
    name: str = Field(description="Its name.")
    boot_id: str = Field(description="Names the present start of its process.")
    labels: dict[str, str] = Field(description="Words to find it by.")
    devices: list[DeviceOut] = Field(description="What it runs on.")
    devices_free: list[DeviceFreeOut] = Field(
        description="What was free on them at its last claim or beat that said so; empty before."
    )
    devices_free_at: Instant | None = Field(
        description="When it last said what is free on its devices."
    )
    objectives: list[OfferOut] = Field(description="What it can evaluate.")
    slots: int = Field(description="Trials it runs at once.")
    draining: bool = Field(description="Whether it is given no more trials.")
    drain_reason: str | None = Field(
        description="Why the service drains it; null where a person does."
    )
    n_infrastructure_failures: int = Field(
        description="Trials one after the other that failed on its infrastructure; drained at 3."
    )
    registered_at: Instant = Field(description="When it first registered.")
    last_seen_at: Instant = Field(description="When it was last heard of.")
    lease_ttl_s: float = Field(description="How long its leases last unless renewed.")
    heartbeat_s: float = Field(description="How often it should beat while it holds leases.")
    leases: list[HeldLease] = Field(description="The leases that it holds.")


class WorkerListOut(Wire):
    """A page of workers."""

    workers: list[WorkerOut] = Field(description="The workers of the page.")
    next_page_token: str | None = Field(description="For the next page; null on the last.")
