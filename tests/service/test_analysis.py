"""Analyses against both databases: attempts in their order, and rows that are read once."""

from __future__ import annotations

import pytest

from app.service.analysis import Query
from app.service.services import Services

from .conftest import Bench, worker_study

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
