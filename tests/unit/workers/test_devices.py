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


@pytest.mark.usefixtures("two_gpus")
def test_slots_take_the_gpus_in_turn_and_see_no_other() -> None:
    found = devices.find("gpu")
    places = [devices.of_slot(slot, found) for slot in range(3)]
    assert [device for device, _ in places] == ["cuda:0"] * 3
    assert [env["CUDA_VISIBLE_DEVICES"] for _, env in places] == ["0", "1", "0"]


def test_a_slot_on_the_cpu_sees_no_gpu() -> None:
    assert devices.of_slot(0, devices.cores()) == ("cpu", {"CUDA_VISIBLE_DEVICES": ""})


@pytest.mark.parametrize(
    ("slots", "said"),
    [
        (1, ["1 x gpu 0 (H100, 80.0 GiB)"]),
        (3, ["2 x gpu 0 (H100, 80.0 GiB)", "1 x gpu 1 (H100, 80.0 GiB)"]),
    ],
)
def test_the_plan_says_what_each_slot_runs_on(slots: int, said: list[str]) -> None:
    found = [
        devices.Device(index=k, kind="gpu", model="H100", memory_total_bytes=80 * 2**30)
        for k in range(2)
    ]
    assert devices.plan(found, slots) == said


def test_a_device_of_which_nothing_is_known_has_a_plan_too() -> None:
    assert devices.plan([devices.Device(index=0, kind="cpu")], 2) == ["2 x cpu core"]
