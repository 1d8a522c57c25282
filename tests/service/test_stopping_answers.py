"""What a rule's decision looks like to who holds the trial, and reports that are odd."""

from __future__ import annotations

import math

import pytest

from app.domain.fidelity import Directive
from app.domain.study import StudyState
from app.domain.trial import Trial, TrialSource, TrialState
from app.errors import Conflict, StaleLease
from app.service.services import Services
from app.service.views import Beat, Grant, Point, Report, Reported

from .conftest import LEASE_TTL_S, Bench, worker_study
from .test_early_stopping import ruled

pytestmark = pytest.mark.anyio


def report(bench: Bench, grant: Grant, *points: tuple[int, float], seq: int = 0) -> Reported:
    return bench.services.leases.report(
        grant.trial.id,
        lease_id=grant.lease.id,
        seq=seq,
        points=[Point(step=step, values={"value": value}) for step, value in points],
        caller=bench.caller,
    ).run()


def pause(bench: Bench, grant: Grant) -> Trial:
    return bench.services.leases.release(
        grant.lease.id, reason="paused", checkpoint_id=None, caller=bench.caller
    )


def trial(bench: Bench, grant: Grant) -> Trial:
    return bench.services.trials.get(grant.trial.id).trial


async def test_a_pause_is_said_in_every_answer_until_the_lease_ends(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(ruled("asha", 20))
    (grant,) = await bench.suggest(study_id)
    assert (grant.budget.from_step, grant.budget.to_step) == (0, 1)
    first = report(bench, grant, (1, 0.5))
    again = report(bench, grant, (1, 0.5))
    (beat,) = services.leases.beat(
        [Beat(lease_id=grant.lease.id)], worker_id=None, caller=bench.caller
    )
    renewed = services.leases.renew(Beat(lease_id=grant.lease.id), caller=bench.caller)
    told = [first.directive, again.directive, beat.directive, renewed.directive]
    assert told == [Directive.PAUSE] * 4
    assert (first.budget.from_step, first.budget.to_step) == (1, 1)
    assert pause(bench, grant).state is TrialState.PAUSED
    assert pause(bench, grant).state is TrialState.PAUSED  # the answer was lost: the same again


async def test_a_rule_sees_what_comes_with_the_end_as_if_it_had_come_before(bench: Bench) -> None:
    found = []
    for is_together in (False, True):
        raw = {**ruled("asha", 20, max_resource_total=100), "name": f"{is_together}"}
        (grant,) = await bench.suggest(bench.study(raw))
        if is_together:
            last = Report(seq=0, points=[Point(step=1, values={"value": 0.5})])
            bench.complete(grant, 0.5, report=last)
        else:
            report(bench, grant, (1, 0.5))
            bench.complete(grant, 0.5)
        (lease,) = bench.services.trials.get(grant.trial.id).attempts
        ended, study = trial(bench, grant), bench.services.studies.get(grant.trial.study_id).study
        counted = (study.resource_used, study.resource_granted, study.results_seq, study.change_seq)
        noted = (lease.last_seq, lease.last_step)
        found.append((ended.rungs, ended.state, ended.directive, ended.step, noted, counted))
    assert found[0] == found[1]
    assert found[0][0] == ((1, 0.5),)


async def test_a_promoted_trial_comes_before_a_new_one_and_goes_on_where_it_paused(
    bench: Bench,
) -> None:
    study_id = bench.study(ruled("asha", 20))
    grants = await bench.suggest(study_id, count=3)
    for k, grant in enumerate(grants):
        if report(bench, grant, (1, float(k))).directive is Directive.PAUSE:
            pause(bench, grant)
    best = trial(bench, grants[0])
    assert (best.state, best.source) == (TrialState.PENDING, TrialSource.PROMOTION)
    (again,) = await bench.suggest(study_id)
    assert again.trial.id == best.id
    assert (again.budget.from_step, again.budget.to_step) == (1, 3)


async def test_who_is_promoted_before_it_has_paused_hears_of_it_and_may_still_pause(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(ruled("asha", 20))
    grants = await bench.suggest(study_id, count=3)
    answers = [report(bench, grant, (1, float(k))) for k, grant in enumerate(grants)]
    assert answers[0].directive is Directive.PAUSE
    again = report(bench, grants[0], (1, 0.0))
    assert (again.directive, again.budget.to_step) == (Directive.CONTINUE, 3)
    paused = pause(bench, grants[0])  # it acts on the first answer
    assert paused.state is TrialState.PENDING
    assert paused.losses == 0


async def test_a_trial_pauses_at_a_rung_only(bench: Bench) -> None:
    study_id = bench.study(ruled("asha", 20))
    (grant,) = await bench.suggest(study_id)
    with pytest.raises(Conflict) as refused:
        pause(bench, grant)
    assert refused.value.code == "illegal-transition"
    assert trial(bench, grant).state is TrialState.RUNNING


async def test_a_trial_told_to_pause_whose_lease_expires_is_paused_and_costs_no_loss_for_ever(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(ruled("asha", 20))
    (grant,) = await bench.suggest(study_id)
    report(bench, grant, (1, 0.5))
    services.store.clock.offset_s += LEASE_TTL_S + 1
    bench.sweep()
    assert trial(bench, grant).state is TrialState.PAUSED
    with pytest.raises(StaleLease):
        report(bench, grant, (2, 0.1), seq=1)


async def test_a_rung_keeps_the_first_value_that_was_reported_at_it(bench: Bench) -> None:
    study_id = bench.study(ruled("asha", 20))
    (grant,) = await bench.suggest(study_id)
    report(bench, grant, (1, 0.5))
    report(bench, grant, (1, 0.1), seq=1)
    assert trial(bench, grant).rungs == ((1, 0.5),)


async def test_a_report_beyond_rungs_fills_all_that_it_skips(bench: Bench) -> None:
    study_id = bench.study(ruled("asha", 20))
    (grant,) = await bench.suggest(study_id)
    report(bench, grant, (5, 0.5))
    assert trial(bench, grant).rungs == ((1, 0.5), (3, 0.5))
    assert bench.services.studies.get(study_id).study.resource_used == 5


async def test_steps_that_go_backwards_are_kept_and_cost_nothing(bench: Bench) -> None:
    study_id = bench.study(ruled("median", 20))
    (grant,) = await bench.suggest(study_id)
    report(bench, grant, (4, 0.5), (2, 0.6))
    report(bench, grant, (3, 0.4), seq=1)
    assert bench.services.studies.get(study_id).study.resource_used == 4
    assert [m.step for m in bench.services.trials.measurements(grant.trial.id).items] == [4, 2, 3]


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
async def test_a_value_that_is_no_number_is_the_worst_and_never_promoted(
    bench: Bench, value: float | None
) -> None:
    study_id = bench.study(ruled("asha", 20))
    grants = await bench.suggest(study_id, count=3)
    values = {} if value is None else {"value": value}
    told = bench.services.leases.report(
        grants[0].trial.id,
        lease_id=grants[0].lease.id,
        seq=0,
        points=[Point(step=1, values=values)],
        caller=bench.caller,
    ).run()
    assert told.directive is Directive.PAUSE
    ((step, noted),) = trial(bench, grants[0]).rungs
    assert step == 1
    assert math.isnan(noted)
    pause(bench, grants[0])
    report(bench, grants[1], (1, 2.0))
    report(bench, grants[2], (1, 1.0))
    assert trial(bench, grants[0]).state is TrialState.PAUSED
    assert trial(bench, grants[2]).to_step == 3


async def test_a_trial_completed_below_its_rung_counts_where_it_has_been(bench: Bench) -> None:
    study_id = bench.study(ruled("hyperband", 9))
    grants = await bench.suggest(study_id, count=9)
    bench.complete(grants[0], 0.1, step=1)
    for k, grant in enumerate(grants[1:], start=1):
        report(bench, grant, (1, float(k)))
    going_on = [t.number for g in grants if (t := trial(bench, g)).to_step == 3]
    assert going_on == [2, 3, 4]


async def test_a_study_that_has_no_place_left_ends_with_its_paused_trials_stopped(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(ruled("asha", 2))
    first, second = await bench.suggest(study_id, count=2)
    for grant, value in ((first, 0.2), (second, 0.1)):
        report(bench, grant, (1, value))
        pause(bench, grant)
    # Nothing would be trained in full: the best goes on to its end.
    (again,) = await bench.suggest(study_id)
    assert (again.trial.number, again.budget.to_step) == (second.trial.number, 9)
    report(bench, again, (3, 0.09), (9, 0.05))
    bench.complete(again, 0.05, step=9)
    study = services.studies.get(study_id).study
    assert (study.state, study.stop_reason) == (StudyState.COMPLETED, "max_trials")
    stopped = trial(bench, first)
    assert (stopped.state, stopped.step, stopped.values) == (TrialState.STOPPED, 1, {"value": 0.2})
    assert study.best_trial_id == second.trial.id
    assert (study.resource_used, study.resource_saved) == (1 + 9, 8)


async def test_a_stopped_trial_is_the_best_only_while_none_was_completed(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(ruled("median", 20))
    first, second = await bench.suggest(study_id, count=2)
    report(bench, first, (2, 0.1))
    bench.complete(first, 0.1, state=TrialState.STOPPED, step=2)
    assert services.studies.get(study_id).study.best_trial_id == first.trial.id
    bench.complete(second, 0.9, step=9)
    assert services.studies.get(study_id).study.best_trial_id == second.trial.id


async def test_a_promoted_trial_goes_to_the_worker_that_trained_it(bench: Bench) -> None:
    rule = {"name": "asha", "options": {"min_resource": 1, "max_resource": 9}}
    raw = worker_study(early_stopping=rule)
    raw["objective"]["options"]["steps"] = 9
    bench.study(raw)
    workers = [bench.worker(f"w{k}") for k in range(6)]
    grants: list[Grant] = []
    for worker in workers:
        grant = await bench.claim(worker)
        assert grant is not None
        grants.append(grant)
    # The two best pause first, and are promoted when the others have come.
    for k, grant in enumerate(grants):
        if report(bench, grant, (1, float(k))).directive is Directive.PAUSE:
            pause(bench, grant)
    pending = [g for g in grants if trial(bench, g).state is TrialState.PENDING]
    assert [g.trial.number for g in pending] == [1, 2]
    second = await bench.claim(workers[1])
    first = await bench.claim(workers[5])
    assert second is not None
    assert first is not None
    assert (second.trial.number, first.trial.number) == (2, 1)
