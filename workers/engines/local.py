"""Runs trials on this machine: each slot has a device, the built-in objectives have nurseries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import devices, processes
from ..devices import Device
from ..jobs import Job
from ..nurseries import Nurseries, trial_environment
from ..runner import Child
from .base import Place, Wanted


class LocalEngine:
    """The engine of a worker that was told of no other.

    Args:
        wanted_devices: "auto", "cpu", "gpu", or numbers of GPUs such as "0,1".
        n_slots: trials at once; one for each device when None.

    Raises:
        NoSuchDevice: one that was asked for is not there.
    """

    def __init__(self, wanted_devices: str = "auto", n_slots: int | None = None) -> None:
        self.devices: Sequence[Device] = devices.find(wanted_devices)
        self.n_slots = n_slots or len(self.devices)
        self._environment = trial_environment(self.n_slots)
        self._nurseries = Nurseries(self._environment)

    def plan(self) -> Mapping[str, Any]:
        """What the slots run on, for the worker's first line."""
        threads = int(self._environment["OMP_NUM_THREADS"])
        return {"slots": devices.plan(self.devices, self.n_slots), "threads_each": threads}

    def place(self, wanted: Wanted, slot: int) -> Place:
        """The slot's device, and a nursery where one saves the trial its imports."""
        device, environment = devices.of_slot(slot, self.devices)
        is_forked = device == "cpu" and wanted.is_built_in
        nursery = self._nurseries.of(wanted.objective) if is_forked else None

        def start(job: Job) -> Child:
            return processes.start(job, self._environment, nursery)

        return Place(device=device, environment=environment, start=start)

    def close(self) -> None:
        """Ends the nurseries."""
        self._nurseries.close()
