"""The lease protocol, on both databases, with a moved clock."""

from __future__ import annotations

import asyncio

import pytest

from app.domain.fidelity import Directive
from app.domain.lease import LeaseEnd
from app.domain.study import StudyState
from app.domain.token import Role
from app.domain.trial import TrialState
from app.errors import Conflict, InvalidInput, NotFound, StaleLease
from app.service.services import Services
from app.service.views import Beat, Caller, Grant, Point, Reported
from app.store.engine import Store

from .conftest import LEASE_TTL_S, Bench, definition, worker_study

pytestmark = pytest.mark.anyio


async def running(bench: Bench, **more: object) -> Grant:
    """A trial under a worker's lease."""
    bench.study(worker_study(**more))
    grant = await bench.claim(bench.worker())
    assert grant is not None
    return grant


def point(step: int, value: float = 1.0) -> Point:
    return Point(step=step, values={"value": value}, elapsed_s=None)


async def test_an_expired_lease_makes_its_trial_pending_again(
    bench: Bench, store: Store, services: Services
) -> None:
    grant = await running(bench)
    store.clock.offset_s += LEASE_TTL_S + 1
    assert bench.sweep() == 1
    view = services.trials.get(grant.trial.id)
    assert view.trial.state is TrialState.PENDING
    assert view.trial.losses == 1
    assert view.trial.attempts == 0
    assert view.attempts[0].end is LeaseEnd.EXPIRED


async def test_a_beat_tells_what_its_trial_uses(bench: Bench, services: Services) -> None:
    worker_id, _ = bench.worker(), bench.study(worker_study())
    grant = await bench.claim(worker_id)
    assert grant is not None
    for said in ({"memory_bytes": 2**40, "utilisation": 0.5}, {}, {"memory_bytes": 7}):
        beat = Beat(lease_id=grant.lease.id, **said)
        services.leases.beat([beat], worker_id=worker_id, caller=bench.caller)
    (held,) = services.workers.get(worker_id).leases
    assert (held.lease.memory_bytes, held.lease.utilisation) == (7, 0.5)


async def test_a_late_beat_revives_an_unclaimed_lease(
    bench: Bench, store: Store, services: Services
) -> None:
    grant = await running(bench)
    store.clock.offset_s += LEASE_TTL_S + 1
    bench.sweep()
    (answer,) = services.leases.beat(
        [Beat(lease_id=grant.lease.id)], worker_id=None, caller=bench.caller
    )
    view = services.trials.get(grant.trial.id)
    assert answer.directive is Directive.CONTINUE
    assert answer.expires_at is not None
    assert view.trial.state is TrialState.RUNNING
    assert view.trial.losses == 0
    assert bench.complete(grant, 1.0).state is TrialState.COMPLETED


async def test_a_re_claimed_trial_answers_the_old_lease_with_abort_and_changes_nothing(
    bench: Bench, store: Store, services: Services
) -> None:
    grant = await running(bench)
    store.clock.offset_s += LEASE_TTL_S + 1
    bench.sweep()
    again = await bench.claim(bench.worker("other"))
    assert again is not None
    assert again.trial.id == grant.trial.id
    assert again.lease.id != grant.lease.id
    (answer,) = services.leases.beat(
        [Beat(lease_id=grant.lease.id)], worker_id=None, caller=bench.caller
    )
    assert answer.directive is Directive.ABORT
    with pytest.raises(StaleLease) as stale:
        bench.complete(grant, 0.0)
    assert stale.value.members["action"] == "abort"
    with pytest.raises(StaleLease):
        services.leases.report(
            grant.trial.id, lease_id=grant.lease.id, seq=0, points=[point(1)], caller=bench.caller
        ).run()
    assert services.trials.measurements(grant.trial.id).items == ()
    assert services.trials.get(grant.trial.id).trial.state is TrialState.RUNNING


async def test_a_report_repeated_under_an_expired_lease_is_a_duplicate(
    bench: Bench, store: Store, services: Services
) -> None:
    """Its trial is another's by then, so that the holder is told to abort."""
    grant = await running(bench)

    def report(seq: int) -> Reported:
        lease_id, caller = grant.lease.id, bench.caller
        return services.leases.report(
            grant.trial.id, lease_id=lease_id, seq=seq, points=[point(1)], caller=caller
        ).run()

    assert report(0).accepted == 1
    store.clock.offset_s += LEASE_TTL_S + 1
    bench.sweep()
    assert await bench.claim(bench.worker("other")) is not None
    again = report(0)
    assert (again.accepted, again.duplicates, again.directive) == (0, 1, Directive.ABORT)
    with pytest.raises(StaleLease):
        report(1)
    assert len(services.trials.measurements(grant.trial.id).items) == 1


