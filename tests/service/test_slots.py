"""The slots that a worker names in its claim: each trial is noted in one."""

from __future__ import annotations

import pytest

from app.service.analysis import Query
from app.service.services import Services

from .conftest import Bench, worker_study

pytestmark = pytest.mark.anyio


async def test_trials_of_all_studies_take_the_slots_in_their_order(
    services: Services, bench: Bench
) -> None:
    first = bench.study(worker_study("first", priority=1, limits={"max_parallel": 2}))
    second = bench.study(worker_study("second"))
    answer = await services.claims.claim(
        bench.worker(), max_leases=4, wait_s=0, devices_free=None, caller=bench.caller,
        slots=[3, 0, 2],
    )  # fmt: skip
    assert [grant.lease.slot for grant in answer.grants] == [3, 0, 2, None]
    shown = [await services.analyses.run("timeline", each, Query()) for each in (first, second)]
    assert [each.columns["slot"] for each in shown] == [[3, 0], [2, None]]
