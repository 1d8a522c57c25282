"""Trials go where a worker says that it has room."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.trial import TrialState
from app.domain.worker import Device
from app.service.services import Services
from app.service.views import DeviceFree, Grant

from .conftest import Bench, worker_study

pytestmark = pytest.mark.anyio

GIB = 2**30


def gpu(gib: int, index: int = 0) -> Device:
    return Device(index=index, kind="gpu", memory_total_bytes=gib * GIB)


async def claim(
    bench: Bench, worker_id: str, *free_gib: int, want: int = 8, **more: Any
) -> list[Grant]:
    free = [
        DeviceFree(index=index, memory_free_bytes=gib * GIB, cpu=8)
        for index, gib in enumerate(free_gib)
    ]
    claimed = await bench.services.claims.claim(
        worker_id, max_leases=want, wait_s=0, devices_free=free, caller=bench.caller, **more
    )
    return list(claimed.grants)


async def test_no_more_trials_are_given_than_find_room_on_each_gpu(bench: Bench) -> None:
    bench.study(worker_study(resources={"gpu_memory_bytes": 30 * GIB}))
    worker_id = bench.worker(devices=[gpu(80), gpu(80, 1)])
    assert await claim(bench, worker_id, 29, 20) == []
    grants = await claim(bench, worker_id, 70, 40)
    assert len(grants) == 3
    assert grants[0].resources.gpu_memory_bytes == 30 * GIB


async def test_a_trial_of_two_gpus_is_given_where_two_have_the_memory(bench: Bench) -> None:
    bench.study(worker_study(resources={"gpu": 2, "gpu_memory_bytes": 30 * GIB}))
    worker_id = bench.worker(devices=[gpu(80, index) for index in range(3)])
    assert await claim(bench, worker_id, 70, 20, 20) == []
    assert len(await claim(bench, worker_id, 70, 40, 70)) == 1  # the third GPU is half a trial's
    alone = bench.worker("alone", devices=[gpu(80)])
    assert await claim(bench, alone, 70) == []


async def test_only_the_objectives_that_have_room_are_given(bench: Bench) -> None:
    bench.study(worker_study())
    worker_id = bench.worker(devices=[gpu(80)])
    assert await claim(bench, worker_id, 70, objectives=["another"]) == []
    assert len(await claim(bench, worker_id, 70, want=1, objectives=["another", "function"])) == 1


async def test_an_oom_that_says_what_it_needs_comes_back_where_that_is_free(
    bench: Bench, services: Services
) -> None:
    bench.study(worker_study(failure_policy={"backoff_s": 0}, limits={"max_trials": 1}))
    worker_id = bench.worker(devices=[gpu(80)])
    [grant] = await claim(bench, worker_id, 20)
    failed = bench.fail(grant, "oom", min_memory_bytes=36 * GIB)
    assert (failed.will_retry, failed.trial.min_memory_bytes) == (True, 36 * GIB)
    assert await claim(bench, worker_id, 35) == []
    [again] = await claim(bench, worker_id, 36)
    assert again.trial.id == grant.trial.id
    assert again.trial.min_memory_bytes == 36 * GIB
    failed = bench.fail(again, "oom", min_memory_bytes=81 * GIB)
    assert (failed.will_retry, failed.trial.state) == (False, TrialState.FAILED)


async def test_what_another_kind_of_failure_says_of_memory_is_left_alone(bench: Bench) -> None:
    bench.study(worker_study(failure_policy={"backoff_s": 0}))
    worker_id = bench.worker(devices=[gpu(80)])
    [grant] = await claim(bench, worker_id, 20, want=1)
    assert bench.fail(grant, min_memory_bytes=36 * GIB).trial.min_memory_bytes is None


def core(index: int) -> Device:
    return Device(index=index, kind="cpu")


async def claim_cores(bench: Bench, worker_id: str, *free: DeviceFree, want: int = 8) -> int:
    claimed = await bench.services.claims.claim(
        worker_id, max_leases=want, wait_s=0, devices_free=list(free), caller=bench.caller
    )
    return len(claimed.grants)


async def test_no_more_trials_are_given_than_there_are_free_cores_for(bench: Bench) -> None:
    bench.study(worker_study(resources={"cpu": 2}))
    worker_id = bench.worker(devices=[core(0), core(1)])
    free = DeviceFree(index=0, cpu=5)
    assert await claim_cores(bench, worker_id) == 0  # nothing is free
    assert await claim_cores(bench, worker_id, DeviceFree(index=7, cpu=2)) == 0  # not a device
    assert await claim_cores(bench, worker_id, DeviceFree(index=0, cpu=1)) == 0
    assert await claim_cores(bench, worker_id, free) == 2
    assert await claim_cores(bench, worker_id, free, want=1) == 1


async def test_the_cores_of_one_study_are_not_given_to_another_too(bench: Bench) -> None:
    for name in ("one", "two"):
        bench.study(worker_study(name=name, resources={"cpu": 2}, limits={"max_trials": 1}))
    worker_id = bench.worker(devices=[core(0), core(1)])
    assert await claim_cores(bench, worker_id, DeviceFree(index=0, cpu=3)) == 1
    assert await claim_cores(bench, worker_id, DeviceFree(index=0, cpu=3)) == 1


async def test_a_worker_without_devices_says_nothing_by_an_empty_list(bench: Bench) -> None:
    bench.study(worker_study())
    assert await claim_cores(bench, bench.worker(devices=[]), want=1) == 1
