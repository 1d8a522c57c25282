"""`max_trial_duration_s`: kept by the service where the holder does not keep it."""

from __future__ import annotations

import pytest

from app.domain.fidelity import Directive
from app.domain.lease import OVERTIME_GRACE_S, LeaseEnd
from app.domain.trial import TrialState
from app.errors import StaleLease
from app.service.services import Services
from app.service.views import Beat, Grant, Point
from app.store.engine import Store

from .conftest import LEASE_TTL_S, Bench, definition, worker_study

pytestmark = pytest.mark.anyio

LIMIT_S = 100.0
LIMITS = {"max_trial_duration_s": LIMIT_S, "max_trials": 1}


def beat(bench: Bench, grant: Grant) -> Directive:
    leases = bench.services.leases
    [answer] = leases.beat([Beat(lease_id=grant.lease.id)], worker_id=None, caller=bench.caller)
    return answer.directive


def sweep(bench: Bench) -> int:
    return bench.services.sweeper.sweep_overtime(bench.services.store.now())


async def of_client(bench: Bench, **more: object) -> Grant:
    study_id = bench.study(definition(limits=LIMITS, **more))
    [grant] = await bench.suggest(study_id, lease_s=3600)
    return grant


async def test_a_client_past_the_limit_is_told_to_abort(bench: Bench, store: Store) -> None:
    grant = await of_client(bench)
    store.clock.offset_s += LIMIT_S - 1
    assert beat(bench, grant) is Directive.CONTINUE
    store.clock.offset_s += 2
    assert beat(bench, grant) is Directive.ABORT
    reported = bench.services.leases.report(
        grant.trial.id,
        lease_id=grant.lease.id,
        seq=0,
        points=[Point(step=1, values={"value": 1.0}, elapsed_s=None)],
        caller=bench.caller,
    ).run()
    assert (reported.accepted, reported.directive) == (1, Directive.ABORT)


async def test_past_the_grace_the_attempt_is_a_timeout(
    bench: Bench, store: Store, services: Services
) -> None:
    grant = await of_client(bench)
    store.clock.offset_s += LIMIT_S + OVERTIME_GRACE_S - 1
    assert sweep(bench) == 0
    store.clock.offset_s += 2
    assert sweep(bench) == 1
    view = services.trials.get(grant.trial.id)
    assert (view.trial.state, view.trial.attempts, view.trial.losses) == (TrialState.FAILED, 1, 0)
    assert view.trial.failure is not None
    assert view.trial.failure.kind == "timeout"
    assert "100 s" in view.trial.failure.message
    assert view.attempts[0].end is LeaseEnd.FAILED
    assert view.attempts[0].failure == view.trial.failure
    assert beat(bench, grant) is Directive.ABORT
    with pytest.raises(StaleLease):
        bench.complete(grant, 1.0)
    assert services.studies.get(grant.trial.study_id).study.places == 0


async def test_a_result_in_the_grace_counts(bench: Bench, store: Store) -> None:
    grant = await of_client(bench)
    store.clock.offset_s += LIMIT_S + OVERTIME_GRACE_S - 1
    assert bench.complete(grant, 1.0).state is TrialState.COMPLETED


async def test_a_timeout_is_retried_where_the_policy_says_so(
    bench: Bench, store: Store, services: Services
) -> None:
    grant = await of_client(bench, failure_policy={"retry_timeout": True, "backoff_s": 0})
    store.clock.offset_s += LIMIT_S + OVERTIME_GRACE_S + 1
    assert sweep(bench) == 1
    [again] = await bench.suggest(grant.trial.study_id, lease_s=3600)
    assert again.trial.id == grant.trial.id
    # The limit is of each attempt: the second one has all of it.
    store.clock.offset_s += LIMIT_S - 1
    assert beat(bench, again) is Directive.CONTINUE
    assert sweep(bench) == 0


async def test_a_worker_keeps_the_limit_itself_and_is_stopped_after_the_grace_only(
    bench: Bench, store: Store, services: Services
) -> None:
    bench.study(worker_study(limits=LIMITS))
    grant = await bench.claim(bench.worker())
    assert grant is not None
    for _ in range(4):
        store.clock.offset_s += (LIMIT_S + OVERTIME_GRACE_S - 2) / 4
        assert beat(bench, grant) is Directive.CONTINUE
    store.clock.offset_s += 3
    assert beat(bench, grant) is Directive.ABORT
    assert sweep(bench) == 1
    trial = services.trials.get(grant.trial.id).trial
    assert trial.failure is not None
    assert trial.failure.kind == "timeout"


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_lease_that_expires_past_the_limit_is_a_timeout_and_no_loss(
    bench: Bench, store: Store, services: Services, *, is_late: bool
) -> None:
    bench.study(worker_study(limits=LIMITS))
    grant = await bench.claim(bench.worker())
    assert grant is not None
    store.clock.offset_s += LEASE_TTL_S - 1
    if is_late:
        assert beat(bench, grant) is Directive.CONTINUE
        store.clock.offset_s += LEASE_TTL_S - 1
    store.clock.offset_s += 2
    assert bench.sweep() == 1
    trial = services.trials.get(grant.trial.id).trial
    assert (trial.attempts, trial.losses) == ((1, 0) if is_late else (0, 1))
    assert trial.state is (TrialState.FAILED if is_late else TrialState.PENDING)


async def test_nothing_is_timed_out_in_the_first_lease_time_after_a_start(
    bench: Bench, store: Store, services: Services
) -> None:
    """An outage of the service ends no training: its result may be in a worker's spool."""
    await of_client(bench)
    store.clock.offset_s += LIMIT_S + OVERTIME_GRACE_S + 1
    not_before = services.sweeper.begin()
    assert services.sweeper.sweep_overtime(not_before) == 0
    store.clock.offset_s += LEASE_TTL_S + 1
    assert services.sweeper.sweep_overtime(not_before) == 1
