"""Where a worker's trials run, by real memory: what a claim may ask for, which device a trial gets,
what is learned from how it ended.

Safe to use from several threads: claims ask and hold, the main thread notes what trials take.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import fitting
from .devices import Device, MemoryReader
from .engines.base import Wanted
from .fitting import Held, Need, Space
from .log import Log
from .peaks import Peaks

TURNED_AWAY_S = 5.0
"""How long no claim is made after a trial came that fits nowhere, unless another one ends."""


class Placement:
    """The running trials with what each is expected to take.

    Args:
        found: the worker's devices, all of one kind.
        reader: of their memory.
        peaks: what earlier trials took.
        priors: bytes by objective, as their authors say.
        objectives: the names of those offered.
        n_slots: trials at once.
        threads: of one trial, where its study asks for no more cores.
        n_cores: of the CPU, for all trials together.
        borrowers: built-in objectives whose trials compute on more cores while some are idle.
        log: the worker's lines.

    Attributes:
        kind: of the devices: "gpu" or "cpu".
    """

    def __init__(
        self,
        found: Sequence[Device],
        reader: MemoryReader,
        peaks: Peaks,
        *,
        priors: Mapping[str, int],
        objectives: Sequence[str],
        n_slots: int,
        threads: int,
        n_cores: int,
        borrowers: Collection[str] = (),
        log: Log,
    ) -> None:
        self._found = found
        self.kind = found[0].kind
        self._reader = reader
        self._peaks = peaks
        self._priors = priors
        self._objectives = list(objectives)
        self._threads = threads
        self._n_cores = max(n_cores, n_slots * threads)
        # Not what the slots leave over, where the user has said how many threads a trial has; and
        # slots beyond the cores have none to lend.
        self._n_lendable = min(n_cores, n_slots * threads)
        self._borrowers = frozenset(borrowers)
        self._borrowing: set[str] = set()
        self._log = log
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._objective_of: dict[str, str] = {}
        self._peak_of: dict[str, int] = {}
        self._shared: set[str] = set()
        self._idle_free: dict[int, int] = {}
        self._without_room: list[str] = []
        self._ask_again_at = -math.inf

    def ask(self, n_free: int) -> dict[str, Any] | None:
        """What a claim says for `n_free` free slots: how many trials of which objectives fit now,
        and what is free; None when none does.
        """
        with self._lock:
            if time.monotonic() < self._ask_again_at:
                return None
            spaces, held = self._spaces(), list(self._held.values())
            needs = {name: self._need(name, 0, {}) for name in self._objectives}
            counts = {
                name: fitting.how_many(need, spaces, held, self._n_cores, n_free)
                for name, need in needs.items()
            }
            self._say({name for name, count in counts.items() if count == 0})
            fitting_ones = [name for name, count in counts.items() if count > 0]
            if not fitting_ones:
                return None
            asked: dict[str, Any] = {
                "max_leases": min(counts[name] for name in fitting_ones),
                "devices_free": self._devices_free(spaces, held),
            }
            # Else it is what the worker registered, and stays so when it registers anew.
            if len(fitting_ones) < len(self._objectives):
                asked["objectives"] = fitting_ones
            return asked

    def free(self) -> list[dict[str, Any]]:
        """What is free on each registered device now, beside what is kept for the trials on it."""
        with self._lock:
            return self._devices_free(self._spaces(), list(self._held.values()))

    def _say(self, without_room: set[str]) -> None:
        """Tells once that trials of some objectives wait for room."""
        names = sorted(without_room)
        if names != self._without_room:
            if names:
                self._log("no_room", objectives=names, running=len(self._held))
            self._without_room = names

    def hold(self, wanted: Wanted, *, may_wait: bool = False) -> bool:
        """Holds what a trial is expected to take; False when it fits nowhere now.

        Args:
            may_wait: whether it then waits here. If not, no claim is made for a while: the same
                trial would come again at once.
        """
        need = self._need(wanted.objective, wanted.min_memory_bytes, wanted.resources)
        with self._lock:
            spaces, held = self._spaces(), list(self._held.values())
            indices = fitting.choose_all(need, spaces, held, self._n_cores)
            if not indices:
                if not may_wait:
                    self._ask_again_at = time.monotonic() + TURNED_AWAY_S
                return False
            beside = [
                lease_id
                for lease_id, other in self._held.items()
                if set(other.indices) & set(indices)
            ]
            if beside:
                self._shared.update([wanted.lease_id, *beside])
            self._held[wanted.lease_id] = fitting.hold(
                need, *(space for space in spaces if space.index in indices)
            )
            self._objective_of[wanted.lease_id] = wanted.objective
            if wanted.is_built_in and wanted.objective in self._borrowers:
                self._borrowing.add(wanted.lease_id)
            return True

    def held(self, lease_id: str) -> Held:
        """What a lease holds; KeyError when there is none."""
        with self._lock:
            return self._held[lease_id]

    def note(self, lease_id: str, pids: Sequence[int], rss_bytes: int) -> None:
        """Notes what a running trial's processes take now."""
        used = self._reader.gpu_bytes(pids) if self.kind == "gpu" else rss_bytes
        with self._lock:
            if (held := self._held.get(lease_id)) is not None:
                if used is not None:  # of all its devices: what is expected is that of each
                    used = math.ceil(used / len(held.indices))
                self._held[lease_id] = replace(held, used_bytes=used)
                self._peak_of[lease_id] = max(self._peak_of.get(lease_id, 0), used or 0)

    def after_oom(self, lease_id: str, usage: Mapping[str, Any]) -> int | None:
        """Learns from a trial that ran out of memory; bytes that its next attempt needs. None: it
        had its device alone, and needs a larger one.
        """
        with self._lock:
            held, name = self._held[lease_id], self._objective_of[lease_id]
            need = fitting.after_oom(held.memory_bytes, self._peak(lease_id, usage))
            self._peaks.add(self.kind, name, need)
            total = next((s.total_bytes for s in self._spaces() if s.index == held.index), 0)
            is_alone = lease_id not in self._shared
            self._log(
                "memory_learned", objective=name, memory_bytes=need, had_device_alone=is_alone
            )
            return None if is_alone else min(need, int(fitting.WHOLE * total)) or None

    def end(self, lease_id: str, usage: Mapping[str, Any] | None) -> None:
        """A trial is over: what it held is free. `usage`: of one that came to its end, else None:
        what it took then says little.
        """
        with self._lock:
            if self._held.pop(lease_id, None) is None:
                return
            self._borrowing.discard(lease_id)
            self._ask_again_at = -math.inf
            name = self._objective_of.pop(lease_id)
            if usage is not None and (peak := self._peak(lease_id, usage)) > 0:
                self._peaks.add(self.kind, name, peak)
            self._peak_of.pop(lease_id, None)
            self._shared.discard(lease_id)

    def estimates(self) -> dict[str, int]:
        """Bytes that are expected of a trial, by objective, where anything is known."""
        known = {name: self._known(name) for name in self._objectives}
        return {name: size for name, size in known.items() if size}

    def _known(self, name: str) -> int:
        peaks = self._peaks.of(self.kind, name)
        return fitting.estimate(peaks, self._priors.get(name), 0) or 0

    def _peak(self, lease_id: str, usage: Mapping[str, Any]) -> int:
        field = "peak_memory_bytes" if self.kind == "cpu" else "peak_device_memory_bytes"
        return max(self._peak_of.get(lease_id, 0), int(usage.get(field) or 0))

    def _need(self, name: str, floor: int, resources: Mapping[str, Any]) -> Need:
        is_gpu = self.kind == "gpu"
        if is_gpu:
            floor = max(floor, int(resources.get("gpu_memory_bytes") or 0))
        wanted = float(resources.get("gpu") or 0.0) if is_gpu else 0.0
        peaks = self._peaks.of(self.kind, name)
        return Need(
            memory_bytes=fitting.estimate(peaks, self._priors.get(name), floor),
            gpu=min(1.0, wanted),
            cores=self._cores(resources),
            n_devices=max(1, math.ceil(wanted)),
        )

    def _cores(self, resources: Mapping[str, Any]) -> int:
        return max(self._threads, math.ceil(float(resources.get("cpu") or 1.0)))

    def cores_of(self, wanted: Wanted) -> int:
        """How many a trial has."""
        return self._cores(wanted.resources)

    def cores(self) -> dict[str, int]:
        """How many cores trials that borrow may compute on now, by lease: their own, and an equal
        share of those that no trial holds.
        """
        with self._lock:
            idle = max(0, self._n_lendable - sum(each.cores for each in self._held.values()))
            borrowing = [(key, held) for key, held in self._held.items() if key in self._borrowing]
            each, rest = divmod(idle, max(1, len(borrowing)))
            return {
                lease_id: held.cores + each + (1 if k < rest else 0)
                for k, (lease_id, held) in enumerate(borrowing)
            }

    def _spaces(self) -> list[Space]:
        """The devices' memory now; one that says nothing counts as free, as far as is known."""
        sizes = self._reader.sizes()
        devices = self._found if self.kind == "gpu" else self._found[:1]
        spaces = []
        for device in devices:
            index = device.index
            total, free = sizes.get(index, (device.memory_total_bytes or 0,) * 2)
            if all(index not in held.indices for held in self._held.values()):
                self._idle_free[index] = free
            spaces.append(
                Space(
                    index=index,
                    is_gpu=self.kind == "gpu",
                    total_bytes=total,
                    free_bytes=free,
                    idle_free_bytes=self._idle_free.get(index, free),
                )
            )
        return spaces

    def _devices_free(self, spaces: Sequence[Space], held: Sequence[Held]) -> list[dict[str, Any]]:
        """As a claim takes it: the memory and cores of each registered device."""
        has_sizes = all(space.total_bytes > 0 for space in spaces)
        n_cores = max(0, self._n_cores - sum(each.cores for each in held))
        sizes = {space.index: fitting.left(space, held) for space in spaces}
        if self.kind == "cpu":
            each, rest = divmod(sizes[0], len(self._found))
            memory = [each + (rest if k == 0 else 0) for k in range(len(self._found))]
        else:
            memory = [sizes[device.index] for device in self._found]
        cores, spare = divmod(n_cores, len(self._found))
        return [
            {
                "index": device.index,
                "memory_free_bytes": size if has_sizes else None,
                "cpu": cores + (1 if k < spare else 0),
            }
            for k, (device, size) in enumerate(zip(self._found, memory, strict=True))
        ]
