"""A worker: a program on some machine that claims trials; what it runs on and what it can
evaluate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a worker. `kind` is "cpu" or "gpu"; memory in bytes, None where unknown."""

    index: int
    kind: str
    model: str = ""
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOffer:
    """An objective that a worker can evaluate, with JSON schemas (draft 2020-12 subset) of what it
    takes.

    Attributes:
        metrics: names of the metrics it reports, with the direction in which each is better.
        data: data sets at hand for it: {"dataset": name, "digest": hex} each.
        checkpoints: whether it can save and resume.
        max_resource: steps of a full evaluation, where that does not depend on the point.
    """

    name: str
    version: str = ""
    params_schema: Mapping[str, Any] | None = None
    options_schema: Mapping[str, Any] | None = None
    metrics: Mapping[str, str] = field(default_factory=dict)
    steps: str = ""
    checkpoints: bool = False
    max_resource: int | None = None
    data: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A registered worker. `boot_id` names one start of its process.

    Attributes:
        drain_reason: why it is draining, where it was not a person who said so.
        free_memory: free bytes of a device by its index, as it last said with a claim or a beat.
        free_memory_at: when that was.
        n_infrastructure_failures: trials that failed on its infrastructure one after the other.
    """

    id: str
    name: str
    boot_id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    objectives: tuple[ObjectiveOffer, ...] = ()
    slots: int = 1
    draining: bool = False
    drain_reason: str | None = None
    n_infrastructure_failures: int = 0
    registered_at: datetime
    last_seen_at: datetime
    free_memory: Mapping[int, int] = field(default_factory=dict)
    free_memory_at: datetime | None = None
