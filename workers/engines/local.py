"""Runs trials on this machine: each where its memory fits, the built-in ones from nurseries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import devices, memory, processes
from ..devices import Device, MemoryReader
from ..jobs import Job
from ..log import Log
from ..nurseries import Nurseries, threads_of, trial_environment
from ..objectives.offers import BUILT_IN
from ..offers import Offers
from ..peaks import Peaks
from ..placement import Placement
from ..processes import Nursery
from ..runner import Outcome
from ..session import Child
from .base import Place, Wanted


class LocalEngine:
    """The engine of a worker that was told of no other.

    Args:
        wanted_devices: "auto", "cpu", "gpu", or numbers of GPUs such as "0,1".
        n_slots: trials at once; one for each device when None.
        offers: the objectives.
        peaks: what their earlier trials took.
        log: the worker's lines.

    Attributes:
        environment: of the trials' processes.

    Raises:
        NoSuchDevice: one that was asked for is not there.
    """

    def __init__(
        self, wanted_devices: str, n_slots: int | None, *, offers: Offers, peaks: Peaks, log: Log
    ) -> None:
        self.devices: Sequence[Device] = devices.find(wanted_devices)
        self.n_slots = n_slots or len(self.devices)
        self.environment = trial_environment(self.n_slots)
        self._threads = threads_of(self.environment)
        self._n_cores = len(devices.cores())
        self._placement = Placement(
            self.devices,
            MemoryReader(self.devices),
            peaks,
            priors=offers.memory,
            objectives=offers.names,
            n_slots=self.n_slots,
            threads=self._threads,
            n_cores=self._n_cores,
            borrowers=[name for name, built_in in BUILT_IN.items() if built_in.borrows],
            log=log,
        )
        self._targets = offers.targets
        self._nurseries = Nurseries(
            self.environment,
            self.n_slots,
            targets=offers.targets,
            folder=offers.folder,
            log=log,
        )

    def plan(self) -> Mapping[str, Any]:
        """What the slots run on, and what is expected of a trial, for the worker's first line."""
        expected = self._placement.estimates()
        return {
            "slots": devices.plan(self.devices, self.n_slots),
            "threads_each": self._threads,
            "cores": self._n_cores,
            "memory_each": {name: devices.said_size(size) for name, size in expected.items()},
        }

    def ask(self, n_free: int) -> Mapping[str, Any] | None:
        """As many trials as fit by memory, and what is free; None when none does."""
        return self._placement.ask(n_free)

    def free(self) -> Sequence[Mapping[str, Any]]:
        """What is free now, in memory and cores."""
        return self._placement.free()

    def hold(self, wanted: Wanted, *, may_wait: bool) -> bool:
        """Chooses a trial's device by memory."""
        return self._placement.hold(wanted, may_wait=may_wait)

    def place(self, wanted: Wanted) -> Place:
        """The device that was chosen, and a nursery where one saves the trial its imports."""
        held = self._placement.held(wanted.lease_id)
        device, environment = devices.of_index(held.index, self._placement.kind, *held.also)
        is_wide = held.cores > self._threads
        if is_wide:
            environment = {**environment, "OMP_NUM_THREADS": str(held.cores)}
        # A forked process has its threads counted already.
        is_forked = device == "cpu" and not is_wide
        nursery = self._nursery(wanted) if is_forked else None
        return self._at(wanted, device, environment, nursery)

    def place_ahead(self, wanted: Wanted) -> Place | None:
        """A process on the CPU that has as many threads as any."""
        is_wide = self._placement.cores_of(wanted) > self._threads
        if self._placement.kind != "cpu" or is_wide:
            return None
        nursery = self._nursery(wanted)
        device, environment = devices.of_index(self.devices[0].index, "cpu")
        return self._at(wanted, device, environment, nursery)

    def _nursery(self, wanted: Wanted) -> Nursery | None:
        """None of a command's: it may have the name of one of ours."""
        is_code = wanted.is_built_in or wanted.objective in self._targets
        return self._nurseries.of(wanted.objective) if is_code else None

    def _at(
        self, wanted: Wanted, device: str, environment: Mapping[str, str], nursery: Nursery | None
    ) -> Place:
        def start(job: Job) -> Child:
            return processes.start(job, self.environment, nursery)

        # What a user's has left to do at its exit is not known.
        ends_clean = nursery is not None and wanted.is_built_in
        return Place(
            device=device,
            environment=environment,
            start=start,
            ends_clean=ends_clean,
            n_cores=self._placement.cores_of(wanted),
        )

    def note(self, lease_id: str, pid: int) -> None:
        """Looks at the memory of a trial's process and all it started."""
        if pids := memory.family(pid):
            self._placement.note(lease_id, pids, memory.resident_bytes(pids))

    def cores(self) -> Mapping[str, int]:
        """Those of a trial's slot, and its share of what is idle."""
        return self._placement.cores()

    def end(self, lease_id: str, outcome: Outcome | None = None) -> int | None:
        """Learns from what a trial took, and frees it; what it needs after an `oom`."""
        needed, usage = None, None
        if outcome is not None and outcome.end is not None:
            usage = outcome.end.get("usage")
        elif outcome is not None and outcome.failure is not None and outcome.failure.kind == "oom":
            needed = self._placement.after_oom(lease_id, outcome.usage)
        self._placement.end(lease_id, usage)
        return needed

    def close(self) -> None:
        """Ends the nurseries."""
        self._nurseries.close()
