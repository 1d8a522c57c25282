"""Groups of leases that are handed out to be trained as one."""

from __future__ import annotations

import pytest

from app.service.fusing import Fusing
from app.service.services import Services
from app.service.views import Grant

from .conftest import Bench, worker_study

pytestmark = pytest.mark.anyio


async def claimed(
    services: Services, bench: Bench, fusing: Fusing, *, max_leases: int = 1
) -> list[Grant]:
    answer = await services.claims.claim(
        bench.worker(),
        max_leases=max_leases,
        wait_s=0,
        devices_free=None,
        caller=bench.caller,
        fusing=fusing,
    )
    return list(answer.grants)


def groups(grants: list[Grant]) -> list[int]:
    """How many grants each group has, in the order of their names."""
    names = [grant.fuse_group for grant in grants]
    return [names.count(name) for name in dict.fromkeys(names)]


@pytest.mark.parametrize(
    ("n_trials", "max_leases", "sizes"), [(20, 1, [4]), (20, 3, [4, 4, 4]), (3, 2, [2, 1])]
)
async def test_a_place_takes_a_group_of_one_study(
    services: Services, bench: Bench, n_trials: int, max_leases: int, sizes: list[int]
) -> None:
    bench.study(worker_study("first", limits={"max_trials": n_trials}, priority=1))
    grants = await claimed(services, bench, Fusing(most={"function": 4}), max_leases=max_leases)
    assert groups(grants) == sizes
    assert len({grant.lease.id for grant in grants}) == len(grants)


async def test_a_group_keeps_the_studys_limits_and_leaves_the_other_places_to_others(
    services: Services, bench: Bench
) -> None:
    bench.study(worker_study("first", priority=1, limits={"max_parallel": 2}))
    bench.study(worker_study("second"))
    grants = await claimed(services, bench, Fusing(most={"function": 3}), max_leases=3)
    assert groups(grants) == [1, 1, 3]
    assert [grant.trial.study_id for grant in grants].count(grants[0].trial.study_id) == 2


async def test_leases_join_a_group_that_a_claim_names_one_for_each_place(
    services: Services, bench: Bench
) -> None:
    bench.study(worker_study())
    grants = await claimed(services, bench, Fusing(group="fg_mine"), max_leases=2)
    assert [grant.fuse_group for grant in grants] == ["fg_mine"] * 2


async def test_other_objectives_come_one_for_each_place_and_in_no_group(
    services: Services, bench: Bench
) -> None:
    bench.study(worker_study())
    grants = await claimed(services, bench, Fusing(most={"mnist-mlp": 9}), max_leases=2)
    assert [grant.fuse_group for grant in grants] == [None, None]
