"""Every suggested point can be derived again, however asynchronous the study was."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import text, update

from app.domain.trial import TrialSource, TrialState
from app.errors import Conflict, Precondition
from app.service.replay import Replayer, Verdict
from app.service.services import Services
from app.service.views import Grant
from app.settings import Settings
from app.store import past as past_rows
from app.store import trials as trial_rows
from app.store.engine import Store
from app.store.tables import events, trials

from .conftest import Bench, definition
from .test_early_stopping import Fleet, ruled

pytestmark = pytest.mark.anyio

SPACE = [
    {"name": "x", "type": "float", "low": 0, "high": 1},
    {"name": "k", "type": "int", "low": 1, "high": 40, "log": True},
    {"name": "c", "type": "categorical", "choices": ["a", "b"]},
    {"name": "y", "type": "float", "low": -1, "high": 1, "when": {"param": "c", "in": ["b"]}},
]
GRID_SPACE = [
    {"name": "x", "type": "int", "low": 1, "high": 8},
    {"name": "k", "type": "int", "low": 1, "high": 6},
]
N_TRIALS = 26


def study_of(suggester: str, **more: Any) -> dict[str, Any]:
    space = GRID_SPACE if suggester == "grid" else SPACE
    made: dict[str, Any] = {
        "space": space,
        "suggester": {"name": suggester, "seed": 11},
        "limits": {"max_trials": 60, "max_parallel": 12},
        "failure_policy": {"max_attempts": 2, "max_failed": 50, "backoff_s": 0, "pause_after": 0},
        **more,
    }
    return definition(suggester, **made)


def value_of(params: Any) -> float:
    return float((params["x"] - 0.4) ** 2 + params["k"] / 30 + params.get("y", 0.3))


class Crowd:
    """Eight askers that end one another's trials in random order, well or not."""

    def __init__(self, bench: Bench, study_id: str, seed: int) -> None:
        self.bench = bench
        self.study_id = study_id
        self.random = random.Random(seed)
        self.open: list[Grant] = []
        self.failed: list[str] = []

    async def run(self, n_trials: int) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(self._ask_and_tell(n_trials))

    async def _ask_and_tell(self, n_trials: int) -> None:
        study = await asyncio.to_thread(self.bench.services.studies.get, self.study_id)
        while study.study.next_number <= n_trials and study.study.state == "active":
            self.open += await self.bench.suggest(self.study_id, count=self.random.choice((1, 2)))
            if self.open:
                grant = self.open.pop(self.random.randrange(len(self.open)))
                await asyncio.to_thread(self._end, grant)
            with suppress(Conflict, Precondition):  # eight of them may meddle with the same thing
                await asyncio.to_thread(self._meddle)
            study = await asyncio.to_thread(self.bench.services.studies.get, self.study_id)

    def _end(self, grant: Grant) -> None:
        services, chance = self.bench.services, self.random.random()
        if chance < 0.70:
            self.bench.complete(grant, value_of(grant.trial.params))
        elif chance < 0.75:
            self.bench.complete(grant, 0.0, state=TrialState.INFEASIBLE, values={})
        elif chance < 0.80:
            services.trials.cancel(grant.trial.id)
        elif chance < 0.84:
            self.bench.fail(grant, "preempted")
        elif self.bench.fail(grant).trial.state is TrialState.FAILED:
            self.failed.append(grant.trial.id)

    def _meddle(self) -> None:
        """What people do meanwhile: retry, note, enqueue, import, change the budget."""
        services, chance = self.bench.services, self.random.random()
        if chance < 0.10:
            with suppress(IndexError):
                services.trials.retry(self.failed.pop())
        elif chance < 0.16:
            found = services.store.read(
                lambda conn: trial_rows.changed_since(conn, self.study_id, -1)
            )
            services.trials.set_note(self.random.choice(found).id, "look at this", revision=None)
        elif chance < 0.22:
            services.trials.enqueue(self.study_id, [{"params": {"k": 3}}, {"params": {"k": 3}}])
        elif chance < 0.26:
            params = {"x": 1, "k": self.random.randrange(1, 6), "c": "a"}
            space = services.studies.get(self.study_id).study.definition.space
            known = {name: params[name] for name in params if name in space.names}
            item = {"params": known, "values": {"value": value_of(known)}}
            services.trials.enqueue(self.study_id, [item])
        elif chance < 0.32:
            self._change_budget()

    def _change_budget(self) -> None:
        limits = {"max_trials": self.random.randrange(40, 80), "max_parallel": 12}
        revision = self.bench.services.studies.get(self.study_id).study.revision
        self.bench.services.studies.patch(self.study_id, {"limits": limits}, revision=revision)


