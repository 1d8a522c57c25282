"""Points that one replica prepares are handed out by any; none comes twice, none is made twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.trial import TrialSource
from app.service.leadership import LEASE_S
from app.service.replay import Replayer
from app.service.services import Services
from app.service.sharing import Batch, Sharing
from app.service.wake import WakeHub, points_topic
from app.settings import Settings
from app.store import leaders as leader_rows
from app.store import prepared as prepared_rows
from app.store.engine import Store
from app.store.opening import open_store
from app.suggest.base import Suggestion

from .conftest import Bench, definition

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("dialect", ["postgresql"], indirect=True),
]


def model_study(**more: Any) -> dict[str, Any]:
    space = [
        {"name": "x", "type": "float", "low": 0, "high": 1},
        {"name": "k", "type": "int", "low": 1, "high": 30, "log": True},
    ]
    return definition(space=space, suggester={"name": "gp", "seed": 3}, **more)


@pytest.fixture
def settings(store: Store) -> Settings:
    # No fallback takes the place of a point that is late on a busy machine.
    return Settings(database_url=store.url, sweep_s=3600, suggest_wait_s=60)


@pytest.fixture
async def benches(store: Store, settings: Settings) -> AsyncIterator[list[Bench]]:
    """Three processes of the service on one database."""
    stores = [open_store(store.url, clock=store.clock) for _ in range(3)]
    services = [Services(opened, settings) for opened in stores]
    yield [Bench(each) for each in services]
    for each in services:
        await each.stop()
    for opened in stores:
        opened.close()


def batch(index: int, results_seq: int, *xs: float) -> Batch:
    made = tuple(Suggestion(params={"x": x}, provenance={"k": [1]}) for x in xs)
    return Batch(index=index, results_seq=results_seq, suggestions=made)


def sharing(store: Store, name: str) -> Sharing:
    return Sharing.of(store, name, WakeHub(asyncio.get_running_loop()))


async def test_while_one_replica_prepares_another_finds_it_taken(
    bench: Bench, store: Store
) -> None:
    study_id = bench.study(model_study())
    one, two = sharing(store, "one"), sharing(store, "two")
    assert one.begin(study_id)
    assert not two.begin(study_id)
    assert (one.look(study_id).is_taken, two.look(study_id).is_taken) == (False, True)
    made = batch(1, 0, 0.1, 0.7)
    after = one.end(study_id, made)
    assert after is not None
    assert after.next_number == 1
    assert two.look(study_id).prepared == made
    assert two.begin(study_id)
    store.clock.offset_s += LEASE_S
    assert one.begin(study_id)  # the other has died


async def test_what_knows_less_never_replaces_what_knows_more(bench: Bench, store: Store) -> None:
    study_id = bench.study(model_study())
    one = sharing(store, "one")
    for made, kept in (
        (batch(3, 2, 0.1), batch(3, 2, 0.1)),
        (batch(2, 9, 0.2), batch(3, 2, 0.1)),
        (batch(3, 1, 0.3), batch(3, 2, 0.1)),
        (batch(3, 3, 0.4), batch(3, 3, 0.4)),
        (batch(4, 3, 0.5), batch(4, 3, 0.5)),
    ):
        one.end(study_id, made)
        assert one.look(study_id).prepared == kept


async def test_a_point_prepared_by_one_replica_is_handed_out_by_another(
    benches: list[Bench], store: Store
) -> None:
    """The second has no fitting process: it could not have made the point itself."""
    one, two = benches[:2]
    study_id = one.study(model_study())
    for _ in range(6):
        (grant,) = await one.suggest(study_id)
        await asyncio.to_thread(one.complete, grant, grant.trial.params["x"])
    await ready(store, study_id, index=7, results_seq=6)
    (grant,) = await two.suggest(study_id)
    assert grant.trial.source is TrialSource.SUGGESTER
    assert grant.trial.provenance["history_seq"] == 6
    assert all(process.pid is None for process in two.services.points._pool.processes)


async def ready(store: Store, study_id: str, *, index: int, results_seq: int) -> None:
    """Waits until points for a trial are there that know so many results."""
    while True:
        found = await asyncio.to_thread(store.read, lambda conn: prepared_rows.get(conn, study_id))
        if found is not None and (found.first_number, found.results_seq) == (index, results_seq):
            return


async def test_an_ask_waits_for_the_replica_that_prepares(
    benches: list[Bench], store: Store
) -> None:
    bench = benches[0]
    study_id = bench.study(model_study())
    other = sharing(store, "other")
    assert other.begin(study_id)
    asking = asyncio.create_task(bench.suggest(study_id))
    done, _ = await asyncio.wait({asking}, timeout=0.5)
    assert not done
    made = Batch(
        index=1,
        results_seq=0,
        suggestions=(Suggestion(params={"x": 0.25, "k": 3}, provenance={"by": "other"}),),
    )
    await asyncio.to_thread(other.end, study_id, made)
    (grant,) = await asyncio.wait_for(asking, 30)
    assert grant.trial.params == {"x": 0.25, "k": 3}
    assert grant.trial.provenance["by"] == "other"


async def test_an_ask_makes_its_point_when_the_replica_that_prepares_has_died(
    benches: list[Bench], store: Store
) -> None:
    bench = benches[0]
    study_id = bench.study(model_study())
    assert sharing(store, "dead").begin(study_id)
    asking = asyncio.create_task(bench.suggest(study_id))
    await asyncio.wait({asking}, timeout=0.2)
    store.clock.offset_s += LEASE_S
    (grant,) = await asyncio.wait_for(asking, 60)
    assert grant.trial.source in (TrialSource.INITIAL, TrialSource.SUGGESTER)
    holder = store.read(lambda conn: leader_rows.holder(conn, points_topic(study_id)))
    assert holder is None


async def test_asks_through_three_replicas_give_the_budget_exactly_and_no_point_twice(
    benches: list[Bench], store: Store
) -> None:
    study_id = benches[0].study(model_study(limits={"max_trials": 24, "max_parallel": 6}))

    async def ask_and_tell(k: int) -> list[Any]:
        found = []
        while True:
            ask, tell = benches[k % 3], benches[(k + 1) % 3]  # a round-robin proxy does so
            grants = await ask.suggest(study_id, wait_s=60)
            if not grants:
                return found
            for grant in grants:
                await asyncio.to_thread(tell.complete, grant, grant.trial.params["x"])
                found.append(grant.trial)
            k += 1

    found = await asyncio.gather(*(ask_and_tell(k) for k in range(6)))
    trials = [trial for told in found for trial in told]
    assert sorted(trial.number for trial in trials) == list(range(1, 25))
    assert len({str(trial.params) for trial in trials}) == 24
    assert {trial.source for trial in trials} <= {TrialSource.INITIAL, TrialSource.SUGGESTER}
    assert await asyncio.to_thread(outcomes, store, study_id) == ["equal"] * 24


def outcomes(store: Store, study_id: str) -> list[str]:
    found: list[str] = []
    with Replayer(store, fit_limit_s=30.0) as replayer:
        after: int | None = 0
        while after is not None:
            page = replayer.page(study_id, after=after)
            found += [verdict.outcome for verdict in page.trials]
            after = page.next_after
    return found
