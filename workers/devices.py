"""What the worker runs on: GPUs as NVML tells, else the CPU's cores. Never imports torch."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READ_EVERY_S = 1.0
"""How old a reading of the free memory may be."""


class NoSuchDevice(ValueError):
    """A device that was asked for is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device. `kind` is "cpu" (a core) or "gpu"; memory in bytes, None where unknown."""

    index: int
    kind: str
    model: str = ""
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None

    def as_registered(self) -> dict[str, Any]:
        """As the service takes it."""
        return {
            "index": self.index,
            "kind": self.kind,
            "model": self.model,
            "memory_total_bytes": self.memory_total_bytes,
            "memory_free_bytes": self.memory_free_bytes,
        }


def find(wanted: str = "auto") -> list[Device]:
    """The devices to use.

    Args:
        wanted: "auto" (the GPUs where there are any, else the cores), "cpu", "gpu", or the
            numbers of GPUs, e.g. "0,2" or "cuda:0,cuda:2".

    Raises:
        NoSuchDevice: one that was asked for is not there.
    """
    if wanted == "cpu":
        return cores()
    found = gpus()
    if wanted in ("auto", ""):
        return found or cores()
    if wanted in ("gpu", "cuda"):
        chosen = found
    else:
        numbers = _numbers(wanted)
        chosen = [gpu for gpu in found if gpu.index in numbers]
        missing = sorted(numbers - {gpu.index for gpu in chosen})
        if missing:
            raise NoSuchDevice(f"there is no GPU {missing[0]}; found {len(found)}")
    if not chosen:
        raise NoSuchDevice("there is no GPU here")
    return chosen


def _numbers(wanted: str) -> set[int]:
    try:
        return {int(each.strip().removeprefix("cuda:")) for each in wanted.split(",")}
    except ValueError as error:
        raise NoSuchDevice(
            f"devices are auto, cpu, gpu or numbers such as 0,1; not {wanted!r}"
        ) from error


def cores() -> list[Device]:
    """The CPU's cores that this process may use, each with its share of the memory."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    n_cores = n_cores or 1
    total, free = _memory()
    return [
        Device(
            index=index,
            kind="cpu",
            model=platform.machine(),
            memory_total_bytes=total // n_cores if total else None,
            memory_free_bytes=free // n_cores if free else None,
        )
        for index in range(n_cores)
    ]


def _memory() -> tuple[int | None, int | None]:
    """The machine's memory and what of it is available, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes["MemTotal"], sizes["MemAvailable"]
    except (OSError, LookupError, ValueError):
        return None, None


def gpus() -> list[Device]:
    """NVIDIA's GPUs that this process may use; none without the driver or its Python package."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(pynvml, index) for index in _visible(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        pynvml.nvmlShutdown()


def _visible(count: int) -> Sequence[int]:
    """The GPUs that `CUDA_VISIBLE_DEVICES` leaves; names of another form are taken for all."""
    limit = os.environ.get("CUDA_VISIBLE_DEVICES")
    if limit is None:
        return range(count)
    listed = [each.strip() for each in limit.split(",") if each.strip()]
    if not all(each.lstrip("-").isdigit() for each in listed):
        return range(count)
    return [int(each) for each in listed if 0 <= int(each) < count]


def _gpu(pynvml: Any, index: int) -> Device:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    model = pynvml.nvmlDeviceGetName(handle)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Device(
        index=index,
        kind="gpu",
        model=model.decode() if isinstance(model, bytes) else str(model),
        memory_total_bytes=int(memory.total),
        memory_free_bytes=int(memory.free),
    )


def plan(found: Sequence[Device], n_slots: int) -> list[str]:
    """What the slots run on, in words: `2 x cpu core (x86_64, 5.8 GiB)`.

    Slots are no part of a device: a trial goes where its memory fits.
    """
    if found[0].kind == "cpu":
        return [f"{n_slots} x {_said(found[0])}"]
    return [f"{n_slots} over {_listed(found)}"]


