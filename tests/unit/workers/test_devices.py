"""What a worker runs on, with a driver that the test plays."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from workers import devices


class NVMLError(Exception):
    """As the driver's package names it."""


def _driver(n_gpus: int, *, is_broken: bool = False) -> ModuleType:
    def init() -> None:
        if is_broken:
            raise NVMLError("no driver")

    module = ModuleType("pynvml")
    module.__dict__.update(
        NVMLError=NVMLError,
        nvmlInit=init,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: n_gpus,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: f"GPU number {handle}",
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [
            SimpleNamespace(pid=11, usedGpuMemory=7),
            SimpleNamespace(pid=12, usedGpuMemory=8),
            SimpleNamespace(pid=13, usedGpuMemory=None),
        ],
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=80, free=70 + handle),
    )
    return module


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _driver(2))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", _driver(0, is_broken=True))


@pytest.mark.usefixtures("two_gpus")
def test_gpus_go_before_cores() -> None:
    found = devices.find("auto")
    assert [gpu.as_registered() for gpu in found] == [
        {
            "index": index,
            "kind": "gpu",
            "model": f"GPU number {index}",
            "memory_total_bytes": 80,
            "memory_free_bytes": 70 + index,
        }
        for index in (0, 1)
    ]


@pytest.mark.usefixtures("no_gpu")
def test_without_a_driver_there_are_cores() -> None:
    found = devices.find("auto")
    assert {device.kind for device in found} == {"cpu"}
    assert [device.index for device in found] == list(range(len(found)))


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("wanted", "indices"), [("gpu", [0, 1]), ("1", [1]), ("cuda:0", [0]), ("0, cuda:1", [0, 1])]
)
def test_gpus_can_be_chosen(wanted: str, indices: list[int]) -> None:
    assert [gpu.index for gpu in devices.find(wanted)] == indices


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("wanted", ["2", "tpu", "0,5"])
def test_a_device_that_is_not_there_is_named(wanted: str) -> None:
    with pytest.raises(devices.NoSuchDevice):
        devices.find(wanted)


@pytest.mark.usefixtures("no_gpu")
def test_gpus_cannot_be_had_where_there_are_none() -> None:
    with pytest.raises(devices.NoSuchDevice, match="no GPU"):
        devices.find("gpu")


@pytest.mark.usefixtures("two_gpus")
def test_hidden_gpus_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [gpu.index for gpu in devices.find("auto")] == [1]


def test_a_trial_sees_its_own_gpu_only() -> None:
    assert devices.of_index(1, "gpu") == ("cuda:0", {"CUDA_VISIBLE_DEVICES": "1"})


def test_a_trial_on_the_cpu_sees_no_gpu() -> None:
    assert devices.of_index(0, "cpu") == ("cpu", {"CUDA_VISIBLE_DEVICES": ""})


def test_the_plan_says_what_the_slots_run_on() -> None:
    found = [
        devices.Device(
            index=k,
            kind="gpu",
            model="H100",
            memory_total_bytes=80 * 2**30,
            memory_free_bytes=512 * 2**20,
        )
        for k in range(2)
    ]
    assert devices.plan(found, 3) == [
        "3 over gpu 0 (H100, 80.0 GiB, 512 MiB free) and gpu 1 (H100, 80.0 GiB, 512 MiB free)"
    ]


def test_a_device_of_which_nothing_is_known_has_a_plan_too() -> None:
    assert devices.plan([devices.Device(index=0, kind="cpu")], 2) == ["2 x cpu core"]


@pytest.mark.usefixtures("two_gpus")
def test_free_memory_is_read_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    reader = devices.MemoryReader(devices.find("gpu"), lambda: now)
    assert reader.sizes() == {0: (80, 70), 1: (80, 71)}
    monkeypatch.setattr(
        sys.modules["pynvml"],
        "nvmlDeviceGetMemoryInfo",
        lambda handle: SimpleNamespace(total=80, free=5),
    )
    now = devices.READ_EVERY_S * 0.9
    assert reader.sizes()[0] == (80, 70)
    now = devices.READ_EVERY_S
    assert reader.sizes()[0] == (80, 5)


@pytest.mark.usefixtures("two_gpus")
def test_what_a_family_holds_of_the_gpus_is_summed_and_none_where_it_is_not_known() -> None:
    reader = devices.MemoryReader(devices.find("gpu"))
    assert reader.gpu_bytes([11, 12]) == 2 * (7 + 8)
    assert reader.gpu_bytes([99]) is None


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_fails_at_a_reading_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = devices.MemoryReader(devices.find("gpu"))

    def fails(handle: int) -> SimpleNamespace:
        if handle == 0:
            raise NVMLError("fell off the bus")
        return SimpleNamespace(total=80, free=71)

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetMemoryInfo", fails)
    assert reader.sizes() == {1: (80, 71)}


def test_the_cores_share_the_machines_memory() -> None:
    total, free = devices.MemoryReader(devices.cores()).sizes()[0]
    assert 0 < free <= total
