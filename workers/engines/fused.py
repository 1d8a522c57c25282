"""Has trials that may be trained as one share a process, and with it a slot of another engine's.

A slot's process takes up to so many trials of one objective. Which of them are trained as one the
process finds out: only there is the objective's code. Those that fit no others are trained in turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..devices import Device
from ..group import Group
from ..group_child import LOST
from ..jobs import Job
from ..log import Log
from ..runner import Outcome
from ..session import Child
from .base import NoEngine, Place, Wanted
from .local import LocalEngine

OFF = "off"
ON_A_GPU = 32
"""Trials in a process on a GPU where nothing else is said: its kernels are too short to fill it
with one. On a CPU several at once were from 0.7 to 1.3 times as fast as one by one.
"""
MOST_FUSED = 256
"""Trials in a process at most."""
MOST_STACKS = 8
"""A process with so many sets of trials gets no more: they would only wait for one another. Batch
sizes of `mnist-mlp` from 16 to 128 are in 7.
"""
OPEN_S = 60.0
"""How long a process is given new trials for those that have ended, where the worker offers other
objectives too: then it comes to an end, and the slot is for whoever is next.
"""
COOL_S = 60.0
"""How long nothing is fused after a group was lost: whichever of its trials has ended it is alone
when it does so again.
"""


def how_many(said: str, devices: Sequence[Device]) -> int:
    """How many trials `--fuse` has share a process; 1: none do.

    Raises:
        NoEngine: it says something else than auto, off or a number.
    """
    if said == "auto":
        return ON_A_GPU if devices[0].kind == "gpu" else 1
    if said == OFF:
        return 1
    if not said.isdecimal() or not 1 <= int(said) <= MOST_FUSED:
        raise NoEngine(f"--fuse is auto, off or a number from 1 to {MOST_FUSED}, not {said!r}")
    return int(said)


@dataclass(slots=True)
class Shared:
    """A slot's process with its trials, by their leases.

    Attributes:
        key: what it holds the slot by: its fuse group.
        group: None until the first trial is placed.
    """

    key: str
    objective: str
    opened_at: float
    place: Place | None = None
    group: Group | None = None
    lanes: set[str] = field(default_factory=set)

    @property
    def is_spent(self) -> bool:
        """Whether it takes no more trials."""
        return self.group is not None and (self.group.is_spent or not self.group.is_alive)


class FusedEngine:
    """Fuses what another engine would run one by one.

    Args:
        inner: where processes run.
        most: trials in a process.
        fusable: the objectives whose trials may be trained as one.
        offered: all that the worker offers.
        folder: the user's.
    """

    def __init__(
        self,
        inner: LocalEngine,
        most: int,
        *,
        fusable: Collection[str],
        offered: Collection[str],
        folder: str | None,
        log: Log,
    ) -> None:
        self.devices = inner.devices
        self.n_slots = inner.n_slots * most
        self._inner, self._most, self._log = inner, most, log
        self._fusable = frozenset(fusable)
        self._has_others = len(set(offered)) > 1
        self._folder = folder or ""
        self._lock = threading.RLock()
        self._shared: dict[str, Shared] = {}
        self._of_lease: dict[str, Shared] = {}
        self._singles: set[str] = set()
        self._idle: list[Shared] = []
        self._width = dict.fromkeys(self._fusable, most)
        self._cool_until = 0.0

    def plan(self) -> Mapping[str, Any]:
        """What the slots run on, and how many trials of which objectives share one."""
        return {**self._inner.plan(), "fuse": dict.fromkeys(sorted(self._fusable), self._most)}

    def ask(self, n_free: int) -> Mapping[str, Any] | None:
        """As many trials as there are slots free, of an objective that fuses a whole group for
        each; where no slot is free, trials for those that have left their groups.
        """
        with self._lock:
            self._look()
            n_places = min(n_free, self._inner.n_slots - len(self._shared) - len(self._singles))
            room = self._inner.ask(n_places) if n_places > 0 else None
            if room is None:
                return self._refill(n_free)
            return {**room, **self._groups(room, n_free)}

    def free(self) -> Sequence[Mapping[str, Any]]:
        """What is free now, as of one trial a slot."""
        return self._inner.free()

    def _groups(self, room: Mapping[str, Any], n_free: int) -> dict[str, Any]:
        if time.monotonic() < self._cool_until:
            return {}
        names = self._fusable.intersection(room.get("objectives", self._fusable))
        each = n_free // room["max_leases"]
        return {"fuse": {name: min(self._width[name], each) for name in sorted(names)}}

    def _refill(self, n_free: int) -> dict[str, Any] | None:
        """Asks for trials to take the places of those that have ended."""
        now = time.monotonic()
        for shared in self._shared.values():
            is_open = not self._has_others or now - shared.opened_at < OPEN_S
            n_lanes = min(n_free, self._width[shared.objective] - len(shared.lanes))
            if is_open and n_lanes > 0 and not shared.is_spent and now >= self._cool_until:
                asked = {"objectives": [shared.objective], "fuse_group": shared.key}
                return {"max_leases": n_lanes, **asked}
        return None

    def _look(self) -> None:
        """Notes what the processes take and have found out."""
        for shared in self._shared.values():
            if shared.group is None or not shared.lanes:
                continue
            self._inner.note(shared.key, shared.group.pid)
            n_lanes, n_stacks = len(shared.lanes), shared.group.n_stacks or 0
            width = self._width[shared.objective]
            if n_stacks > MOST_STACKS:
                # So many that a group of their kind is in as many sets as may be.
                width = max(1, n_lanes * MOST_STACKS // n_stacks)
            elif n_lanes >= width and 0 < n_stacks < MOST_STACKS:
                width = min(self._most, 2 * width)
            self._width[shared.objective] = width

    def hold(self, wanted: Wanted, *, may_wait: bool) -> bool:
        """Keeps a place in a process, or room for a process."""
        with self._lock:
            if wanted.objective not in self._fusable or time.monotonic() < self._cool_until:
                return self._hold_single(wanted, may_wait=may_wait)
            shared = self._with_place(wanted) or self._opened(wanted, may_wait=may_wait)
            if shared is None:
                return False
            shared.lanes.add(wanted.lease_id)
            self._of_lease[wanted.lease_id] = shared
            return True

    def _hold_single(self, wanted: Wanted, *, may_wait: bool) -> bool:
        if not self._has_slot() or not self._inner.hold(wanted, may_wait=may_wait):
            return False
        self._singles.add(wanted.lease_id)
        for idle in self._idle:
            self._end(idle)  # its memory is for others now
        self._idle.clear()
        return True

    def _has_slot(self) -> bool:
        return len(self._shared) + len(self._singles) < self._inner.n_slots

    def _with_place(self, wanted: Wanted) -> Shared | None:
        """The trial's own group; else, where it has none or there is no slot for it, the one of its
        objective with fewest trials.
        """
        found = [
            each
            for each in self._shared.values()
            if each.objective == wanted.objective
            and len(each.lanes) < self._most
            and not each.is_spent
        ]
        own = next((each for each in found if each.key == wanted.fuse_group), None)
        if own is not None or (wanted.fuse_group and self._has_slot()):
            return own
        return min(found, key=lambda each: len(each.lanes), default=None)

    def _opened(self, wanted: Wanted, *, may_wait: bool) -> Shared | None:
        key = wanted.fuse_group or wanted.lease_id
        # Borrows no cores: those are for one trial at a time.
        holding = replace(wanted, lease_id=key, is_built_in=False)
        if not self._has_slot() or not self._inner.hold(holding, may_wait=may_wait):
            return None
        shared = Shared(key, wanted.objective, time.monotonic())
        self._shared[key] = shared
        return shared

    def place_ahead(self, wanted: Wanted) -> None:
        """Not known before the trial is held."""

    def place(self, wanted: Wanted) -> Place:
        """The place in a process, which is started where there is none."""
        with self._lock:
            shared = self._of_lease.get(wanted.lease_id)
            if shared is None:
                return self._inner.place(wanted)
            if shared.place is None:
                # Not from a nursery: that is for one trial at a time.
                holding = replace(wanted, lease_id=shared.key, is_built_in=False)
                shared.place = self._inner.place(holding)
                shared.group = self._group(shared, shared.place)
            place, group = shared.place, shared.group

        def start(job: Job) -> Child:
            if group is None:
                raise ChildProcessError("the process of the trial's group cannot be started")
            return group.join(job)

        return replace(place, start=start)

    def _group(self, shared: Shared, place: Place) -> Group | None:
        """A process that waits for trials of the same kind, else a new one."""
        for idle in self._idle:
            is_like = idle.objective == shared.objective and idle.place is not None
            if is_like and idle.place and idle.place.environment == place.environment:
                self._idle.remove(idle)
                return idle.group
        try:
            return Group({**self._inner.environment, **place.environment}, self._folder)
        except OSError as error:
            self._log("group_failed", objective=shared.objective, detail=str(error))
            return None

    def note(self, lease_id: str, pid: int) -> None:
        """Looks at what a trial with a process of its own takes."""
        self._inner.note(lease_id, pid)

    def cores(self) -> Mapping[str, int]:
        """As of one trial a slot: trials that are trained as one take none but their slot's."""
        return self._inner.cores()

    def end(self, lease_id: str, outcome: Outcome | None = None) -> int | None:
        """A trial is over, or never began. A process without trials waits for others."""
        with self._lock:
            shared = self._of_lease.pop(lease_id, None)
            if shared is None:
                self._singles.discard(lease_id)
                return self._inner.end(lease_id, outcome)
            shared.lanes.discard(lease_id)
            if shared.group is not None and outcome is not None and outcome.failure is not None:
                shared.group.is_spent = True
                self._note_loss(shared, outcome.failure.kind)
            return None if shared.lanes else self._emptied(shared, outcome)

    def _emptied(self, shared: Shared, last: Outcome | None) -> int | None:
        """Frees the slot of a process without trials; after a last one that ran out of memory, the
        bytes that it needs.
        """
        del self._shared[shared.key]
        is_oom = last is not None and last.failure is not None and last.failure.kind == "oom"
        needed_bytes = self._inner.end(shared.key, last if is_oom else None)
        if shared.is_spent:
            self._end(shared)
        elif shared.group is not None:
            self._idle.append(shared)
        return needed_bytes

    def _note_loss(self, shared: Shared, kind: str) -> None:
        if kind == LOST and time.monotonic() >= self._cool_until:
            self._log("group_lost", objective=shared.objective, fuse_group=shared.key)
        if kind == LOST:
            self._cool_until = time.monotonic() + COOL_S

    def _end(self, shared: Shared) -> None:
        if shared.group is not None:
            shared.group.close()
            shared.group = None

    def close(self) -> None:
        """Ends what is left."""
        with self._lock:
            for shared in [*self._shared.values(), *self._idle]:
                self._end(shared)
        self._inner.close()
