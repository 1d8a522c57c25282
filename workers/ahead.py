"""Trials held until one that runs ends, so that a short one is followed without a wait.

Between the end of a trial and the claim of the next lie two answers of the service, some twenty
milliseconds: nothing beside an hour, a fifth of a trial of a tenth of a second. So a worker whose
trials are short asks for the next ones while they run, and the service hands out only such as no
result could change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .devices import Device
from .heartbeat import Beat

SHORT_S = 2.0
"""Trials that take longer are not asked for ahead: the wait is under a hundredth of them, and what
is held here could run on another machine.
"""
PATIENCE_S = 5.0
"""How long a trial is held; then it is given back, for whoever has a slot."""


class Ahead:
    """The trials that wait, first come first. Not for several threads at once.

    Args:
        devices: of the worker; only where all are CPUs is anything held: their memory takes nearly
            every trial, while what a GPU has left is known when the last one is gone.
        n_slots: how many may be held.
    """

    def __init__(self, devices: Sequence[Device], n_slots: int) -> None:
        self._most = n_slots if all(device.kind == "cpu" for device in devices) else 0
        self._are_short = False
        self._held: list[tuple[float, Mapping[str, Any]]] = []

    @property
    def room(self) -> int:
        """How many more may be asked for now."""
        return max(0, self._most - len(self._held)) if self._are_short else 0

    def note_ended(self, took_s: float, *, has_result: bool) -> None:
        """A trial has ended: the next ones may be like it. One that failed asks for no haste: it
        may be the machine, which then gets no more.
        """
        self._are_short = has_result and took_s <= SHORT_S

    def add(self, granted: Mapping[str, Any]) -> None:
        """Holds a lease."""
        self._held.append((time.monotonic(), granted))

    def holds(self, lease_id: str) -> bool:
        """Whether it is one of those held."""
        return any(granted["lease_id"] == lease_id for _, granted in self._held)

    def take(self, fits: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any] | None:
        """The lease that has waited longest of those that fit, held no more."""
        for entry in self._held:
            if fits(entry[1]):
                self._held.remove(entry)
                return entry[1]
        return None

    def drop(self, lease_id: str) -> None:
        """Forgets a lease that is lost."""
        self._held = [entry for entry in self._held if entry[1]["lease_id"] != lease_id]

    def take_late(self, *, everything: bool = False) -> list[Mapping[str, Any]]:
        """The leases that have waited too long, or all of them, held no more."""
        until = time.monotonic() - PATIENCE_S
        late = [granted for since, granted in self._held if everything or since <= until]
        self._held = self._held[len(late) :]
        return late

    def beats(self) -> list[Beat]:
        """A sign of life for each."""
        return [Beat(lease_id=granted["lease_id"]) for _, granted in self._held]
