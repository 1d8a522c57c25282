"""Where trials are placed, on GPUs that the test plays: no GPU is at hand where this runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from workers import devices, fitting
from workers import placement as placements
from workers.devices import Device
from workers.engines.base import Wanted
from workers.fitting import KEPT_PEAKS
from workers.peaks import Peaks
from workers.placement import Placement

GIB = 2**30


class Inventory:
    """A reader of devices whose memory a test sets."""

    def __init__(self, *free_gib: float, total_gib: float = 80) -> None:
        self.free = [int(each * GIB) for each in free_gib]
        self.total = int(total_gib * GIB)

    def sizes(self) -> dict[int, tuple[int, int]]:
        return {index: (self.total, free) for index, free in enumerate(self.free)}

    def gpu_bytes(self, pids: Sequence[int]) -> int | None:
        return None


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.said if name == event]


class Bench:
    """A placement with a file of peaks."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "peaks.json"
        self.log = Lines()

    def made(
        self,
        inventory: Inventory,
        *,
        objectives: Sequence[str] = ("net",),
        priors: Mapping[str, int] | None = None,
        n_slots: int = 8,
        kind: str = "gpu",
        n_devices: int | None = None,
    ) -> Placement:
        log: Any = self.log
        reader: Any = inventory
        n = n_devices or len(inventory.free)
        found = [Device(index=k, kind=kind, memory_total_bytes=inventory.total) for k in range(n)]
        return Placement(
            found,
            reader,
            Peaks(self.path, log),
            priors=priors or {},
            objectives=objectives,
            n_slots=n_slots,
            threads=1,
            n_cores=8,
            log=log,
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def lease(lease_id: str, name: str = "net", *, needs: int = 0, **resources: float) -> Wanted:
    return Wanted(
        lease_id=lease_id,
        trial_id=f"tr_{lease_id}",
        objective=name,
        is_built_in=False,
        resources=resources,
        min_memory_bytes=needs,
    )


def asked(made: Placement, n_free: int = 8) -> dict[str, Any]:
    said = made.ask(n_free)
    assert said is not None
    return said


def test_an_unknown_objective_has_a_gpu_alone_until_its_peak_is_known(bench: Bench) -> None:
    made = bench.made(Inventory(79, 79))
    assert asked(made)["max_leases"] == 2
    assert made.hold(lease("a"))
    assert made.hold(lease("b"))
    assert {made.held("a").index, made.held("b").index} == {0, 1}
    assert made.ask(6) is None
    assert bench.log.of("no_room") == [{"objectives": ["net"], "running": 2}]
    made.end("a", {"peak_device_memory_bytes": 10 * GIB})
    assert asked(made)["max_leases"] == 7  # of 11 GiB each, on the GPU that is free


def test_a_claim_says_what_is_free_less_what_is_still_to_be_taken(bench: Bench) -> None:
    inventory = Inventory(79, 79)
    made = bench.made(inventory, priors={"net": 30 * GIB})
    assert made.hold(lease("a"))
    free = asked(made)["devices_free"]
    assert [entry["memory_free_bytes"] for entry in free] == [49 * GIB, 79 * GIB]
    assert [entry["cpu"] for entry in free] == [4, 3]
    inventory.free[0] = 59 * GIB
    made.note("a", [1], 0)  # the driver does not know the process: 20 of its 30 have gone
    free = asked(made)["devices_free"]
    assert free[0]["memory_free_bytes"] == 49 * GIB


def test_no_two_trials_share_a_gpu_that_holds_one(bench: Bench) -> None:
    made = bench.made(Inventory(79, 40), priors={"net": 41 * GIB})
    assert asked(made)["max_leases"] == 1
    assert made.hold(lease("a"))
    assert made.held("a").index == 0
    assert made.ask(7) is None
    assert not made.hold(lease("b"))


def test_only_objectives_that_fit_are_asked_for(bench: Bench) -> None:
    priors = {"small": 5 * GIB, "large": 60 * GIB}
    made = bench.made(Inventory(79), objectives=["small", "large"], priors=priors)
    assert "objectives" not in asked(made)
    assert made.hold(lease("a", "large"))
    assert asked(made)["objectives"] == ["small"]


def test_a_study_says_the_least_memory_and_the_share_of_a_gpu(bench: Bench) -> None:
    made = bench.made(Inventory(79), priors={"net": GIB})
    assert made.hold(lease("a", gpu_memory_bytes=50 * GIB, gpu=0.5))
    assert not made.hold(lease("b", gpu_memory_bytes=50 * GIB))
    made.end("a", None)
    assert made.hold(lease("b", gpu=0.5))
    assert made.hold(lease("c", gpu=0.5))
    assert not made.hold(lease("d", gpu=0.25))


def test_a_trial_of_several_gpus_has_them_whole_and_all_at_once(bench: Bench) -> None:
    made = bench.made(Inventory(70, 76, 40, 78), priors={"net": 10 * GIB})
    assert made.hold(lease("a", gpu=2, gpu_memory_bytes=60 * GIB))
    assert made.held("a").indices == (1, 3)
    assert devices.of_index(1, "gpu", *made.held("a").also) == (
        "cuda:0",
        {"CUDA_VISIBLE_DEVICES": "1,3"},
    )
    assert not made.hold(lease("b", gpu=2, gpu_memory_bytes=60 * GIB), may_wait=True)
    assert made.hold(lease("c", gpu=1.5))  # whole ones: two
    assert made.held("c").indices == (0, 2)
    assert not made.hold(lease("d", gpu=0.5), may_wait=True)
    made.end("a", None)
    assert made.hold(lease("d", gpu=0.5))
    assert made.held("d").indices == (3,)


def test_a_trial_that_fits_nowhere_is_not_asked_for_again_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placements, "TURNED_AWAY_S", 3600.0)
    made = bench.made(Inventory(79), priors={"net": GIB})
    assert made.hold(lease("a"))
    assert not made.hold(lease("b", needs=79 * GIB))
    assert made.ask(7) is None
    made.end("a", None)
    assert asked(made)["max_leases"] == 8
    assert made.hold(lease("b", needs=79 * GIB))


