"""What the worker runs on: GPUs as NVML tells, else the CPU's cores. Never imports torch."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


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
    """What the slots run on, in words, equal ones together: `2 x cpu core (x86_64, 5.8 GiB)`.

    Several slots on one GPU share its memory.
    """
    per_slot = [found[slot % len(found)] for slot in range(n_slots)]
    said = Counter(_said(device) for device in per_slot)
    return [f"{n} x {what}" for what, n in said.items()]


def _said(device: Device) -> str:
    name = "cpu core" if device.kind == "cpu" else f"gpu {device.index}"
    total = device.memory_total_bytes
    known = (device.model, f"{total / 2**30:.1f} GiB" if total else "")
    about = ", ".join(part for part in known if part)
    return f"{name} ({about})" if about else name


def of_slot(slot: int, found: Sequence[Device]) -> tuple[str, Mapping[str, str]]:
    """The device of a slot as torch names it, and the environment that hides the other ones."""
    device = found[slot % len(found)]
    if device.kind == "cpu":
        return "cpu", {"CUDA_VISIBLE_DEVICES": ""}
    return "cuda:0", {"CUDA_VISIBLE_DEVICES": str(device.index)}
