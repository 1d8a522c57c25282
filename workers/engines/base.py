"""What the worker asks of an engine: its devices and slots, and a place for each trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..devices import Device
from ..jobs import Job
from ..runner import Outcome
from ..session import Child


class NoEngine(Exception):
    """The engine that was asked for cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A trial that needs a place.

    Attributes:
        lease_id: what its place goes by.
        trial_id: for the worker's log.
        objective: its name.
        is_built_in: whether it is one of ours.
        resources: `gpu`, `gpu_memory_bytes`, `cpu` of the study; empty from a service that does not
            say.
        fuse_group: of the trials that were handed out together, to be trained as one; None: none.
        min_memory_bytes: the least that it needs of a device's memory, as its last attempt has
            shown.
    """

    lease_id: str
    trial_id: str
    objective: str
    is_built_in: bool
    resources: Mapping[str, Any] = field(default_factory=dict)
    min_memory_bytes: int = 0
    fuse_group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a trial runs.

    Attributes:
        device: as torch names it.
        environment: variables set for the process; they hide the other devices.
        start: starts the process of a job, in the thread that holds it. Raises OSError where it
            cannot.
        ends_clean: whether what the trial held is free once its process has said how it ended:
            it then does nothing but exit.
        n_cores: how many the trial may compute on, at least 1.
    """

    device: str
    environment: Mapping[str, str]
    start: Callable[[Job], Child]
    ends_clean: bool = False
    n_cores: int = 1


class Engine(Protocol):
    """Starts trials' processes. `ask`, `hold` and `end` are called from several threads.

    Attributes:
        devices: what the worker says it has.
        n_slots: how many trials it takes at once.
    """

    devices: Sequence[Device]
    n_slots: int

    def plan(self) -> Mapping[str, Any]:
        """What the slots run on, for the worker's first line."""

    def ask(self, n_free: int) -> Mapping[str, Any] | None:
        """What a claim says for `n_free` free slots: how many trials fit now (`max_leases`), and
        where that is known of which objectives, and what is free; None when none fits.
        """

    def free(self) -> Sequence[Mapping[str, Any]] | None:
        """What is free on each device now, as a claim says it; None where that is not known."""

    def hold(self, wanted: Wanted, *, may_wait: bool) -> bool:
        """Keeps room for a trial until `end`; False when it fits nowhere now.

        Args:
            may_wait: whether it then waits here; if not it is given back.
        """

    def place_ahead(self, wanted: Wanted) -> Place | None:
        """The place that a trial will have which waits for a slot, where that is sure before it is
        held: its process may be made ready there. None: it is not. In the worker's main thread.
        """

    def place(self, wanted: Wanted) -> Place:
        """The place of a trial that is held; called in the worker's main thread."""

    def note(self, lease_id: str, pid: int) -> None:
        """Looks at what a running trial takes; called every few seconds."""

    def cores(self) -> Mapping[str, int]:
        """How many cores trials may compute on now, by lease: only of those that take what other
        slots leave idle.
        """

    def end(self, lease_id: str, outcome: Outcome | None = None) -> int | None:
        """A trial is over, or never began: what it held is free.

        Returns:
            After one that ran out of memory the bytes that its next attempt needs; None where only
            a larger device will do, or that is not known.
        """

    def close(self) -> None:
        """Ends what is left."""
