"""The trials that a worker holds for slots that are still taken, each with its process made ready
where that is possible. Safe to use from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .ahead import Ahead
from .attempt import Attempt
from .heartbeat import Beat
from .starting import Ready, Starter


class Waiting:
    """Those trials.

    Args:
        ahead: which of them are held, and for how long.
        starter: has their processes made ready.
    """

    def __init__(self, ahead: Ahead, starter: Starter) -> None:
        self._ahead = ahead
        self._starter = starter
        self._lock = threading.Lock()
        self._ready: dict[str, Ready] = {}
        self._discarded: list[Attempt] = []

    @property
    def room(self) -> int:
        """How many more may be asked for now."""
        with self._lock:
            return self._ahead.room

    def note_ended(self, took_s: float, *, has_result: bool) -> None:
        """A trial has ended: the next ones may be like it."""
        with self._lock:
            self._ahead.note_ended(took_s, has_result=has_result)

    def add(self, granted: Mapping[str, Any]) -> None:
        """Holds a lease. Called where trials are taken too, by no other thread."""
        with self._lock:
            self._ahead.add(granted)

    def prepare(self, granted: Mapping[str, Any]) -> None:
        """Has the process of a trial that is held made ready."""
        ready = self._starter.prepared(granted)
        if ready is None:
            return
        with self._lock:
            if self._ahead.holds(granted["lease_id"]):
                self._ready[granted["lease_id"]] = ready
                return
        self._discard([ready])  # lost meanwhile

    def take(
        self, fits: Callable[[Mapping[str, Any]], bool]
    ) -> tuple[Mapping[str, Any], Ready | None] | None:
        """The lease that has waited longest of those that fit, held no more; and what was made
        ready for it.
        """
        with self._lock:
            granted = self._ahead.take(fits)
            return (
                None if granted is None else (granted, self._ready.pop(granted["lease_id"], None))
            )

    def drop(self, lease_id: str) -> None:
        """Forgets a lease that is lost."""
        with self._lock:
            self._ahead.drop(lease_id)
            ready = self._ready.pop(lease_id, None)
        self._discard([] if ready is None else [ready])

    def take_late(self, *, everything: bool = False) -> Sequence[Mapping[str, Any]]:
        """The leases that have waited too long, or all of them, held no more."""
        with self._lock:
            late = self._ahead.take_late(everything=everything)
            found = [self._ready.pop(granted["lease_id"], None) for granted in late]
        self._discard([ready for ready in found if ready is not None])
        return late

    def _discard(self, ready: Sequence[Ready]) -> None:
        for each in ready:
            each.attempt.discard()
        with self._lock:
            self._discarded = [each for each in self._discarded if not each.has_ended]
            self._discarded += [each.attempt for each in ready]

    def beats(self) -> list[Beat]:
        """A sign of life for each."""
        with self._lock:
            return self._ahead.beats()

    def close(self) -> None:
        """Ends all that was made ready; the leases are left to run out."""
        self.take_late(everything=True)
        for attempt in self._discarded:
            attempt.join()
