"""Every example study, on small data, by a real service and a real worker."""

from __future__ import annotations

from typing import Any

import pytest

from tunewell.follow import follow
from tunewell.models import Study, Trial, read
from tunewell.private import Local
from tunewell.reporters import Quiet
from tunewell.studies import StudyFile, example_names, load_study, submit

SMALL: dict[str, dict[str, Any]] = {
    "mnist-mlp": {"dataset": "mnist-5k", "epochs": 1},
    "random-forest": {"folds": 2},
    "function": {},
}
TRIALS = {
    "mnist-grid": 12,
    "mnist-user-points-then-gp": 6,
    "function-quickstart": 8,
    "mnist-asha": 6,
    "forest-asha": 6,
}
FEWER_STEPS = {
    "mnist-asha": {"min_resource": 1, "max_resource": 4, "eta": 2},
    "forest-asha": {"min_resource": 5, "max_resource": 20, "eta": 2},
}
"""Rules of the studies that stop early, over the steps that are left of them."""


def made_small(name: str) -> StudyFile:
    file = load_study(name)
    definition = dict(file.definition)
    objective = definition["objective"]
    options = {**(objective.get("options") or {}), **SMALL[objective["name"]]}
    definition["objective"] = {**objective, "options": options}
    definition["limits"] = {**definition["limits"], "max_trials": TRIALS.get(name, 3)}
    definition["space"] = [_fewer_trees(parameter) for parameter in definition["space"]]
    if name in FEWER_STEPS:
        rule = definition["early_stopping"]
        definition["early_stopping"] = {**rule, "options": FEWER_STEPS[name]}
    if name == "mnist-asha":
        definition["objective"]["options"]["epochs"] = 4
    return StudyFile(definition=definition, trials=file.trials)


def _fewer_trees(parameter: dict[str, Any]) -> dict[str, Any]:
    return {**parameter, "high": 20} if parameter["name"] == "n_estimators" else parameter


def ran(local: Local, name: str) -> tuple[Study, list[Trial]]:
    with local.client() as client:
        study = submit(client, made_small(name))
        ended = follow(client, study.id, Quiet(), check=local.check_alive)
        return ended, [read(Trial, trial) for trial in client.trials(study.id)]


def check_stopped_early(study: Study, trials: list[Trial]) -> None:
    """Some trials were trained to their end, others only to a rung of theirs."""
    assert {trial.state for trial in trials} == {"completed", "stopped"}
    assert len(trials) == study.max_trials
    for trial in trials:
        assert trial.rungs
        assert trial.state == "completed" or trial.step == trial.rungs[-1].step
    assert study.resource_used > 0
    assert study.resource_saved > 0
    assert study.best is not None
    assert study.best.state == "completed"


@pytest.mark.parametrize("name", example_names())
def test_an_example_study_runs_to_its_end(local: Local, name: str) -> None:
    study, trials = ran(local, name)
    assert (study.state, study.stop_reason) == ("completed", "max_trials")
    if name in FEWER_STEPS:
        check_stopped_early(study, trials)
    else:
        assert [trial.state for trial in trials] == ["completed"] * TRIALS.get(name, 3)
    assert study.best is not None
    assert set(study.best.values) >= set(study.metrics)
    if name == "mnist-grid":
        assert len({tuple(sorted(trial.params.items())) for trial in trials}) == 12
    if name == "mnist-user-points-then-gp":
        own = [trial for trial in trials if trial.source == "user"]
        assert {"learning_rate": 0.001, "batch_size": 32} in [trial.params for trial in own]
        assert len(own) == 3
    if study.objective != "function":
        # A trial that only ever paused has told no result, and with it no data.
        assert all(trial.data for trial in trials if trial.state == "completed")
