"""Analyses against both databases: attempts in their order, and rows that are read once."""

from __future__ import annotations

import pytest

from app.analysis.explained import Target
from app.service.analysis import Query
from app.service.services import Services
from app.service.views import Grant
from app.store import plots
from app.store.measurements import Point

from .conftest import Bench, definition, worker_study

pytestmark = pytest.mark.anyio


async def test_a_retried_trial_has_a_bar_for_each_attempt(services: Services, bench: Bench) -> None:
    study_id = bench.study(worker_study(failure_policy={"max_attempts": 2, "backoff_s": 0}))
    worker_id = bench.worker("gpu-a")
    for ending in ("fail", "complete"):
        grant = await bench.claim(worker_id)
        assert grant is not None
        if ending == "fail":
            bench.fail(grant, message="broke")
        else:
            bench.complete(grant, 1.0)
    bars = await services.analyses.run("timeline", study_id, Query())
    assert bars.columns["number"] == [1, 1]
    assert bars.columns["attempt"] == [1, 2]
    assert bars.columns["end"] == ["failed", "completed"]
    assert bars.more["holders"] == ["gpu-a"]
    assert bars.n_total == 1
    failures = await services.analyses.run("failures", study_id, Query())
    assert (failures.columns["n"], failures.columns["numbers"]) == ([1], [[1]])


async def test_only_what_has_changed_is_read_again(services: Services, bench: Bench) -> None:
    study_id = bench.study(worker_study())
    worker_id = bench.worker()
    values = [3.0, 5.0, 1.0]
    for number, value in enumerate(values, start=1):
        grant = await bench.claim(worker_id)
        assert grant is not None
        bench.complete(grant, value)
        found = await services.analyses.run("history", study_id, Query())
        assert found.columns["value"] == values[:number]
    _, before = services.analyses._tables.look(study_id)
    grant = await bench.claim(worker_id)
    await services.analyses.run("history", study_id, Query())
    _, after = services.analyses._tables.look(study_id)
    assert all(one is other for one, other in zip(before.params, after.params, strict=False))
    assert (len(before), len(after)) == (3, 4)


async def test_a_curve_is_read_once_its_trial_has_ended(
    services: Services, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = bench.study(worker_study(failure_policy={"max_attempts": 1}))
    worker_id = bench.worker()
    asked: list[int] = []
    original = plots.reports

    def reports(conn: object, trial_ids: list[str]) -> object:
        asked.append(len(trial_ids))
        return original(conn, trial_ids)  # type: ignore[arg-type]

    monkeypatch.setattr(plots, "reports", reports)

    def report(grant: Grant, step: int, value: float) -> None:
        services.leases.report(
            grant.trial.id,
            lease_id=grant.lease.id,
            seq=step,
            points=[Point(step=step, values={"value": value})],
            caller=bench.caller,
        ).run()

    grant = await bench.claim(worker_id)
    assert grant is not None
    report(grant, 1, 3.0)
    for value in (3.0, 2.0):  # under way, it is read at every look
        found = await services.analyses.run("curves", study_id, Query())
        assert found.more["points"]["value"][-1] == value
        if value == 3.0:
            report(grant, 2, 2.0)
    bench.fail(grant)
    for _ in range(2):
        found = await services.analyses.run("curves", study_id, Query())
    assert asked == [1, 1, 1]
    services.trials.retry(grant.trial.id)
    again = await bench.claim(worker_id)
    assert again is not None
    report(again, 3, 1.0)
    found = await services.analyses.run("curves", study_id, Query())
    assert found.more["points"] == {"step": [1, 2, 3], "value": [3.0, 2.0, 1.0]}


async def test_rungs_and_fronts_are_read_from_both_databases(
    services: Services, bench: Bench
) -> None:
    rule = {"name": "asha", "options": {"max_resource": 9, "eta": 3}}
    study_id = bench.study(definition("rungs", early_stopping=rule))
    for value in (2.0, 1.0, 3.0):
        (grant,) = await bench.suggest(study_id)
        services.leases.report(
            grant.trial.id,
            lease_id=grant.lease.id,
            seq=1,
            points=[Point(step=1, values={"value": value})],
            caller=bench.caller,
        ).run()
    found = await services.analyses.run("rungs", study_id, Query())
    assert found.columns["n_entered"] == [3, 1]
    assert found.columns["n_waiting"] == [2, 0]
    history = await services.analyses.run("history", study_id, Query())
    assert history.columns["value"] == [2.0, 1.0, 3.0]  # none has ended: what they reported last
    assert history.more["best"][0]["number"] == []

    metrics = [
        {"name": "loss", "direction": "minimize"},
        {"name": "score", "direction": "maximize"},
        {"name": "size", "direction": "minimize", "role": "constraint", "threshold": 5},
    ]
    study_id = bench.study(definition("front", metrics=metrics))
    rows = [(3.0, 1.0, 1.0), (1.0, 2.0, 9.0), (2.0, 2.0, 5.0)]
    items = [
        {"params": {"x": 0.1 * k}, "values": dict(zip(("loss", "score", "size"), row, strict=True))}
        for k, row in enumerate(rows)
    ]
    services.trials.enqueue(study_id, items)
    found = await services.analyses.run("pareto", study_id, Query())
    assert found.columns["v1"] == [1.0, 2.0, 2.0]
    assert found.columns["on_front"] == [False, False, True]
    assert found.columns["is_feasible"] == [True, False, True]


async def test_durations_are_those_of_trials_that_were_trained(
    bench: Bench, services: Services
) -> None:
    """Imported ones whose start nobody knows, and duplicates, took no time that says anything."""
    study_id = bench.study(definition())
    first, second = await bench.suggest(study_id, count=2)
    bench.complete(first, 1.0, equivalent={"x": 1})
    services.leases.match(
        second.trial.id, lease_id=second.lease.id, equivalent={"x": 1}, caller=bench.caller
    )
    times = {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:01:00Z"}
    imported = {"params": {"x": 0.5}, "values": {"value": 1.0}}
    services.trials.enqueue(study_id, [imported, {**imported, **times}])
    found = await services.analyses.run("importance", study_id, Query(target=Target.DURATION))
    assert (found.n_total, found.n_used) == (4, 2)
    assert found.excluded == {"completed": 2}