async def test_a_lease_that_never_was_is_not_found(bench: Bench, services: Services) -> None:
    grant = await running(bench)
    with pytest.raises(NotFound):
        services.leases.renew(Beat(lease_id="ls_never"), caller=bench.caller)
    with pytest.raises(NotFound):
        services.leases.report(
            "tr_never", lease_id=grant.lease.id, seq=0, points=[point(1)], caller=bench.caller
        ).run()


async def test_a_repeated_completion_gets_the_first_answer(bench: Bench) -> None:
    grant = await running(bench)
    first = bench.complete(grant, 0.25, step=3)
    again = bench.complete(grant, 99.0)
    assert again == first
    assert again.values == {"value": 0.25}


async def test_a_report_counts_once_and_renews_the_lease(
    bench: Bench, store: Store, services: Services
) -> None:
    grant = await running(bench)
    store.clock.offset_s += LEASE_TTL_S - 1
    send = {"lease_id": grant.lease.id, "caller": bench.caller}
    first = services.leases.report(grant.trial.id, seq=4, points=[point(1), point(2)], **send).run()
    again = services.leases.report(grant.trial.id, seq=4, points=[point(1), point(2)], **send).run()
    older = services.leases.report(grant.trial.id, seq=3, points=[point(9)], **send).run()
    assert (first.accepted, first.duplicates) == (2, 0)
    assert (again.accepted, again.duplicates) == (0, 2)
    assert (older.accepted, older.duplicates) == (0, 1)
    assert [m.step for m in services.trials.measurements(grant.trial.id).items] == [1, 2]
    store.clock.offset_s += LEASE_TTL_S - 1
    assert bench.sweep() == 0


async def test_failures_use_up_attempts_and_the_last_one_ends_the_trial(
    bench: Bench, services: Services
) -> None:
    policy = {"max_attempts": 2, "backoff_s": 0}
    grant: Grant | None = await running(bench, failure_policy=policy)
    assert grant is not None
    first = bench.fail(grant)
    assert first.will_retry
    assert first.trial.state is TrialState.PENDING
    grant = await bench.claim(bench.worker())
    assert grant is not None
    last = bench.fail(grant, "oom")
    assert not last.will_retry
    assert last.trial.state is TrialState.FAILED
    assert last.trial.attempts == 2
    assert [a.end for a in services.trials.get(grant.trial.id).attempts] == [LeaseEnd.FAILED] * 2


async def test_losses_past_their_limit_end_the_trial_as_infrastructure(bench: Bench) -> None:
    grant: Grant | None = await running(bench, failure_policy={"max_losses": 1})
    assert grant is not None
    assert bench.fail(grant, "preempted").trial.losses == 1
    grant = await bench.claim(bench.worker())
    assert grant is not None
    ended = bench.fail(grant, "preempted").trial
    assert ended.state is TrialState.FAILED
    assert ended.failure is not None
    assert ended.failure.kind == "infrastructure"
    assert ended.attempts == 0


async def test_a_release_gives_the_trial_back(bench: Bench, services: Services) -> None:
    grant = await running(bench)
    send = {"reason": "drain", "checkpoint_id": None, "caller": bench.caller}
    trial = services.leases.release(grant.lease.id, **send)
    assert trial.state is TrialState.PENDING
    assert services.leases.release(grant.lease.id, **send) == trial
    with pytest.raises(StaleLease):
        bench.complete(grant, 1.0)


async def test_a_pause_away_from_a_rung_is_refused(bench: Bench, services: Services) -> None:
    grant = await running(bench)
    with pytest.raises(Conflict):
        services.leases.release(
            grant.lease.id, reason="paused", checkpoint_id=None, caller=bench.caller
        )
    assert services.trials.get(grant.trial.id).trial.state is TrialState.RUNNING


async def test_a_new_boot_id_frees_the_old_leases_at_once(bench: Bench, services: Services) -> None:
    bench.study(worker_study())
    worker_id = bench.worker("w", boot_id="1")
    grant = await bench.claim(worker_id)
    assert grant is not None
    assert bench.worker("w", boot_id="2") == worker_id
    assert services.trials.get(grant.trial.id).trial.state is TrialState.PENDING
    with pytest.raises(StaleLease):
        bench.complete(grant, 1.0)


