"""Several processes on one database: one leads, another follows soon, and leases are safe."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.domain.trial import TrialState
from app.service import leadership as leading
from app.service.leadership import HOUSEKEEPING, LEASE_S, RENEW_S, Leadership
from app.service.purge import Purger
from app.service.services import Services
from app.service.sweep import LEFT_LYING_S, Sweeper
from app.service.threads import Threads
from app.service.wake import WakeHub
from app.settings import Settings
from app.store import leaders as leader_rows
from app.store.engine import Store
from app.store.opening import open_store
from app.store.transaction import Tx

from .conftest import LEASE_TTL_S, Bench, worker_study

pytestmark = pytest.mark.anyio


@pytest.fixture
async def replicas(store: Store) -> AsyncIterator[list[Leadership]]:
    """Three processes' parts, on stores that hear each other as processes do."""
    threads, hub = Threads(4), WakeHub(asyncio.get_running_loop())
    unsubscribe = store.subscribe(hub.publish)
    yield [Leadership(store, threads, hub) for _ in range(3)]
    unsubscribe()
    threads.close()


def leaders(replicas: list[Leadership]) -> list[int]:
    return [k for k, one in enumerate(replicas) if one.is_leader]


async def until(check: Callable[[], bool]) -> None:
    """Gives way until the check holds; the test's own time limit ends a wait in vain."""
    while not await asyncio.to_thread(check):
        pass


async def test_one_of_three_leads_and_is_followed_when_it_was_last_heard_of_too_long_ago(
    replicas: list[Leadership], store: Store
) -> None:
    for one in replicas:
        one.renew()
    assert leaders(replicas) == [0]
    store.clock.offset_s += LEASE_S - 1
    for one in replicas[1:]:
        one.renew()
    assert leaders(replicas) == [0]
    store.clock.offset_s += 1
    replicas[1].renew()
    replicas[0].renew()
    assert leaders(replicas) == [1]
    assert LEASE_S + RENEW_S < 10


async def test_a_leader_that_stops_in_order_is_followed_at_once(
    replicas: list[Leadership], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leading, "RENEW_S", 3600.0)  # only the leader's word can wake them
    running = []
    for one in replicas[:2]:
        running.append(asyncio.create_task(one.run()))
        await until(lambda: leaders(replicas) == [0])
    await asyncio.to_thread(replicas[1].renew)
    replicas[0].stop()
    await running[0]
    await until(lambda: leaders(replicas) == [1])
    replicas[1].stop()
    await running[1]
    assert leaders(replicas) == []


async def test_a_new_process_on_an_sqlite_file_leads_at_once(
    replicas: list[Leadership], store: Store, dialect: str
) -> None:
    replicas[0].begin()
    replicas[1].begin()  # the first was killed: its row has not run out
    holder = store.read(lambda conn: leader_rows.holder(conn, HOUSEKEEPING))
    assert holder == replicas[1 if dialect == "sqlite" else 0].replica_id