def _listed(found: Sequence[Device]) -> str:
    return " and ".join(_said(device) for device in found)


def _said(device: Device) -> str:
    name = "cpu core" if device.kind == "cpu" else f"gpu {device.index}"
    total, free = device.memory_total_bytes, device.memory_free_bytes
    size = said_size(total) if total else ""
    unused = f"{said_size(free)} free" if free is not None else ""
    about = ", ".join(part for part in (device.model, size, unused) if part)
    return f"{name} ({about})" if about else name


def said_size(size_bytes: int) -> str:
    """A size for people: `5.8 GiB`, `48 MiB`."""
    is_large = size_bytes >= 2**30
    return f"{size_bytes / 2**30:.1f} GiB" if is_large else f"{size_bytes / 2**20:.0f} MiB"


def of_index(index: int, kind: str, *also: int) -> tuple[str, Mapping[str, str]]:
    """A device as torch names it, and the environment that hides all but it and `also`."""
    if kind == "cpu":
        return "cpu", {"CUDA_VISIBLE_DEVICES": ""}
    return "cuda:0", {"CUDA_VISIBLE_DEVICES": ",".join(map(str, (index, *also)))}


class MemoryReader:
    """Reads what is free on a worker's devices. Cheap: a reading is kept for a second, and the
    driver's library stays loaded. Safe to use from several threads.

    Args:
        found: the worker's devices, all of one kind.
        now: a clock that never goes back, in seconds.
    """

    def __init__(self, found: Sequence[Device], now: Callable[[], float] = time.monotonic) -> None:
        self._gpus = [device.index for device in found if device.kind == "gpu"]
        self._now = now
        self._lock = threading.Lock()
        self._read_at = -math.inf
        self._sizes: dict[int, tuple[int, int]] = {}
        self._driver: Any = _loaded() if self._gpus else None

    def sizes(self) -> dict[int, tuple[int, int]]:
        """Total and free bytes by index of the GPU, by 0 for the memory of all cores. A device that
        says nothing is left out.
        """
        with self._lock:
            if self._now() - self._read_at >= READ_EVERY_S:
                self._sizes, self._read_at = self._read(), self._now()
            return self._sizes

    def _read(self) -> dict[int, tuple[int, int]]:
        if not self._gpus:
            total, free = _memory()
            return {} if total is None or free is None else {0: (total, free)}
        if self._driver is None:
            return {}
        sizes = {}
        for index in self._gpus:
            with contextlib.suppress(self._driver.NVMLError):
                gpu = _gpu(self._driver, index)
                if gpu.memory_total_bytes is not None and gpu.memory_free_bytes is not None:
                    sizes[index] = (gpu.memory_total_bytes, gpu.memory_free_bytes)
        return sizes

    def gpu_bytes(self, pids: Collection[int]) -> int | None:
        """What processes hold of the GPUs' memory; None where the driver does not know them, as in
        a container that numbers its processes anew.
        """
        if self._driver is None:
            return None
        used = []
        for index in self._gpus:
            with contextlib.suppress(self._driver.NVMLError):
                handle = self._driver.nvmlDeviceGetHandleByIndex(index)
                for process in self._driver.nvmlDeviceGetComputeRunningProcesses(handle):
                    if process.pid in pids and process.usedGpuMemory is not None:
                        used.append(int(process.usedGpuMemory))
        return sum(used) if used else None


def _loaded() -> Any:
    """The driver's package, its library loaded until the process ends; None where it fails."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        return None
    except pynvml.NVMLError:
        return None
    return pynvml


def torch_trouble() -> str:
    """What keeps torch from the GPUs, in a few words; empty when nothing does."""
    try:
        import torch
    except ImportError as error:
        return f"torch cannot be loaded ({error})"
    return "" if torch.cuda.is_available() else "torch has no CUDA"
