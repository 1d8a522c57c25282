"""What a trial's lifecycle sends to the database: counted, so that a statement too many shows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, event

from app.domain.trial import TrialState
from app.errors import Unavailable
from app.service.services import Services
from app.service.views import Point, Report
from app.store.engine import Store

from .conftest import Bench, definition, worker_study

pytestmark = pytest.mark.anyio

CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@contextmanager
def counting() -> Iterator[dict[str, int]]:
    """Statements and commits of all engines while the block runs."""
    counts = {"statements": 0, "commits": 0}

    def on_statement(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counts["statements"] += not statement.lstrip().upper().startswith(CONTROL)

    def on_commit(_conn: Any) -> None:
        counts["commits"] += 1

    event.listen(Engine, "before_cursor_execute", on_statement)
    event.listen(Engine, "commit", on_commit)
    try:
        yield counts
    finally:
        event.remove(Engine, "before_cursor_execute", on_statement)
        event.remove(Engine, "commit", on_commit)


class Cycle:
    """The steps of one trial's lifecycle: ask, three reports, tell."""

    def __init__(self, services: Services, bench: Bench, study_id: str) -> None:
        self.services = services
        self.bench = bench
        self.study_id = study_id
        self.trial_id = self.lease_id = ""

    async def ask(self) -> None:
        [grant] = await self.bench.suggest(self.study_id, client_id="c")
        self.trial_id, self.lease_id = grant.trial.id, grant.lease.id

    async def report(self) -> None:
        for seq in range(3):
            self.services.leases.report(
                self.trial_id,
                lease_id=self.lease_id,
                seq=seq,
                points=[Point(step=seq + 1, values={"value": 1.0})],
                caller=self.bench.caller,
            ).run()

    async def tell(self) -> None:
        self.services.leases.complete(
            self.trial_id,
            lease_id=self.lease_id,
            state=TrialState.COMPLETED,
            values={"value": 9.0},
            step=None,
            usage={},
            data=None,
            caller=self.bench.caller,
        ).run()


async def counted(step: Callable[[], Awaitable[None]]) -> tuple[int, int]:
    with counting() as counts:
        await step()
    return counts["statements"], counts["commits"]


async def test_a_lifecycle_takes_few_statements_and_a_commit_a_call(
    bench: Bench, services: Services, store: Store
) -> None:
    space = [{"name": f"x{k}", "type": "float", "low": 0, "high": 1} for k in range(5)]
    cycle = Cycle(services, bench, bench.study(definition(space=space)))
    # The first one reads the whole history; on SQLite each first of its kind makes a trigger.
    for step in 2 * (cycle.ask, cycle.report, cycle.tell):
        await step()
    found = [await counted(step) for step in (cycle.ask, cycle.report, cycle.tell)]
    # The writes of a transition are one statement.
    assert found == [(4, 1), (6, 3), (2, 1)]


async def test_an_end_that_brings_its_measurements_costs_hardly_more(
    bench: Bench, services: Services, store: Store
) -> None:
    study_id = bench.study(definition())
    report = Report(seq=0, points=[Point(step=k, values={"value": 1.0}) for k in (1, 2, 3)])

    async def end() -> None:
        bench.complete(grant, 1.0, report=report)

    for _ in range(3):
        [grant] = await bench.suggest(study_id)
        found = await counted(end)
    # On Postgres the trial and the lease are written twice, and so by two statements.
    assert found == (2 if store.dialect == "sqlite" else 3, 1)
    assert services.trials.get(grant.trial.id).trial.step == 3


@pytest.mark.parametrize("n_points", [1, 50])
async def test_a_report_takes_as_many_statements_whatever_its_size(
    bench: Bench, services: Services, store: Store, n_points: int
) -> None:
    study_id = bench.study(definition())
    [grant] = await bench.suggest(study_id)

    seqs = count()

    async def report() -> None:
        seq = next(seqs)
        steps = range(seq * n_points + 1, (seq + 1) * n_points + 1)
        services.leases.report(
            grant.trial.id,
            lease_id=grant.lease.id,
            seq=seq,
            points=[Point(step=step, values={"value": 1.0}) for step in steps],
            caller=bench.caller,
        ).run()

    # More points than a trigger takes are one more statement on SQLite, with the writes around it.
    n_more = 2 if store.dialect == "sqlite" and n_points > 1 else 0
    await report()  # the first of its kind makes the trigger
    assert await counted(report) == (2 + n_more, 1)


async def test_what_a_rule_costs_is_a_few_statements_whatever_the_study_has(
    bench: Bench, services: Services
) -> None:
    rule = {"name": "asha", "options": {"min_resource": 4, "max_resource": 12}}
    study_id = bench.study(definition(early_stopping=rule, limits={"max_trials": 1000}))
    cycle = Cycle(services, bench, study_id)
    found = []
    for n_more in (0, 0, 100):
        for grant in await bench.suggest(study_id, count=n_more) if n_more else ():
            bench.complete(grant, 1.0, step=1)
        for step in (cycle.ask, cycle.report, cycle.tell):
            await step()
        found.append([await counted(step) for step in (cycle.ask, cycle.report, cycle.tell)])
    # Without a rule: 4, 6 and 2. What changed is read anew, and a decision is a write of its own.
    assert found[1:] == [[(5, 1), (12, 3), (6, 1)]] * 2


async def test_one_place_that_is_free_again_goes_to_one_waiting_claim(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(worker_study(limits={"max_parallel": 1}))
    first = await bench.claim(bench.worker("busy"))
    assert first is not None
    board = services.claims._board
    read, looks = board._read, []
    has_looked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def counted_read() -> Any:
        looks.append(1)
        loop.call_soon_threadsafe(has_looked.set)
        return read()

    board._read = counted_read  # type: ignore[method-assign]
    workers = [bench.worker(f"w{k}") for k in range(5)]
    waiting = [asyncio.create_task(bench.claim(one, wait_s=60)) for one in workers]
    await asyncio.wait_for(has_looked.wait(), 60)
    cycle = Cycle(services, bench, study_id)
    cycle.trial_id, cycle.lease_id = first.trial.id, first.lease.id
    await cycle.report()
    await cycle.tell()
    done, still = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    assert len(done) == 1
    assert len(still) == 4
    services.claims.end_waits()
    ended, _ = await asyncio.wait(still, timeout=60)
    assert [task.result() for task in ended] == [None] * 4
    assert services.studies.get(study_id).study.counts[TrialState.RUNNING] == 1
    assert len(looks) <= 3  # at the start, at the end of the trial; whatever waits


async def test_waiting_claims_outlive_a_database_that_does_not_answer_once(
    bench: Bench, services: Services
) -> None:
    board = services.claims._board
    read, has_failed = board._read, asyncio.Event()
    loop = asyncio.get_running_loop()

    def failing_once() -> Any:
        if not has_failed.is_set():
            loop.call_soon_threadsafe(has_failed.set)
            raise Unavailable("the database does not answer", code="storage-busy")
        return read()

    board._read = failing_once  # type: ignore[method-assign]
    waiting = asyncio.create_task(bench.claim(bench.worker("w"), wait_s=60))
    await asyncio.wait_for(has_failed.wait(), 60)
    bench.study(worker_study())
    grant = await asyncio.wait_for(waiting, 30)
    assert grant is not None
