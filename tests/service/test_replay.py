"""Every suggested point can be derived again, however asynchronous the study was."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text, update

from app.domain.trial import TrialSource, TrialState
from app.service.replay import Replayer, Verdict
from app.service.services import Services
from app.service.views import Grant
from app.settings import Settings
from app.store import past as past_rows
from app.store import trials as trial_rows
from app.store.engine import Store
from app.store.tables import events, trials

from .conftest import Bench, definition

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
        "failure_policy": {"max_attempts": 2, "max_failed": 50},
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
        if chance < 0.10 and self.failed:
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


@pytest.mark.parametrize("suggester", ["random", "grid", "sobol", "tpe", "gp", "auto"])
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