async def test_a_new_boot_id_whose_losses_end_the_study_is_registered_all_the_same(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(worker_study(failure_policy={"max_losses": 0, "max_failed": 1}))
    worker_id = bench.worker("w", boot_id="1")
    first, second = await bench.claim(worker_id), await bench.claim(worker_id)
    assert first is not None
    assert second is not None
    assert bench.worker("w", boot_id="2") == worker_id
    assert services.studies.get(study_id).study.state is StudyState.FAILED
    assert services.trials.get(first.trial.id).trial.state is TrialState.FAILED
    assert services.trials.get(second.trial.id).trial.state is TrialState.CANCELLED


async def test_a_client_of_another_token_does_not_revive_a_lease(
    bench: Bench, store: Store, services: Services
) -> None:
    study_id = bench.study(definition())
    (mine,) = await bench.suggest(study_id, client_id="me")
    store.clock.offset_s += 61
    bench.sweep()
    bench.caller = Caller(token_id="tk_other", role=Role.SUBMITTER)
    await bench.suggest(study_id, client_id="me")
    (attempt, *_) = services.trials.get(mine.trial.id).attempts
    assert (attempt.id, attempt.end) == (mine.lease.id, LeaseEnd.EXPIRED)


async def test_no_lease_is_swept_in_the_first_lease_time_after_a_start(
    bench: Bench, store: Store, services: Services
) -> None:
    await running(bench)
    store.clock.offset_s += LEASE_TTL_S + 1
    not_before = services.sweeper.begin()
    assert services.sweeper.sweep_leases(not_before) == 0
    store.clock.offset_s += LEASE_TTL_S + 1
    assert services.sweeper.sweep_leases(not_before) == 1


async def test_values_that_are_missing_or_not_finite_are_refused(bench: Bench) -> None:
    grant = await running(bench)
    with pytest.raises(InvalidInput) as missing:
        bench.complete(grant, 0.0, values={})
    assert missing.value.faults[0].pointer == "/values/value"
    with pytest.raises(InvalidInput) as infinite:
        bench.complete(grant, float("nan"))
    assert ":fail" in infinite.value.faults[0].detail
    assert bench.complete(grant, 1.0).state is TrialState.COMPLETED


async def test_a_client_gets_its_open_trial_back_under_the_same_lease(
    bench: Bench, store: Store
) -> None:
    study_id = bench.study(definition())
    (first,) = await bench.suggest(study_id, client_id="me")
    (again,) = await bench.suggest(study_id, client_id="me")
    assert again.lease.id == first.lease.id
    (other,) = await bench.suggest(study_id, client_id="you")
    assert other.trial.id != first.trial.id
    store.clock.offset_s += 61
    assert bench.sweep() == 2
    (kept,) = await bench.suggest(study_id, client_id="somebody")
    assert kept.trial.id not in (first.trial.id, other.trial.id)
    (mine,) = await bench.suggest(study_id, client_id="me")
    assert (mine.trial.id, mine.lease.id) == (first.trial.id, first.lease.id)


async def test_after_one_lease_time_a_kept_trial_goes_to_anyone(bench: Bench, store: Store) -> None:
    study_id = bench.study(definition())
    (first,) = await bench.suggest(study_id, client_id="me")
    store.clock.offset_s += 61
    bench.sweep()
    store.clock.offset_s += 61
    (taken,) = await bench.suggest(study_id, client_id="you")
    assert taken.trial.id == first.trial.id
    assert taken.lease.id != first.lease.id


async def test_cancelling_a_study_aborts_its_trials(bench: Bench, services: Services) -> None:
    grant = await running(bench)
    study = services.studies.cancel(grant.trial.study_id).study
    assert study.state is StudyState.CANCELLED
    assert services.trials.get(grant.trial.id).trial.state is TrialState.CANCELLED
    (answer,) = services.leases.beat(
        [Beat(lease_id=grant.lease.id)], worker_id=None, caller=bench.caller
    )
    assert answer.directive is Directive.ABORT


async def test_stopping_lets_running_trials_end(bench: Bench, services: Services) -> None:
    grant = await running(bench)
    study_id = grant.trial.study_id
    assert services.studies.stop(study_id).study.state is StudyState.STOPPING
    assert await bench.claim(bench.worker("other")) is None
    bench.complete(grant, 1.0)
    ended = services.studies.get(study_id).study
    assert ended.state is StudyState.COMPLETED
    assert ended.stop_reason == "user"


async def test_a_waiting_claim_of_a_worker_that_drains_ends_at_once(
    bench: Bench, services: Services
) -> None:
    bench.study(worker_study())
    worker_id = bench.worker()
    services.workers.set_draining(worker_id, True)
    assert await asyncio.wait_for(bench.claim(worker_id, wait_s=120), timeout=30) is None
