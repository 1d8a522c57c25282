"""What the worker asks of an engine: its devices and slots, and a place for each trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..devices import Device
from ..jobs import Job
from ..runner import Child


class NoEngine(Exception):
    """The engine that was asked for cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A trial that needs a place.

    Attributes:
        trial_id: for the worker's log.
        objective: its name.
        is_built_in: whether it is one of ours.
        resources: `gpu`, `gpu_memory_bytes`, `cpu` of the study; empty from a service that does not
            say.
    """

    trial_id: str
    objective: str
    is_built_in: bool
    resources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a trial runs.

    Attributes:
        device: as torch names it.
        environment: variables set for the process; they hide the other devices.
        start: starts the process of a job, in the thread that holds it. Raises OSError where it
            cannot.
    """

    device: str
    environment: Mapping[str, str]
    start: Callable[[Job], Child]


class Engine(Protocol):
    """Starts trials' processes.

    Attributes:
        devices: what the worker says it has.
        n_slots: how many trials it takes at once.
    """

    devices: Sequence[Device]
    n_slots: int

    def plan(self) -> Mapping[str, Any]:
        """What the slots run on, for the worker's first line."""

    def place(self, wanted: Wanted, slot: int) -> Place:
        """A place for a trial, 0 <= slot < n_slots; called in the worker's main thread."""

    def close(self) -> None:
        """Ends what is left."""
