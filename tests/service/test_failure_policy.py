"""Retries by kind of failure, the wait before them, and studies that pause themselves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from app.domain.study import PauseReason, StopReason, StudyState
from app.domain.trial import TrialState
from app.domain.worker import Device
from app.errors import Conflict
from app.service.placement import WORKER_ALIVE
from app.service.services import Services
from app.store import events
from app.store.engine import Store

from .conftest import LEASE_TTL_S, Bench, definition, worker_study

pytestmark = pytest.mark.anyio

GIB = 2**30
# The wait is drawn: with a day of it hardly any is over before a slow test has looked.
DAY_S = 86_400.0
LONG = {"backoff_s": DAY_S, "max_backoff_s": DAY_S}


def gpu(gib: int, index: int = 0) -> Device:
    return Device(index=index, kind="gpu", memory_total_bytes=gib * GIB)


@pytest.mark.parametrize("kind", ["nan", "timeout"])
async def test_a_kind_is_retried_where_the_policy_says_so_only(bench: Bench, kind: str) -> None:
    one, other = (
        bench.study(definition(f"{kind}-{on}", failure_policy={f"retry_{kind}": on}))
        for on in (False, True)
    )
    [grant] = await bench.suggest(one)
    failed = bench.fail(grant, kind)
    assert (failed.will_retry, failed.trial.state) == (False, TrialState.FAILED)
    [grant] = await bench.suggest(other)
    failed = bench.fail(grant, kind)
    assert (failed.will_retry, failed.trial.attempts) == (True, 1)


async def test_a_failed_trial_waits_and_then_runs_again(
    bench: Bench, store: Store, services: Services
) -> None:
    study_id = bench.study(definition(failure_policy=LONG, limits={"max_trials": 1}))
    [grant] = await bench.suggest(study_id)
    trial = bench.fail(grant).trial
    assert trial.not_before is not None
    assert store.now() < trial.not_before <= store.now() + timedelta(seconds=DAY_S)
    assert services.trials.get(trial.id).trial.not_before == trial.not_before
    assert await bench.suggest(study_id) == []
    store.clock.offset_s += DAY_S + 1
    [again] = await bench.suggest(study_id)
    assert again.trial.id == trial.id
    assert again.trial.not_before is None
    assert again.lease.id != grant.lease.id


async def test_a_study_whose_trials_all_wait_goes_on(
    bench: Bench, store: Store, services: Services
) -> None:
    study_id = bench.study(worker_study(failure_policy=LONG, limits={"max_trials": 2}))
    worker_id = bench.worker()
    for _ in range(2):
        grant = await bench.claim(worker_id)
        assert grant is not None
        bench.fail(grant)
    claimed = await services.claims.claim(
        worker_id, max_leases=1, wait_s=0, devices_free=None, caller=bench.caller
    )
    assert (claimed.grants, claimed.open_work) == ((), True)
    services.sweeper.apply_limits()
    study = services.studies.get(study_id).study
    assert (study.state, study.places) == (StudyState.ACTIVE, 2)
    with pytest.raises(Conflict):
        services.trials.enqueue(study_id, [{"params": {"x0": 0.5}}])
    store.clock.offset_s += DAY_S + 1
    for _ in range(2):
        grant = await bench.claim(worker_id)
        assert grant is not None
        bench.complete(grant, 1.0)
    assert services.studies.get(study_id).study.stop_reason is StopReason.MAX_TRIALS


async def test_a_waiting_trial_takes_no_place_among_the_running_ones(bench: Bench) -> None:
    limits = {"max_trials": 3, "max_parallel": 1}
    study_id = bench.study(definition(failure_policy=LONG, limits=limits))
    [first] = await bench.suggest(study_id)
    bench.fail(first)
    [second] = await bench.suggest(study_id)
    assert second.trial.number == 2
    assert await bench.suggest(study_id) == []


async def test_stopping_a_study_ends_its_waiting_trials(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition(failure_policy=LONG))
    [grant] = await bench.suggest(study_id)
    bench.fail(grant)
    assert services.studies.stop(study_id).study.state is StudyState.COMPLETED
    assert services.trials.get(grant.trial.id).trial.state is TrialState.CANCELLED


@pytest.mark.parametrize("is_worker", [True, False])
async def test_who_waits_is_given_the_trial_when_its_time_comes(
    bench: Bench, services: Services, *, is_worker: bool
) -> None:
    """Nothing wakes the waiting call but the time itself."""
    made = worker_study if is_worker else definition
    policy = {"backoff_s": 1.0}
    study_id = bench.study(made(failure_policy=policy, limits={"max_trials": 1}))
    worker_id = bench.worker()
    if is_worker:
        grant = await bench.claim(worker_id)
    else:
        [grant] = await bench.suggest(study_id)
    assert grant is not None
    due = bench.fail(grant).trial.not_before
    if is_worker:
        again = await asyncio.wait_for(bench.claim(worker_id, wait_s=120), timeout=60)
    else:
        [again] = await asyncio.wait_for(bench.suggest(study_id, wait_s=120), timeout=60)
    assert again is not None
    assert again.trial.id == grant.trial.id
    assert due is not None
    assert again.lease.acquired_at >= due


async def test_a_lost_trial_does_not_wait(bench: Bench, store: Store, services: Services) -> None:
    bench.study(worker_study(failure_policy=LONG, limits={"max_trials": 1}))
    worker_id = bench.worker()
    for losses in (1, 2, 3):
        grant = await bench.claim(worker_id)
        assert grant is not None
        if losses == 1:
            trial = bench.fail(grant, "preempted").trial
        elif losses == 2:
            send = {"reason": "drain", "checkpoint_id": None, "caller": bench.caller}
            trial = services.leases.release(grant.lease.id, **send)
        else:
            store.clock.offset_s += LEASE_TTL_S + 1
            bench.sweep()
            trial = services.trials.get(grant.trial.id).trial
        assert (trial.state, trial.not_before) == (TrialState.PENDING, None)
        assert (trial.losses, trial.attempts) == (losses, 0)
    assert await bench.claim(worker_id) is not None


async def test_a_retry_by_a_person_does_not_wait(bench: Bench, services: Services) -> None:
    policy = {**LONG, "max_attempts": 2}
    study_id = bench.study(definition(failure_policy=policy, limits={"max_trials": 1}))
    [grant] = await bench.suggest(study_id)
    bench.fail(grant)
    with pytest.raises(Conflict):
        services.trials.retry(grant.trial.id)
    bench.services.store.clock.offset_s += DAY_S + 1
    [grant] = await bench.suggest(study_id)
    assert bench.fail(grant, "nan").trial.state is TrialState.FAILED
    trial = services.trials.retry(grant.trial.id)
    assert (trial.not_before, trial.attempts) == (None, 0)
    assert len(await bench.suggest(study_id)) == 1


async def test_an_oom_goes_to_a_larger_device_only(bench: Bench, services: Services) -> None:
    bench.study(worker_study(failure_policy={"backoff_s": 0}, limits={"max_trials": 1}))
    small, twin = bench.worker("small", devices=[gpu(8)]), bench.worker("twin", devices=[gpu(8)])
    large = bench.worker("large", devices=[gpu(8), gpu(24, 1)])
    unknown = bench.worker("unknown")
    grant = await bench.claim(small)
    assert grant is not None
    trial = bench.fail(grant, "oom").trial
    assert (trial.state, trial.min_memory_bytes) == (TrialState.PENDING, 8 * GIB + 1)
    for worker_id in (small, twin, unknown):
        assert await bench.claim(worker_id) is None
    assert await bench.suggest(trial.study_id) == []
    again = await bench.claim(large)
    assert again is not None
    failed = bench.fail(again, "oom", message="CUDA out of memory")
    assert (failed.will_retry, failed.trial.state) == (False, TrialState.FAILED)
    assert failed.trial.failure.message.startswith("CUDA out of memory; not tried again")
    assert services.trials.get(trial.id).attempts[-1].failure == failed.trial.failure.__class__(
        kind=failed.trial.failure.kind, message="CUDA out of memory"
    )


async def test_cores_count_with_all_their_memory(bench: Bench) -> None:
    def cores(count: int) -> list[Device]:
        return [Device(index=k, kind="cpu", memory_total_bytes=4 * GIB) for k in range(count)]

    bench.study(worker_study(failure_policy={"backoff_s": 0}, limits={"max_trials": 1}))
    small, large = bench.worker("small", devices=cores(2)), bench.worker("large", devices=cores(4))
    grant = await bench.claim(small)
    assert grant is not None
    assert bench.fail(grant, "oom").trial.min_memory_bytes == 8 * GIB + 1
    assert await bench.claim(small) is None
    assert await bench.claim(large) is not None


@pytest.mark.parametrize("case", ["none larger", "unknown", "a client's", "drained"])
async def test_an_oom_that_no_worker_could_bear_ends_its_trial(
    bench: Bench, services: Services, case: str
) -> None:
    large = bench.worker("large", devices=[gpu(8 if case == "none larger" else 24)])
    if case == "drained":
        bench.study(worker_study("other", failure_policy={"backoff_s": 0, "max_attempts": 9}))
        for _ in range(3):
            grant = await bench.claim(large)
            assert grant is not None
            bench.fail(grant, "infrastructure")
        services.studies.cancel(grant.trial.study_id)
    study_id = bench.study(worker_study(limits={"max_trials": 1}))
    small = bench.worker("small", devices=[] if case == "unknown" else [gpu(8)])
    if case == "a client's":
        [grant] = await bench.suggest(study_id)
    else:
        grant = await bench.claim(small)
    assert grant is not None
    failed = bench.fail(grant, "oom")
    assert (failed.will_retry, failed.trial.state) == (False, TrialState.FAILED)


@pytest.mark.parametrize("how", ["removed", "silent"])
async def test_a_trial_whose_larger_worker_goes_away_fails(
    bench: Bench, store: Store, services: Services, how: str
) -> None:
    began_at = store.now() - WORKER_ALIVE
    study_id = bench.study(worker_study(limits={"max_trials": 1}))
    small, large = (bench.worker(f"w{gib}", devices=[gpu(gib)]) for gib in (8, 24))
    grant = await bench.claim(small)
    assert grant is not None
    assert bench.fail(grant, "oom").will_retry
    # A worker that ends may start again: it counts until it has been silent for long enough.
    services.workers.set_draining(large, True)
    assert services.sweeper.fail_those_without_room(began_at) == 0
    if how == "removed":
        services.workers.delete(large)
    else:
        store.clock.offset_s += WORKER_ALIVE.total_seconds() + 1
        began_at = services.sweeper.begin()
        assert services.sweeper.fail_those_without_room(began_at) == 0
        store.clock.offset_s += WORKER_ALIVE.total_seconds() + LEASE_TTL_S
    assert services.sweeper.fail_those_without_room(began_at) == 1
    trial = services.trials.get(grant.trial.id).trial
    assert (trial.state, trial.attempts) == (TrialState.FAILED, 1)
    assert trial.failure is not None
    assert trial.failure.kind == "oom"
    study = services.studies.get(study_id).study
    assert (study.places, study.state) == (0, StudyState.ACTIVE)
    assert services.sweeper.fail_those_without_room(began_at) == 0


async def test_an_oom_is_not_retried_where_the_policy_says_so(bench: Bench) -> None:
    bench.study(worker_study(failure_policy={"retry_oom": False}))
    small = bench.worker("small", devices=[gpu(8)])
    bench.worker("large", devices=[gpu(24)])
    grant = await bench.claim(small)
    assert grant is not None
    assert not bench.fail(grant, "oom").will_retry


async def test_a_study_that_only_fails_pauses_itself(
    bench: Bench, store: Store, services: Services
) -> None:
    study_id = bench.study(definition(failure_policy=LONG))
    for k in range(1, 6):
        assert services.studies.get(study_id).study.state is StudyState.ACTIVE
        [grant] = await bench.suggest(study_id)
        bench.fail(grant, message=f"no module\n named x{k}")
    study = services.studies.get(study_id).study
    assert (study.state, study.pause_reason) == (StudyState.PAUSED, PauseReason.FAILURES)
    assert study.pause_detail is not None
    assert study.pause_detail.endswith("user_error; the last one said: no module named x5")
    found = store.read(lambda conn: events.of_study(conn, study_id, 0, 1000))
    told = [event.data for event in found if event.kind == "study.state"][-1]
    assert told["pause_reason"] == "failures"
    assert told["pause_detail"] == study.pause_detail
    assert await bench.suggest(study_id) == []


async def test_a_resumed_study_does_not_pause_again(
    bench: Bench, store: Store, services: Services
) -> None:
    study_id = bench.study(definition(failure_policy=LONG))
    for _ in range(5):
        [grant] = await bench.suggest(study_id)
        bench.fail(grant)
    resumed = services.studies.resume(study_id).study
    assert (resumed.state, resumed.pause_reason) == (StudyState.ACTIVE, None)
    assert resumed.pause_detail is None
    store.clock.offset_s += DAY_S + 1
    numbers = set()
    for _ in range(7):
        [grant] = await bench.suggest(study_id)
        bench.fail(grant)
        numbers.add(grant.trial.number)
        assert services.studies.get(study_id).study.state is StudyState.ACTIVE
    assert numbers == {1, 2, 3, 4, 5, 6, 7}


@pytest.mark.parametrize("other", ["completed", "infrastructure", "nan"])
async def test_one_other_outcome_among_the_first_keeps_a_study_going(
    bench: Bench, services: Services, other: str
) -> None:
    study_id = bench.study(definition(failure_policy=LONG))
    for k in range(7):
        [grant] = await bench.suggest(study_id)
        if k != 2:
            bench.fail(grant)
        elif other == "completed":
            bench.complete(grant, 1.0)
        else:
            bench.fail(grant, other)
    assert services.studies.get(study_id).study.state is StudyState.ACTIVE


async def test_a_trial_that_fails_again_and_again_counts_once(
    bench: Bench, services: Services
) -> None:
    policy = {"max_attempts": 100, "backoff_s": 0, "pause_after": 2}
    study_id = bench.study(definition(failure_policy=policy))
    for _ in range(6):
        [grant] = await bench.suggest(study_id)
        assert grant.trial.number == 1
        bench.fail(grant)
    assert services.studies.get(study_id).study.state is StudyState.ACTIVE
    [_, second] = await bench.suggest(study_id, count=2)
    bench.fail(second)
    assert services.studies.get(study_id).study.state is StudyState.PAUSED


@pytest.mark.parametrize("asked", [0, 2])
async def test_pause_after_says_after_how_many(
    bench: Bench, services: Services, asked: int
) -> None:
    study_id = bench.study(definition(failure_policy={**LONG, "pause_after": asked}))
    for _ in range(2):
        [grant] = await bench.suggest(study_id)
        bench.fail(grant)
    is_paused = services.studies.get(study_id).study.state is StudyState.PAUSED
    assert is_paused is (asked == 2)


async def test_imported_trials_say_nothing_of_the_code_here(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(failure_policy={**LONG, "pause_after": 1}))
    services.trials.enqueue(study_id, [{"params": {"x": 0.5}, "values": {"value": 1.0}}])
    [grant] = await bench.suggest(study_id)
    bench.fail(grant)
    assert services.studies.get(study_id).study.state is StudyState.PAUSED


async def test_a_pause_by_a_person_says_so(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition())
    assert services.studies.pause(study_id).study.pause_reason is PauseReason.USER
    assert services.studies.cancel(study_id).study.pause_reason is None


async def test_max_failed_ends_the_study_and_its_running_trials(
    bench: Bench, services: Services
) -> None:
    policy = {"max_attempts": 1, "max_failed": 2}
    study_id = bench.study(definition(failure_policy=policy))
    grants = await bench.suggest(study_id, count=3)
    bench.fail(grants[0])
    assert services.studies.get(study_id).study.state is StudyState.ACTIVE
    bench.fail(grants[1])
    study = services.studies.get(study_id).study
    assert (study.state, study.stop_reason) == (StudyState.FAILED, StopReason.MAX_FAILED)
    assert services.trials.get(grants[2].trial.id).trial.state is TrialState.CANCELLED