def test_an_oom_beside_others_is_tried_again_with_more_room(bench: Bench) -> None:
    made = bench.made(Inventory(79), priors={"net": 20 * GIB})
    assert made.hold(lease("a"))
    assert made.hold(lease("b"))
    needed = made.after_oom("b", {"peak_device_memory_bytes": 24 * GIB})
    assert needed == 36 * GIB
    made.end("b", None)
    assert asked(made)["max_leases"] == 1  # the objective's trials are expected to take more now
    assert made.hold(lease("c", needs=needed or 0))
    assert made.after_oom("c", {"peak_device_memory_bytes": 50 * GIB}) == int(0.8 * 80 * GIB)


def test_an_oom_alone_on_its_gpu_needs_a_larger_one_and_says_so(bench: Bench) -> None:
    made = bench.made(Inventory(79))
    assert made.hold(lease("a"))
    assert made.after_oom("a", {"peak_device_memory_bytes": 78 * GIB}) is None
    assert bench.log.of("memory_learned")[0]["had_device_alone"]
    made.end("a", None)
    assert asked(made)["max_leases"] == 1  # others of its kind may still fit, one at a time


def test_what_was_learned_survives_a_restart(bench: Bench) -> None:
    made = bench.made(Inventory(79))
    assert made.hold(lease("a"))
    made.end("a", {"peak_device_memory_bytes": 10 * GIB})
    assert bench.made(Inventory(79)).estimates() == {"net": fitting.estimate([10 * GIB], None, 0)}
    assert [path.name for path in bench.path.parent.iterdir()] == ["peaks.json"]


def test_one_large_trial_is_forgotten_in_time(bench: Bench) -> None:
    log: Any = bench.log
    peaks = Peaks(bench.path, log)
    for size in [500, *([10] * KEPT_PEAKS)]:
        peaks.add("gpu", "net", size)
    assert set(peaks.of("gpu", "net")) == {10}
    assert set(Peaks(bench.path, log).of("gpu", "net")) == {10}
    assert list(peaks.of("cpu", "net")) == []


@pytest.mark.parametrize("content", ["{", "[]", '{"gpu/net": [1.5]}', '{"gpu/net": []}'])
def test_a_broken_file_is_told_of_and_learned_anew(bench: Bench, content: str) -> None:
    bench.path.write_text(content)
    made = bench.made(Inventory(79))
    assert len(bench.log.of("peaks_unreadable")) == 1
    assert made.estimates() == {}
    assert made.hold(lease("a"))
    made.end("a", {"peak_device_memory_bytes": GIB})
    assert json.loads(bench.path.read_text()) == {"gpu/net": [GIB]}


def test_the_cores_memory_is_one_and_their_number_bounds_the_threads(bench: Bench) -> None:
    inventory = Inventory(12, total_gib=16)
    made = bench.made(
        inventory, kind="cpu", n_devices=8, priors={"net": 2 * GIB}, objectives=["net"]
    )
    assert asked(made)["max_leases"] == 6
    assert made.hold(lease("a", cpu=7.0))
    free = asked(made)["devices_free"]
    assert sum(entry["memory_free_bytes"] for entry in free) == 10 * GIB
    assert sum(entry["cpu"] for entry in free) == 1
    assert made.held("a").cores == 7
    assert not made.hold(lease("b", cpu=2.0))
    made.end("a", None)
    made.note("a", [], GIB)  # too late: it is over


def test_memory_that_was_seen_in_use_is_part_of_the_peak(bench: Bench) -> None:
    made = bench.made(Inventory(12, total_gib=16), kind="cpu", n_devices=2)
    assert made.hold(lease("a"))
    made.note("a", [1], 3 * GIB)
    made.note("a", [1], 2 * GIB)
    made.end("a", {"peak_memory_bytes": GIB})
    assert made.estimates()["net"] // GIB == 3