def replayed(store: Store, study_id: str, **more: Any) -> list[Verdict]:
    """Verdicts on all trials of a study, page by page."""
    found: list[Verdict] = []
    with Replayer(store, fit_limit_s=30.0) as replayer:
        after: int | None = 0
        while after is not None:
            page = replayer.page(study_id, after=after, **more)
            found += page.trials
            after = page.next_after
    return found


SUGGESTERS = ["random", "grid", "sobol", "tpe", "gp", "cmaes", "evolution", "auto"]


@pytest.mark.parametrize("suggester", SUGGESTERS)
async def test_what_eight_askers_were_given_can_be_derived_again(
    bench: Bench, services: Services, store: Store, suggester: str
) -> None:
    study_id = bench.study(study_of(suggester))
    await Crowd(bench, study_id, seed=5).run(N_TRIALS)
    verdicts = await asyncio.to_thread(replayed, store, study_id)
    assert [v for v in verdicts if v.outcome != "equal"] == []
    made = Counter(v.source for v in verdicts)
    assert sum(made.values()) >= N_TRIALS // 2
    study = services.studies.get(study_id).study
    assert study.results_seq == len(store.read(lambda c: past_rows.results(c, study_id)))


@pytest.mark.parametrize(
    ("suggester", "rule"),
    [("gp", "asha"), ("tpe", "hyperband"), ("auto", "auto"), ("random", "bohb")],
)
async def test_points_that_were_learnt_from_rungs_can_be_derived_again(
    bench: Bench, store: Store, suggester: str, rule: str
) -> None:
    """Trials pause, stop, are lost and go on meanwhile; the points know their values at rungs."""
    made = {**ruled(rule, 24), "space": SPACE, "suggester": {"name": suggester, "seed": 3}}
    study_id = bench.study(made)
    fleet = Fleet(bench, study_id, 2, 4)
    await fleet.run()
    verdicts = await asyncio.to_thread(replayed, store, study_id)
    assert [v for v in verdicts if v.outcome != "equal"] == []
    assert len(verdicts) >= 24
    trials = fleet.trials()
    assert any(trial.rungs and trial.state is not TrialState.COMPLETED for trial in trials)
    if suggester != "auto":
        assert sum("n" in trial.provenance or "model" in trial.provenance for trial in trials) > 5


async def told(bench: Bench, study_id: str, n: int, **more: Any) -> list[Grant]:
    """Asks and tells one by one."""
    found: list[Grant] = []
    for _ in range(n):
        [grant] = await bench.suggest(study_id, **more)
        await asyncio.to_thread(bench.complete, grant, value_of(grant.trial.params))
        found.append(grant)
    return found


