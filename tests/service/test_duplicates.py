"""Equal work is done once: a trial whose canonical point has completed is answered from that."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from app.domain.study import StudyState
from app.domain.trial import Trial, TrialSource, TrialState
from app.errors import StaleLease
from app.service.services import Services
from app.service.views import Grant, Matched, Point
from app.store import schema
from app.store.engine import Store

from .conftest import Bench, definition
from .test_statement_counts import counting

pytestmark = pytest.mark.anyio

POINT = {"depth": None, "trees": 40}


def match(bench: Bench, grant: Grant, point: dict[str, Any] = POINT) -> Matched:
    return bench.services.leases.match(
        grant.trial.id, lease_id=grant.lease.id, equivalent=point, caller=bench.caller
    )


def complete(bench: Bench, grant: Grant, value: float = 2.0, **more: Any) -> Trial:
    trial: Trial = bench.complete(grant, value, **{"equivalent": POINT, **more})
    return trial


async def test_a_trial_that_is_equal_to_a_completed_one_gets_its_result(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(limits={"max_trials": 3}))
    first, second = await bench.suggest(study_id, count=2)
    assert not match(bench, first).is_answered
    data = {"dataset": "d", "digest": "abc"}
    complete(bench, first, step=7, data=data)
    matched = match(bench, second, {"trees": 40.0, "depth": None})
    trial = matched.trial
    assert matched.is_answered
    assert (trial.state, trial.source) == (TrialState.COMPLETED, TrialSource.DUPLICATE)
    assert (trial.values, trial.step, trial.data) == ({"value": 2.0}, 7, data)
    assert trial.origin is second.trial.source
    assert trial.provenance == {
        **second.trial.provenance,
        "duplicate_of": {
            "trial_id": first.trial.id,
            "number": first.trial.number,
            "source": second.trial.source.value,
        },
    }
    kept = services.trials.get(trial.id).trial
    assert (kept.source, kept.provenance) == (trial.source, trial.provenance)
    study = services.studies.get(study_id).study
    assert (study.counts[TrialState.COMPLETED], study.places) == (2, 2)
    assert study.best_trial_id == first.trial.id


async def test_a_duplicate_counts_for_max_trials_and_ends_the_study(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(limits={"max_trials": 2}))
    first, second = await bench.suggest(study_id, count=2)
    complete(bench, first)
    assert match(bench, second).is_answered
    study = services.studies.get(study_id).study
    assert (study.state, study.places) == (StudyState.COMPLETED, 2)


async def test_the_same_question_again_gets_the_first_answer_and_a_stale_lease_none(
    bench: Bench,
) -> None:
    first, second = await bench.suggest(bench.study(definition()), count=2)
    complete(bench, first)
    answered = match(bench, second)
    assert match(bench, second) == answered
    with pytest.raises(StaleLease):
        complete(bench, second)
    with pytest.raises(StaleLease):
        match(bench, first)


async def test_a_trial_that_trains_all_the_same_still_ends_by_its_own_result(bench: Bench) -> None:
    first, second = await bench.suggest(bench.study(definition()), count=2)
    assert not match(bench, second).is_answered
    complete(bench, first, 2.0)
    assert complete(bench, second, 2.0).source is not TrialSource.DUPLICATE


@pytest.mark.parametrize("state", [TrialState.STOPPED, TrialState.INFEASIBLE])
async def test_only_completed_trials_answer(bench: Bench, state: TrialState) -> None:
    first, second = await bench.suggest(bench.study(definition()), count=2)
    complete(bench, first, state=state)
    assert not match(bench, second).is_answered


async def test_a_failed_trial_answers_nobody(bench: Bench) -> None:
    raw = definition(failure_policy={"max_attempts": 1})
    first, second = await bench.suggest(bench.study(raw), count=2)
    match(bench, first)
    bench.fail(first)
    assert not match(bench, second).is_answered


async def test_a_trial_that_said_nothing_of_its_point_answers_nobody(bench: Bench) -> None:
    first, second = await bench.suggest(bench.study(definition()), count=2)
    bench.complete(first, 2.0)
    assert not match(bench, second).is_answered


async def test_another_study_and_another_point_are_not_equal(bench: Bench) -> None:
    first, second = await bench.suggest(bench.study(definition()), count=2)
    [other] = await bench.suggest(bench.study(definition("other")))
    complete(bench, first)
    assert not match(bench, other).is_answered
    assert not match(bench, second, {**POINT, "trees": 41}).is_answered


async def test_a_replicate_is_trained(bench: Bench, store: Store) -> None:
    first, second = await bench.suggest(bench.study(definition()), count=2)
    complete(bench, first)
    replicate = text("UPDATE trials SET source = 'replicate' WHERE id = :id")
    store.write(lambda tx: tx.conn.execute(replicate, {"id": second.trial.id}))
    assert not match(bench, second).is_answered


async def test_a_duplicates_duplicate_names_the_trial_that_was_trained(bench: Bench) -> None:
    grants = await bench.suggest(bench.study(definition()), count=3)
    trained, *others = reversed(grants)
    complete(bench, trained)
    found = [match(bench, grant).trial.provenance["duplicate_of"] for grant in others]
    assert [of["trial_id"] for of in found] == [trained.trial.id] * 2


@pytest.mark.parametrize("rule", ["median", "asha", "hyperband"])
async def test_a_rule_sees_a_completed_trial_and_no_steps_are_counted(
    bench: Bench, services: Services, rule: str
) -> None:
    options = {"min_resource": 1, "max_resource": 9}
    if rule == "asha":
        options["mode"] = "stop"
    study_id = bench.study(
        definition(
            early_stopping={"name": rule, "options": options},
            limits={"max_trials": 8, "max_resource_total": 400},
        )
    )
    first, second, third = await bench.suggest(study_id, count=3)
    complete(bench, first, 0.5, step=9)
    before = services.studies.get(study_id).study
    assert match(bench, second).is_answered
    after = services.studies.get(study_id).study
    assert after.resource_used == before.resource_used
    assert after.resource_granted < before.resource_granted
    told = services.leases.report(
        third.trial.id,
        lease_id=third.lease.id,
        seq=0,
        points=[Point(step=1, values={"value": 0.1})],
        caller=bench.caller,
    ).run()
    assert told.accepted == 1
    assert await bench.suggest(study_id)


async def test_the_question_is_one_look_and_the_answer_one_write(bench: Bench) -> None:
    grants = await bench.suggest(bench.study(definition(limits={"max_trials": 50})), count=5)
    complete(bench, grants[0])
    match(bench, grants[1])  # the first of its kind makes the trigger
    found = []
    for grant, point in ((grants[2], POINT), (grants[3], {"else": 1})):
        with counting() as counts:
            match(bench, grant, point)
        found.append((counts["statements"], counts["commits"]))
    assert found == [(3, 1), (2, 1)]


async def test_a_duplicate_has_its_source_again_when_the_schema_goes_down(
    bench: Bench, store: Store
) -> None:
    first, second = await bench.suggest(bench.study(definition()), count=2)
    complete(bench, first)
    trial = match(bench, second).trial
    schema.downgrade(store.url, "0005")
    source = text("SELECT source FROM trials WHERE id = :id")
    found = store.read(lambda conn: conn.execute(source, {"id": trial.id}).scalar_one())
    assert found == trial.origin
    schema.upgrade(store.url)
