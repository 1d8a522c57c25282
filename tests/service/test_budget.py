"""Places in `max_trials`, `max_parallel` and how a study ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.domain.study import StudyState
from app.domain.trial import TrialState
from app.errors import Conflict
from app.service.services import Services

from .conftest import Bench, definition

pytestmark = pytest.mark.anyio


async def test_a_budget_is_never_passed_by_concurrent_asks(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(limits={"max_trials": 10}))
    asks = [bench.suggest(study_id) for _ in range(30)]
    granted = [g for answer in await asyncio.gather(*asks) for g in answer]
    assert sorted(g.trial.number for g in granted) == list(range(1, 11))
    assert await bench.suggest(study_id) == []  # also of an ask that was not drawn for with others
    for grant in granted:
        bench.complete(grant, 1.0)
    study = services.studies.get(study_id).study
    assert study.state is StudyState.COMPLETED
    assert study.stop_reason == "max_trials"
    assert await bench.suggest(study_id) == []


async def test_max_parallel_bounds_what_runs_and_a_place_wakes_a_waiting_ask(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(limits={"max_parallel": 2}))
    first, _ = await bench.suggest(study_id, count=5)
    waiting = asyncio.create_task(bench.suggest(study_id, wait_s=30))
    await asyncio.sleep(0)
    await asyncio.to_thread(bench.complete, first, 1.0)
    (third,) = await waiting
    assert third.trial.number == 3


async def test_a_cancelled_trial_frees_its_place(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition(limits={"max_trials": 1}))
    (grant,) = await bench.suggest(study_id)
    services.trials.cancel(grant.trial.id)
    (again,) = await bench.suggest(study_id)
    assert again.trial.number == 2


async def test_enqueued_points_run_first_and_hold_places(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition(limits={"max_trials": 2}))
    services.trials.enqueue(study_id, [{"params": {"x": 0.5}}, {"params": {}}])
    with pytest.raises(Conflict) as full:
        services.trials.enqueue(study_id, [{"params": {"x": 0.1}}])
    assert full.value.code == "budget-exhausted"
    first, second = await bench.suggest(study_id, count=5)
    assert first.trial.params == {"x": 0.5}
    assert set(second.trial.params) == {"x"}


async def test_imported_trials_hold_no_place_and_can_be_the_best(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(limits={"max_trials": 1}))
    services.trials.enqueue(study_id, [{"params": {"x": 0.5}, "values": {"value": 0.01}}])
    (grant,) = await bench.suggest(study_id)
    bench.complete(grant, 5.0)
    view = services.studies.get(study_id)
    assert view.study.state is StudyState.COMPLETED
    assert view.best is not None
    assert view.best.values == {"value": 0.01}


async def test_a_target_ends_the_study(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition(limits={"max_trials": 100, "target": 0.1}))
    (grant,) = await bench.suggest(study_id)
    bench.complete(grant, 0.05)
    study = services.studies.get(study_id).study
    assert (study.state, study.stop_reason) == (StudyState.COMPLETED, "target_reached")


@pytest.mark.parametrize("limit", [{"target": 0.1}, {"no_progress": {"trials": 1}}])
async def test_what_breaks_a_constraint_is_no_progress_and_reaches_no_target(
    bench: Bench, services: Services, limit: dict[str, Any]
) -> None:
    size = {"name": "size", "direction": "minimize", "role": "constraint", "threshold": 5}
    metrics = [{"name": "value", "direction": "minimize"}, size]
    study_id = bench.study(definition(metrics=metrics, limits={"max_trials": 100, **limit}))
    for value, big in ((0.05, 9.0), (0.3, 1.0), (0.08, 2.0)):
        assert services.studies.get(study_id).study.state is StudyState.ACTIVE
        (grant,) = await bench.suggest(study_id)
        bench.complete(grant, value, values={"value": value, "size": big})
    view = services.studies.get(study_id)
    assert view.best is not None
    assert view.best.values["value"] == 0.08
    is_reached = view.study.stop_reason == "target_reached"
    assert (view.study.state is StudyState.COMPLETED) is is_reached is ("target" in limit)


@pytest.mark.parametrize(
    ("suggester", "said"), [("gp", "the model expects a gain of"), ("random", "the last trials")]
)
async def test_a_low_expected_gain_ends_the_study_and_says_who_expects_it(
    bench: Bench, services: Services, suggester: str, said: str
) -> None:
    limits = {"max_trials": 100, "min_gain_per_h": 1e12}
    study_id = bench.study(definition(suggester={"name": suggester, "seed": 1}, limits=limits))
    while services.studies.get(study_id).study.state is StudyState.ACTIVE:
        (grant,) = await bench.suggest(study_id)
        bench.complete(grant, (float(grant.trial.params["x"]) - 0.3) ** 2)
    study = services.studies.get(study_id).study
    assert (study.state, study.stop_reason) == (StudyState.COMPLETED, "low_expected_gain")
    assert study.places == 10
    assert study.stop_detail is not None
    assert study.stop_detail.startswith(said)
    assert "less than 1e+12; the best value is" in study.stop_detail


async def test_a_grid_ends_with_space_exhausted(bench: Bench, services: Services) -> None:
    space = [{"name": "x", "type": "int", "low": 1, "high": 4}]
    study_id = bench.study(definition(space=space, suggester={"name": "grid"}))
    grants = [g for _ in range(6) for g in await bench.suggest(study_id)]
    assert sorted(g.trial.params["x"] for g in grants) == [1, 2, 3, 4]
    for grant in grants:
        bench.complete(grant, 1.0)
    study = services.studies.get(study_id).study
    assert (study.state, study.stop_reason) == (StudyState.COMPLETED, "space_exhausted")


async def test_a_grid_point_that_was_lost_after_the_last_one_was_handed_out_is_run_again(
    bench: Bench, services: Services
) -> None:
    space = [{"name": "x", "type": "int", "low": 1, "high": 2}]
    policy = {"max_losses": 0}
    raw = definition(space=space, suggester={"name": "grid"}, failure_policy=policy)
    study_id = bench.study(raw)
    first, second = await bench.suggest(study_id, count=2)
    assert await bench.suggest(study_id) == []
    assert services.studies.get(study_id).study.exhausted
    assert bench.fail(second, "preempted").trial.state is TrialState.FAILED
    bench.complete(first, 1.0)
    (again,) = await bench.suggest(study_id)
    assert again.trial.params == second.trial.params
    bench.complete(again, 1.0)
    assert await bench.suggest(study_id) == []
    assert services.studies.get(study_id).study.stop_reason == "space_exhausted"


async def test_raising_the_limit_reopens_a_study(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition(limits={"max_trials": 1}))
    (grant,) = await bench.suggest(study_id)
    bench.complete(grant, 1.0)
    with pytest.raises(Conflict):
        services.studies.resume(study_id)
    revision = services.studies.get(study_id).study.revision
    services.studies.patch(study_id, {"limits": {"max_trials": 2}}, revision=revision)
    assert services.studies.resume(study_id).study.state is StudyState.ACTIVE
    assert len(await bench.suggest(study_id)) == 1


async def test_a_failed_trial_can_be_run_again(bench: Bench, services: Services) -> None:
    policy = {"max_attempts": 1}
    study_id = bench.study(definition(failure_policy=policy, limits={"max_trials": 1}))
    (grant,) = await bench.suggest(study_id)
    assert bench.fail(grant).trial.state is TrialState.FAILED
    assert services.trials.retry(grant.trial.id).state is TrialState.PENDING
    (again,) = await bench.suggest(study_id)
    assert again.trial.id == grant.trial.id


async def test_only_a_failed_trial_is_run_again(bench: Bench, services: Services) -> None:
    study_id = bench.study(definition())
    (grant,) = await bench.suggest(study_id)
    with pytest.raises(Conflict) as refused:
        services.trials.retry(grant.trial.id)
    assert refused.value.members["current_state"] == "running"
    assert bench.complete(grant, 1.0).state is TrialState.COMPLETED


async def test_a_grid_stays_a_grid_when_many_ask_at_once(bench: Bench) -> None:
    space = [{"name": "x", "type": "int", "low": 1, "high": 40}]
    study_id = bench.study(definition(space=space, suggester={"name": "grid"}))
    answers = await asyncio.gather(*(bench.suggest(study_id) for _ in range(60)))
    grants = [g for answer in answers for g in answer]
    assert sorted(g.trial.params["x"] for g in grants) == list(range(1, 41))
    assert {g.trial.source.value for g in grants} == {"suggester"}
