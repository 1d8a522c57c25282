"""The purge as a whole, with a moved clock: what goes, what stays, and that replays still work."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import func, select

from app.errors import NotFound
from app.service.purge import Keeping, Purger
from app.service.replay import Replayer
from app.service.services import Services
from app.service.threads import Threads
from app.service.views import Grant, Point
from app.settings import DAY_S, Settings
from app.store import idempotency
from app.store.engine import Store
from app.store.idempotency import Answer, Key
from app.store.tables import events, idempotency_keys, measurements

from ..store import making
from .conftest import Bench, definition

pytestmark = pytest.mark.anyio


def keeping(store: Store, **given: Any) -> Keeping:
    return Keeping.of(Settings(database_url=store.url, **given))


def purger_of(services: Services, threads: Threads, **given: Any) -> Purger:
    return Purger(
        services.store,
        threads,
        services.leadership,
        keeping(services.store, **given),
        services.housekeeping.collector,
        every_s=3600,
    )


def purged(services: Services, **given: Any) -> list[str]:
    """Purges, and says what each transaction was for."""
    store = services.store
    making.settled(store)
    threads = Threads(1)
    steps = list(purger_of(services, threads, **given).steps())
    threads.close()
    return steps


async def told(bench: Bench, study_id: str, n: int) -> list[Grant]:
    """Trials with three reports each, asked for and told one by one."""
    found = []
    for _ in range(n):
        [grant] = await bench.suggest(study_id)
        report(bench, grant)
        await asyncio.to_thread(bench.complete, grant, grant.trial.params["x"])
        found.append(grant)
    return found


def report(bench: Bench, grant: Grant) -> None:
    for seq in range(3):
        bench.services.leases.report(
            grant.trial.id,
            lease_id=grant.lease.id,
            seq=seq,
            points=[Point(step=seq + 1, values={"value": 1.0}, elapsed_s=None)],
            caller=bench.caller,
        ).run()


def kinds(store: Store) -> Counter[str]:
    statement = select(events.c.kind, func.count()).group_by(events.c.kind)
    rows = store.read(lambda conn: conn.execute(statement).all())
    return Counter({kind: n for kind, n in rows})


def n_measurements(store: Store) -> int:
    count = select(func.count()).select_from(measurements)
    return int(store.read(lambda conn: conn.execute(count).scalar_one()))


def outcomes(store: Store, study_id: str) -> list[str]:
    found: list[str] = []
    with Replayer(store, fit_limit_s=30.0) as replayer:
        after: int | None = 0
        while after is not None:
            page = replayer.page(study_id, after=after)
            found += [verdict.outcome for verdict in page.trials]
            after = page.next_after
    return found


async def test_of_a_study_that_goes_on_only_old_measurement_events_go(
    bench: Bench, services: Services, store: Store
) -> None:
    study_id = bench.study(definition(suggester={"name": "tpe", "seed": 3}))
    await told(bench, study_id, 8)
    before = kinds(store)
    assert before["trial.measurement"] == 24
    store.clock.offset_s += 6 * DAY_S
    purged(services)
    assert kinds(store) == before
    store.clock.offset_s += 365 * DAY_S
    purged(services)
    del before["trial.measurement"]
    assert kinds(store) == before
    assert n_measurements(store) == 24
    await told(bench, study_id, 2)
    assert await asyncio.to_thread(outcomes, store, study_id) == ["equal"] * 10


async def test_a_study_that_ended_long_ago_can_still_be_derived_again(
    bench: Bench, services: Services, store: Store
) -> None:
    limits = {"max_trials": 12}
    study_id = bench.study(definition(suggester={"name": "gp", "seed": 3}, limits=limits))
    await told(bench, study_id, 3)
    revision = services.studies.get(study_id).study.revision
    services.studies.patch(study_id, {"limits": {"max_trials": 8}}, revision=revision)
    await told(bench, study_id, 5)
    assert services.studies.get(study_id).study.state == "completed"
    store.clock.offset_s += 31 * DAY_S
    steps = purged(services, keep_measurements_s=30 * DAY_S)
    assert {"events", "measurements"} <= set(steps)
    assert kinds(store).keys() == {"trial.state"}
    assert n_measurements(store) == 0
    view = services.studies.get(study_id)
    assert view.best is not None
    assert await asyncio.to_thread(outcomes, store, study_id) == ["equal"] * 8
    assert {"events", "measurements"}.isdisjoint(purged(services, keep_measurements_s=DAY_S))


async def test_a_deleted_study_can_be_restored_until_it_may_be_purged(
    bench: Bench, services: Services, store: Store
) -> None:
    study_id = bench.study(definition())
    await told(bench, study_id, 2)
    services.studies.delete(study_id)
    purged(services)
    services.studies.undelete(study_id)
    purge_at = services.studies.delete(study_id).study.purge_at
    assert purge_at is not None
    store.clock.offset_s += (purge_at - store.now()).total_seconds()
    with pytest.raises(NotFound):
        services.studies.undelete(study_id)
    assert "study" in purged(services)
    assert (sum(kinds(store).values()), n_measurements(store)) == (0, 0)


async def test_idempotency_keys_are_kept_for_a_day(services: Services, store: Store) -> None:
    key = Key(scope="me", method="POST", path="/", key="1", body_hash="x")
    answer = Answer(status=200, headers={}, body="")
    store.write(lambda tx: idempotency.keep(tx, key, answer))
    purged(services)
    with pytest.raises(idempotency.Replay):
        store.write(lambda tx: idempotency.look_up(tx, key))
    store.clock.offset_s += DAY_S
    assert purged(services).count("keys") == 2  # one that finds it, one that finds nothing
    store.clock.offset_s -= DAY_S
    store.write(lambda tx: idempotency.look_up(tx, key))


async def test_only_the_replica_that_leads_purges(services: Services, store: Store) -> None:
    key = Key(scope="me", method="POST", path="/", key="1", body_hash="x")
    answer = Answer(status=200, headers={}, body="")
    store.write(lambda tx: idempotency.keep(tx, key, answer))
    store.clock.offset_s += 2 * DAY_S
    count = select(func.count()).select_from(idempotency_keys)

    def is_kept() -> bool:
        return bool(store.read(lambda conn: conn.execute(count).scalar_one()))

    threads = Threads(1)
    purger = purger_of(services, threads)
    for is_leader in (False, True):
        services.leadership.is_leader = is_leader
        await purger.round()
        assert is_kept() is not is_leader
    threads.close()