@pytest.mark.parametrize(
    ("part", "step"),
    [(Leadership, "renew"), (Sweeper, "sweep_leases"), (Purger, "_studies")],
    ids=["leadership", "sweep", "purge"],
)
async def test_what_runs_beside_goes_on_after_an_error_that_nobody_expected(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, part: type, step: str
) -> None:
    """A part that ended would leave leases that nobody takes back, in a service that looks well."""
    monkeypatch.setattr(leading, "RENEW_S", 0.01)
    quick = settings.model_copy(update={"sweep_s": 0.01, "purge_s": 0.01})
    calls = itertools.count(1)
    is_repeated = asyncio.Event()
    loop, really = asyncio.get_running_loop(), getattr(part, step)

    def failing(*args: Any, **more: Any) -> Any:
        call = next(calls)
        if call == 2:
            raise RuntimeError("nobody expected this")
        if call == 4:
            loop.call_soon_threadsafe(is_repeated.set)
        return really(*args, **more)

    monkeypatch.setattr(part, step, failing)
    services = Services(store, quick)
    await services.start()
    await is_repeated.wait()
    await services.stop()
    assert not services.leadership.is_leader


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_a_database_that_keeps_nothing_is_not_ready_until_it_does_again(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full disk: a transaction that changes nothing goes through."""
    monkeypatch.setattr(leading, "RENEW_S", 0.01)

    def run(sql: str) -> Callable[[Tx], None]:
        return lambda tx: tx.conn.exec_driver_sql(sql).close()

    async def becomes(writer: bool) -> None:
        while (await services.health.readiness()).writer != writer:
            pass

    services = Services(store, settings)
    await services.start()
    await becomes(True)
    full = "BEFORE INSERT ON replicas BEGIN SELECT RAISE(FAIL, 'disk full'); END"
    await asyncio.to_thread(store.write, run(f"CREATE TRIGGER full {full}"))
    await becomes(False)
    await asyncio.to_thread(store.write, run("DROP TRIGGER full"))
    await becomes(True)
    await services.stop()


@asynccontextmanager
async def another(store: Store, settings: Settings) -> AsyncIterator[Services]:
    """A second process of the service on the same database."""
    opened = open_store(store.url, clock=store.clock)
    services = Services(opened, settings)
    try:
        yield services
    finally:
        await services.stop()
        opened.close()


async def running(bench: Bench, services: Services) -> str:
    bench.study(worker_study())
    grant = await bench.claim(bench.worker())
    assert grant is not None
    return grant.trial.id


def state(services: Services, trial_id: str) -> TrialState:
    return services.trials.get(trial_id).trial.state


async def test_a_replica_that_does_not_lead_takes_what_the_leader_left_lying(
    bench: Bench, services: Services, store: Store
) -> None:
    trial_id = await running(bench, services)
    not_before = store.now()
    store.clock.offset_s += LEASE_TTL_S
    sweep = services.sweeper.sweep_leases
    assert sweep(not_before, LEFT_LYING_S) == 0
    store.clock.offset_s += LEFT_LYING_S
    assert sweep(not_before, LEFT_LYING_S) == 1
    assert state(services, trial_id) is TrialState.PENDING


async def test_a_young_replica_sweeps_at_once_when_an_older_one_watched_all_along(
    bench: Bench, services: Services, store: Store, settings: Settings
) -> None:
    trial_id = await running(bench, services)
    services.leadership.renew()
    store.clock.offset_s += LEASE_TTL_S + 1
    async with another(store, settings) as young:
        not_before = young.sweeper.begin()
        young.leadership.renew()
        assert young.sweeper.sweep_leases(not_before) == 0  # is the older one still there?
        services.leadership.renew()
        assert young.sweeper.sweep_leases(not_before) == 1
        assert state(young, trial_id) is TrialState.PENDING


async def test_replicas_that_start_together_after_an_outage_leave_leases_alone(
    bench: Bench, services: Services, store: Store, settings: Settings
) -> None:
    """Each meets the other, but neither was there when the beats went nowhere."""
    trial_id = await running(bench, services)
    services.leadership.renew()
    store.clock.offset_s += LEASE_TTL_S + 1
    async with another(store, settings) as one, another(store, settings) as two:
        starts = [each.sweeper.begin() for each in (one, two)]
        for each in (one, two, one, two):
            each.leadership.renew()
        for each, start in zip((one, two), starts, strict=True):
            assert each.sweeper.sweep_leases(start) == 0
        assert state(one, trial_id) is TrialState.RUNNING
        store.clock.offset_s += LEASE_TTL_S
        assert one.sweeper.sweep_leases(starts[0]) == 1


async def test_two_that_sweep_at_once_take_each_lease_back_once(
    bench: Bench, services: Services, store: Store, settings: Settings
) -> None:
    bench.study(worker_study())
    worker_id = bench.worker()
    grants = [await bench.claim(worker_id) for _ in range(12)]
    not_before = store.now()
    store.clock.offset_s += LEASE_TTL_S + 1
    async with another(store, settings) as other:
        await asyncio.gather(
            *(
                asyncio.to_thread(each.sweeper.sweep_leases, not_before)
                for each in (services, other)
            )
        )
    for grant in grants:
        assert grant is not None
        trial = services.trials.get(grant.trial.id).trial
        assert (trial.state, trial.losses) == (TrialState.PENDING, 1)