def outcomes(verdicts: list[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


async def test_a_changed_point_is_found_and_named(bench: Bench, store: Store) -> None:
    study_id = bench.study(study_of("sobol"))
    grants = await told(bench, study_id, 3)
    params = {**grants[1].trial.params, "x": 0.123}
    change = update(trials).where(trials.c.id == grants[1].trial.id).values(params=params)
    store.write(lambda tx: tx.conn.execute(change))
    found = replayed(store, study_id)
    assert outcomes(found) == ["equal", "different", "equal"]
    stored = grants[1].trial.params["x"]
    assert found[1].reasons == (f"params.x: stored 0.123, derived {stored}",)


async def test_provenance_is_compared_too_but_not_the_seconds(bench: Bench, store: Store) -> None:
    study_id = bench.study(study_of("tpe"))
    last = (await told(bench, study_id, 8))[-1].trial
    assert last.provenance["seconds"] >= 0
    assert last.provenance["cpu_seconds"] >= 0

    def write(**changes: Any) -> None:
        provenance = {**last.provenance, **changes}
        change = update(trials).where(trials.c.id == last.id).values(provenance=provenance)
        store.write(lambda tx: tx.conn.execute(change))

    write(seconds=99.0)
    assert outcomes(replayed(store, study_id)) == ["equal"] * 8
    write(model="guess")
    assert outcomes(replayed(store, study_id)) == ["equal"] * 7 + ["different"]


async def test_a_point_made_before_its_prediction_was_told_is_no_other_point(
    bench: Bench, store: Store
) -> None:
    study_id = bench.study(study_of("gp"))
    last = (await told(bench, study_id, 8))[-1].trial
    provenance = {k: v for k, v in last.provenance.items() if not k.startswith("predicted")}
    assert len(provenance) == len(last.provenance) - 2
    change = update(trials).where(trials.c.id == last.id).values(provenance=provenance)
    store.write(lambda tx: tx.conn.execute(change))
    assert outcomes(replayed(store, study_id)) == ["equal"] * 8


async def test_points_of_other_versions_are_skipped_unless_forced(
    bench: Bench, store: Store
) -> None:
    study_id = bench.study(study_of("random"))
    [grant] = await told(bench, study_id, 1)
    versions = {**grant.trial.provenance["versions"], "numpy": "1.0"}
    provenance = {**grant.trial.provenance, "versions": versions}
    change = update(trials).where(trials.c.id == grant.trial.id).values(provenance=provenance)
    store.write(lambda tx: tx.conn.execute(change))
    [found] = replayed(store, study_id)
    assert found.outcome == "skipped"
    assert found.reasons[0].startswith("made with numpy 1.0, here is ")
    assert outcomes(replayed(store, study_id, force=True)) == ["equal"]


async def test_points_follow_from_the_definition_of_their_time(
    bench: Bench, services: Services, store: Store
) -> None:
    """The budget decides how long the design is: a replay with today's would differ."""
    study_id = bench.study(study_of("gp", limits={"max_trials": 100}))
    await told(bench, study_id, 4)
    for max_trials in (15, 10):
        revision = services.studies.get(study_id).study.revision
        limits = {"max_trials": max_trials}
        services.studies.patch(study_id, {"limits": limits}, revision=revision)
        await told(bench, study_id, 2)
    assert outcomes(replayed(store, study_id)) == ["equal"] * 8
    past = store.read(lambda conn: past_rows.definitions(conn, study_id))
    assert [p.definition.limits.max_trials for p in past] == [100, 15]
    store.write(lambda tx: tx.conn.execute(text("DELETE FROM past_definitions")))
    assert "different" in outcomes(replayed(store, study_id))


async def test_points_of_a_restarted_service_follow_too(store: Store, settings: Settings) -> None:
    study_id = ""
    for start in range(3):
        services = Services(store, settings)
        try:
            bench = Bench(services)
            study_id = study_id or bench.study(study_of("gp"))
            await services.start()
            grants = await bench.suggest(study_id, count=3)
            for grant in grants[start % 2 :]:  # some stay open over the restart
                bench.complete(grant, value_of(grant.trial.params))
        finally:
            await services.stop()
    assert outcomes(replayed(store, study_id)) == ["equal"] * 9


async def test_a_trial_that_ends_well_after_a_lost_attempt_is_a_result(
    bench: Bench, services: Services, store: Store
) -> None:
    study_id = bench.study(study_of("tpe"))
    [grant] = await bench.suggest(study_id)
    bench.fail(grant, "infrastructure")
    [again] = await bench.suggest(study_id)
    assert again.trial.id == grant.trial.id
    bench.complete(again, 0.5)
    [later] = await bench.suggest(study_id)
    assert later.trial.provenance["n_finished"] == 1
    assert outcomes(replayed(store, study_id)) == ["equal"] * 2


async def test_results_that_are_gone_are_said_to_be(bench: Bench, store: Store) -> None:
    study_id = bench.study(study_of("tpe"))
    await told(bench, study_id, 3)
    store.write(lambda tx: tx.conn.execute(events.delete()))
    found = replayed(store, study_id)
    assert outcomes(found) == ["equal", "skipped", "skipped"]
    assert found[2].reasons == ("0 results are known, and it knew 2",)


async def test_a_users_point_that_was_promoted_is_still_the_users(
    bench: Bench, store: Store
) -> None:
    """A whole one is left out, the rest of a partial one is derived again."""
    made = {**ruled("asha", 6), "space": SPACE, "suggester": {"name": "random", "seed": 3}}
    study_id = bench.study(made)
    items = [{"params": {"x": 0.5, "k": 4, "c": "a"}}, {"params": {"x": 0.25}}]
    bench.services.trials.enqueue(study_id, items)
    change = update(trials).where(trials.c.number <= 2).values(source=TrialSource.PROMOTION)
    store.write(lambda tx: tx.conn.execute(change))
    [found] = replayed(store, study_id)
    assert (found.number, found.outcome, found.reasons) == (2, "equal", ())


class TestALateModel:
    @pytest.fixture
    def settings(self, store: Store) -> Settings:
        return Settings(database_url=store.url, sweep_s=3600, suggest_wait_s=0)

    async def test_gives_fallbacks_that_can_be_derived_again(
        self, bench: Bench, store: Store
    ) -> None:
        study_id = bench.study(study_of("gp"))
        await told(bench, study_id, 3)
        grants = [grant for _ in range(4) for grant in await bench.suggest(study_id)]
        sources = [grant.trial.source for grant in grants]
        assert TrialSource.FALLBACK in sources
        assert outcomes(replayed(store, study_id)) == ["equal"] * 7
