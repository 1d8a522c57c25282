"""Claims for trials that are to begin later: only of studies for which that changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from app.service.services import Services
from app.service.views import Claim

from .conftest import Bench, worker_study

pytestmark = pytest.mark.anyio


async def claim_ahead(services: Services, bench: Bench, worker_id: str) -> Claim:
    return await services.claims.claim(
        worker_id, max_leases=2, wait_s=0, devices_free=None, caller=bench.caller, is_ahead=True
    )


@pytest.mark.parametrize("name", ["random", "sobol", "grid"])
async def test_points_that_no_result_changes_are_handed_out_ahead(
    services: Services, bench: Bench, name: str
) -> None:
    space = [{"name": "x0", "type": "int", "low": 0, "high": 9}]
    bench.study(worker_study(suggester={"name": name}, limits={"max_trials": 3}) | {"space": space})
    worker_id = bench.worker()
    first = await bench.claim(worker_id)
    assert first is not None
    assert first.more_ahead
    answer = await claim_ahead(services, bench, worker_id)
    assert len(answer.grants) == 2
    assert not (await claim_ahead(services, bench, worker_id)).grants  # the budget is kept


@pytest.mark.parametrize(
    "more",
    [
        {"suggester": {"name": "tpe"}},
        {"suggester": {"name": "auto"}},
        {"limits": {"max_parallel": 9}},
        {"limits": {"max_trial_duration_s": 60.0}},
    ],
    ids=["tpe", "auto", "max_parallel", "max_trial_duration_s"],
)
async def test_others_are_not(services: Services, bench: Bench, more: dict[str, Any]) -> None:
    bench.study(worker_study(**more))
    worker_id = bench.worker()
    answer = await claim_ahead(services, bench, worker_id)
    assert not answer.grants
    assert answer.open_work
    grant = await bench.claim(worker_id)
    assert grant is not None
    assert not grant.more_ahead
