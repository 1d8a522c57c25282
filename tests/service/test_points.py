"""Points of the model: prepared in fitting processes, repeatable, labelled when they are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.trial import TrialSource
from app.service.fitting import FitRequest
from app.service.history import StudyHistory, record_of
from app.service.pool import FitFailed, FitProcess
from app.service.services import Services
from app.settings import Settings
from app.store import trials as trial_rows
from app.store.engine import Store
from app.suggest.registry import suggest

from .conftest import Bench, definition

pytestmark = pytest.mark.anyio

SPACE = [
    {"name": "x", "type": "float", "low": 0, "high": 1},
    {"name": "k", "type": "int", "low": 1, "high": 30, "log": True},
    {"name": "c", "type": "categorical", "choices": ["a", "b"]},
]


def model_study(suggester: str, **more: Any) -> dict[str, Any]:
    return definition(suggester, space=SPACE, suggester={"name": suggester, "seed": 3}, **more)


def value_of(params: Any) -> float:
    return float((params["x"] - 0.4) ** 2 + params["k"] / 30 + (params["c"] == "a"))


def replayed(store: Store, services: Services, study_id: str) -> list[Any]:
    """What the pure function says for each trial, from nothing but the trials before it."""
    study = services.studies.get(study_id).study
    metrics = tuple(metric.name for metric in study.definition.metrics)
    trials = store.read(lambda conn: trial_rows.changed_since(conn, study_id, -1))
    history, points = StudyHistory(study.definition), []
    for trial in trials:
        request = history.request(trial.number, 1)
        points.append(suggest(study.definition.suggester.name, request).suggestions[0].params)
        failure = trial.failure.kind if trial.failure else None
        seen = (trial.id, trial.number, trial.params, trial.state, trial.values, failure)
        history.apply([record_of(*seen, metrics)])
    return points


@pytest.mark.parametrize("suggester", ["tpe", "gp", "auto"])
async def test_asked_one_by_one_each_point_follows_from_the_history_alone(
    bench: Bench, services: Services, store: Store, suggester: str
) -> None:
    study_id = bench.study(model_study(suggester))
    given = []
    for _ in range(9):
        (grant,) = await bench.suggest(study_id)
        assert grant.trial.source in (TrialSource.INITIAL, TrialSource.SUGGESTER)
        given.append(dict(grant.trial.params))
        bench.complete(grant, value_of(grant.trial.params))
    assert given == replayed(store, services, study_id)
    last = grant.trial.provenance
    assert last["history_seq"] == 8
    assert last["pending_ids"] == []
    assert last["definition_revision"] == 1
    assert "numpy" in last["versions"]


async def test_a_batch_has_no_point_twice_and_knows_its_neighbours(
    bench: Bench, services: Services
) -> None:
    study_id = bench.study(model_study("gp"))
    grants = await bench.suggest(study_id, count=6)
    assert len({str(sorted(g.trial.params.items())) for g in grants}) == 6
    assert [g.trial.provenance["batch_position"] for g in grants] == list(range(6))


class TestALateModel:
    @pytest.fixture
    def settings(self, store: Store) -> Settings:
        return Settings(database_url=store.url, sweep_s=3600, suggest_wait_s=0)

    async def test_gives_a_labelled_fallback_while_other_trials_run(
        self, bench: Bench, services: Services
    ) -> None:
        study_id = bench.study(model_study("tpe"))
        (first,) = await bench.suggest(study_id)
        (second,) = await bench.suggest(study_id)
        assert first.trial.source is not TrialSource.FALLBACK
        assert second.trial.source is TrialSource.FALLBACK
        assert "not ready in time" in second.trial.provenance["fallback"]
        assert second.trial.params != first.trial.params


class TestAFitPastItsLimit:
    @pytest.fixture
    def settings(self, store: Store) -> Settings:
        return Settings(database_url=store.url, sweep_s=3600, fit_limit_s=1e-6)

    async def test_is_ended_and_its_point_is_a_fallback_that_says_so(
        self, bench: Bench, services: Services
    ) -> None:
        study_id = bench.study(model_study("gp"))
        (grant,) = await bench.suggest(study_id)
        assert grant.trial.source is TrialSource.FALLBACK
        assert grant.trial.provenance["suggester"] == "gp"


class ColdFit(FitProcess):
    """One that is started as a service does it, whatever the other tests have."""

    spawn = staticmethod(FitProcess.spawn)


@pytest.fixture
def process() -> Iterator[FitProcess]:
    made = ColdFit()
    yield made
    made.close()


async def test_a_killed_fitting_process_is_replaced(process: FitProcess) -> None:
    nothing = FitRequest(
        study_id="st_none", definition=None, fresh=True, delta=(), index=1, count=1
    )
    with process.lock:
        process.start()
        first = process.pid
        process.kill()
        with pytest.raises(FitFailed):
            process.call(nothing, 30.0)
        process.start()
        assert process.pid not in (None, first)
        assert "KeyError" in (process.call(nothing, 30.0).error or "")
