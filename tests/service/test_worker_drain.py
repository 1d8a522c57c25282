"""Workers whose infrastructure fails are drained; what counts, and what takes it back."""

from __future__ import annotations

import pytest

from app.domain.trial import TrialState
from app.domain.worker import Worker
from app.service.services import Services
from app.service.views import Beat, Grant, Point
from app.store.engine import Store

from .conftest import LEASE_TTL_S, Bench, worker_study

pytestmark = pytest.mark.anyio


@pytest.fixture
def worker_id(bench: Bench) -> str:
    bench.study(worker_study(failure_policy={"max_attempts": 100, "backoff_s": 0}))
    return bench.worker()


async def claimed(bench: Bench, worker_id: str) -> Grant:
    grant = await bench.claim(worker_id)
    assert grant is not None
    return grant


def seen(services: Services, worker_id: str) -> Worker:
    return services.workers.get(worker_id).worker


async def fails(bench: Bench, worker_id: str, *kinds: str) -> None:
    for kind in kinds:
        bench.fail(await claimed(bench, worker_id), kind, message="the disk is gone")


async def test_three_in_a_row_drain_a_worker(
    bench: Bench, services: Services, worker_id: str
) -> None:
    await fails(bench, worker_id, "infrastructure", "infrastructure")
    assert not seen(services, worker_id).draining
    await fails(bench, worker_id, "infrastructure")
    worker = seen(services, worker_id)
    assert worker.draining
    assert worker.drain_reason is not None
    assert worker.drain_reason.endswith("the last one said: the disk is gone")
    assert await bench.claim(worker_id) is None
    assert await bench.claim(bench.worker("other")) is not None


async def test_a_mishap_that_takes_all_slots_at_once_drains_no_worker(
    bench: Bench, services: Services, worker_id: str
) -> None:
    large = bench.worker("large", slots=4)
    at_once = [await claimed(bench, large) for _ in range(4)]
    for grant in at_once:
        bench.fail(grant, "infrastructure", message="the node is gone")
    assert not seen(services, large).draining
    await fails(bench, large, "infrastructure")
    assert seen(services, large).draining


async def test_three_one_after_the_other_drain_a_worker_of_many_slots(
    bench: Bench, services: Services, worker_id: str
) -> None:
    large = bench.worker("large", slots=8)
    await fails(bench, large, "infrastructure", "infrastructure")
    assert not seen(services, large).draining
    await fails(bench, large, "infrastructure")
    assert seen(services, large).draining


@pytest.mark.parametrize("kind", ["completed", "user_error", "nan"])
async def test_another_end_of_a_trial_counts_anew(
    bench: Bench, services: Services, worker_id: str, kind: str
) -> None:
    await fails(bench, worker_id, "infrastructure", "infrastructure")
    if kind == "completed":
        bench.complete(await claimed(bench, worker_id), 1.0)
    else:
        await fails(bench, worker_id, kind)
    await fails(bench, worker_id, "infrastructure", "infrastructure")
    worker = seen(services, worker_id)
    assert (worker.draining, worker.n_infrastructure_failures) == (False, 2)


async def test_a_pre_emption_says_nothing_of_a_worker(
    bench: Bench, services: Services, worker_id: str
) -> None:
    await fails(bench, worker_id, "infrastructure", "preempted", "preempted", "preempted")
    assert seen(services, worker_id).n_infrastructure_failures == 1
    await fails(bench, worker_id, "infrastructure", "infrastructure")
    assert seen(services, worker_id).draining


@pytest.mark.parametrize("how", ["patch", "boot"])
async def test_a_person_or_a_new_start_takes_it_back(
    bench: Bench, services: Services, worker_id: str, how: str
) -> None:
    await fails(bench, worker_id, *["infrastructure"] * 3)
    if how == "patch":
        services.workers.set_draining(worker_id, False)
    else:
        assert bench.worker(boot_id="2") == worker_id
    worker = seen(services, worker_id)
    assert (worker.draining, worker.drain_reason) == (False, None)
    await fails(bench, worker_id, "infrastructure", "infrastructure")
    assert not seen(services, worker_id).draining


async def test_registering_the_same_start_again_does_not(
    bench: Bench, services: Services, worker_id: str
) -> None:
    await fails(bench, worker_id, *["infrastructure"] * 3)
    bench.worker()
    assert seen(services, worker_id).draining


async def test_a_person_who_drains_gives_no_reason(
    bench: Bench, services: Services, worker_id: str
) -> None:
    services.workers.set_draining(worker_id, True)
    assert seen(services, worker_id).drain_reason is None


async def test_a_lease_that_a_living_worker_loses_counts(
    bench: Bench, store: Store, services: Services, worker_id: str
) -> None:
    grant = await claimed(bench, worker_id)
    store.clock.offset_s += LEASE_TTL_S - 1
    services.leases.beat([], worker_id=worker_id, caller=bench.caller)
    store.clock.offset_s += 2
    assert bench.sweep() == 1
    assert services.trials.get(grant.trial.id).trial.state is TrialState.PENDING
    assert seen(services, worker_id).n_infrastructure_failures == 1


async def test_a_lease_that_a_silent_worker_loses_does_not(
    bench: Bench, store: Store, services: Services, worker_id: str
) -> None:
    """An outage of the network ends in many expired leases, and says nothing of the worker."""
    grant = await claimed(bench, worker_id)
    services.leases.beat([Beat(lease_id=grant.lease.id)], worker_id=worker_id, caller=bench.caller)
    store.clock.offset_s += LEASE_TTL_S + 1
    assert bench.sweep() == 1
    assert seen(services, worker_id).n_infrastructure_failures == 0


async def test_the_trials_of_a_drained_worker_are_told_to_save_what_they_have(
    bench: Bench, services: Services, worker_id: str
) -> None:
    grant = await claimed(bench, worker_id)

    def told() -> str:
        beat = Beat(lease_id=grant.lease.id)
        (answer,) = services.leases.beat([beat], worker_id=worker_id, caller=bench.caller)
        return answer.directive.value

    services.workers.set_draining(worker_id, True)
    assert told() == "continue"  # there is nothing to save yet
    services.leases.report(
        grant.trial.id,
        lease_id=grant.lease.id,
        seq=0,
        points=[Point(step=1, values={"value": 1.0})],
        caller=bench.caller,
    ).run()
    assert told() == "checkpoint"
    services.workers.set_draining(worker_id, False)
    assert told() == "continue"
