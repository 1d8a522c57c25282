"""Which worker may run which study: devices, memory and data sets. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ..domain.study import Resources, Study
from ..domain.worker import Device, ObjectiveOffer, Worker
from .views import DeviceFree

WORKER_ALIVE = timedelta(minutes=5)
"""How long after its last sign of life a worker counts as one that may still take trials."""


def offers_of(worker: Worker) -> Mapping[str, ObjectiveOffer]:
    """The worker's objectives by name."""
    return {offer.name: offer for offer in worker.objectives}


def may_use_data(study: Study, offers: Mapping[str, ObjectiveOffer]) -> bool:
    """Whether the worker has the data set that the study's first completed trial pinned.

    A worker that does not say which data it has is trusted to find them.
    """
    objective = study.definition.objective
    if study.data_digest is None or objective is None or objective.name not in offers:
        return True
    digests = {entry.get("digest") for entry in offers[objective.name].data}
    return not digests or study.data_digest in digests


def devices_cover(
    need: Resources, devices: Sequence[Device], free: Sequence[DeviceFree] | None
) -> bool:
    """Whether a worker's devices cover what one trial needs; `free` is what it says is free now."""
    gpus = [device for device in devices if device.kind == "gpu"]
    if need.gpu > 0 or need.gpu_memory_bytes > 0:
        if need.gpu > max(1, len(gpus)) or not gpus:
            return False
        memory = _free_memory(gpus, free)
        large = [have for have in memory if have is None or have >= need.gpu_memory_bytes]
        if len(large) < n_gpus(need):
            return False
    if free is not None and devices and not _of_devices(devices, free):
        return False
    cores = free_cores(devices, free)
    return cores is None or cores >= need.cpu


def _of_devices(devices: Sequence[Device], free: Sequence[DeviceFree]) -> list[DeviceFree]:
    """What is said of registered devices; all of it where none is registered."""
    known = {device.index for device in devices}
    return [entry for entry in free if entry.index in known or not known]


def free_cores(devices: Sequence[Device], free: Sequence[DeviceFree] | None) -> float | None:
    """Cores that a worker says are free on its devices; None where it does not say."""
    said = [entry.cpu for entry in _of_devices(devices, free or ()) if entry.cpu is not None]
    return sum(said) if said else None


def n_gpus(need: Resources) -> int:
    """GPUs that one trial has at the same time: above one they are whole ones."""
    return max(1, math.ceil(need.gpu))


def memory_of(worker: Worker, free: Sequence[DeviceFree] | None = None) -> int | None:
    """Bytes of memory that a trial finds on a worker; None where they are not known.

    Which of its devices a trial runs on is the worker's affair: its largest GPU is taken, and where
    it has none all the memory of its cores.

    Args:
        free: what the worker says is free now; None: all that it has registered.
    """
    gpus = [device for device in worker.devices if device.kind == "gpu"]
    if gpus:
        return max((size for size in _free_memory(gpus, free) if size is not None), default=None)
    cores = _free_memory(worker.devices, free)
    if not cores or None in cores:
        return None
    return sum(size for size in cores if size is not None)


def n_that_fit(
    need: Resources, devices: Sequence[Device], free: Sequence[DeviceFree] | None
) -> int | None:
    """How many trials of such a need find room at once in what a worker says is free of its GPUs'
    memory; None where that does not bound them.
    """
    gpus = [device for device in devices if device.kind == "gpu"]
    if free is None or need.gpu_memory_bytes <= 0:
        return None
    sizes = _free_memory(gpus, free)
    if None in sizes:
        return None
    room = [size // need.gpu_memory_bytes for size in sizes if size is not None]
    if need.gpu > 1:
        return sum(1 for each in room if each > 0) // n_gpus(need)
    return sum(room)


def could_run(worker: Worker, study: Study, *, min_memory_bytes: int) -> bool:
    """Whether a worker could be given a trial of the study that needs so much memory.

    One that the service drains could not. One that a person drains, or that is ending, may be back
    soon: it counts for as long as it counts as alive.
    """
    objective, offers = study.definition.objective, offers_of(worker)
    return (
        worker.drain_reason is None
        and objective is not None
        and objective.name in offers
        and may_use_data(study, offers)
        and devices_cover(study.definition.resources, worker.devices, None)
        and (memory_of(worker) or 0) >= min_memory_bytes
    )


def is_alive(worker: Worker, now: datetime) -> bool:
    """Whether a worker has given a sign of life lately."""
    return now - worker.last_seen_at <= WORKER_ALIVE


def _free_memory(devices: Sequence[Device], free: Sequence[DeviceFree] | None) -> list[int | None]:
    if free is None:
        return [device.memory_total_bytes for device in devices]
    said = {entry.index: entry.memory_free_bytes for entry in free}
    return [said[device.index] for device in devices if device.index in said]
