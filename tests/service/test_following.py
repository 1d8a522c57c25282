"""The next trial, given out in the transaction that ends the last one; on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.trial import FailureKind
from app.service.following import Following
from app.service.services import Services
from app.service.views import Point, Report
from app.store.engine import Store

from .conftest import Bench, definition
from .test_statement_counts import counting

pytestmark = pytest.mark.anyio


def following(services: Services, bench: Bench, client_id: str = "c", **more: Any) -> Following:
    given: dict[str, Any] = {"count": 1, "lease_s": 60, **more}
    return services.leases.following(client_id=client_id, caller=bench.caller, **given)


async def test_end_and_next_are_one_transaction_of_few_statements(
    bench: Bench, services: Services, store: Store
) -> None:
    study_id = bench.study(definition())
    [grant] = await bench.suggest(study_id, client_id="c")
    report = Report(seq=0, points=[Point(step=k, values={"value": 1.0}) for k in (1, 2, 3)])
    for n in range(4):
        follow = following(services, bench)
        with counting() as counts:
            ended = bench.complete(grant, 9.0 + n, report=report, following=follow)
        assert follow.answer is not None
        [grant] = follow.answer.grants
        assert (ended.number, ended.state.value) == (n + 1, "completed")
        assert (grant.trial.number, grant.trial.client_id) == (n + 2, "c")
    # Read under the lock, whether the client has others, the writes; the same row twice is two.
    assert (counts["statements"], counts["commits"]) == (3 if store.dialect == "sqlite" else 4, 1)
    kept = services.trials.get(grant.trial.id).trial
    assert (kept.state.value, kept.lease_id) == ("running", grant.lease.id)
    study = services.studies.get(study_id).study
    assert {k.value: n for k, n in study.counts.items() if n} == {"completed": 4, "running": 1}
    assert study.places == 5


async def test_a_client_with_other_trials_gets_those_by_an_ask_of_its_own(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition())
    first, _ = await bench.suggest(study_id, client_id="c", count=2)
    [other] = await bench.suggest(study_id, client_id="d")
    follow = following(services, bench)
    bench.complete(first, 1.0, following=follow)
    assert follow.answer is None
    follow = following(services, bench, client_id="d")
    bench.complete(other, 1.0, following=follow)
    assert [each.trial.number for each in follow.grants] == [4]


async def test_the_budget_is_that_of_the_study_after_the_end(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(limits={"max_trials": 2, "max_parallel": 1}))
    [grant] = await bench.suggest(study_id, client_id="c")
    follow = following(services, bench, count=5)
    bench.complete(grant, 1.0, following=follow)
    [grant] = follow.grants
    last = following(services, bench)
    bench.complete(grant, 2.0, following=last)
    assert last.answer is None
    assert services.studies.get(study_id).study.state.value == "completed"


async def test_a_failed_attempt_of_ones_own_comes_back_in_the_same_transaction(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(definition(failure_policy={"max_attempts": 2, "backoff_s": 0}))
    [grant] = await bench.suggest(study_id, client_id="c")
    follow = following(services, bench)
    failed = services.leases.fail(
        grant.trial.id,
        lease_id=grant.lease.id,
        kind=FailureKind.USER_ERROR,
        message="",
        traceback="",
        following=follow,
        caller=bench.caller,
    ).run()
    assert failed.will_retry
    assert [each.trial.id for each in follow.grants] == [grant.trial.id]


async def test_a_draw_that_fails_does_not_undo_the_end(
    bench: Bench, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = bench.study(definition())
    [grant] = await bench.suggest(study_id, client_id="c")

    def broken(*_: Any) -> None:
        raise ArithmeticError("no point")

    monkeypatch.setattr(services.points, "at_once", broken)
    follow = following(services, bench)
    ended = bench.complete(grant, 1.0, following=follow)
    assert (ended.state.value, follow.answer) == ("completed", None)
    assert services.trials.get(grant.trial.id).trial.state.value == "completed"


async def test_points_that_know_the_history_are_asked_for_by_themselves(
    bench: Bench, services: Services
) -> None:
    space = [{"name": "x", "type": "int", "low": 1, "high": 9}]
    modelled = services.studies.get(bench.study(definition(suggester={"name": "gp"}))).study
    assert services.points.at_once(modelled, 1) is None
    study_id = bench.study(definition(name="g", space=space, suggester={"name": "grid"}))
    [grant] = await bench.suggest(study_id, client_id="c")
    follow = following(services, bench)
    bench.complete(grant, 1.0, following=follow)
    assert follow.answer is None


async def test_an_ask_gets_its_trial_however_often_others_are_before_it(
    bench: Bench, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = bench.study(definition())
    [grant] = await bench.suggest(study_id, client_id="c")
    grants, points = [grant], services.points
    drawn = points.inline

    def overtaken(of: str, want: int) -> Any:
        found = drawn(of, want)
        follow = following(services, bench)
        bench.complete(grants[-1], 1.0, following=follow)
        grants.extend(follow.grants)
        return found

    monkeypatch.setattr(points, "inline", overtaken)
    [other] = await bench.suggest(study_id, client_id="d")
    assert [each.trial.number for each in (*grants, other)] == [1, 2, 3]
    assert len({each.trial.params["x"] for each in (*grants, other)}) == 3
