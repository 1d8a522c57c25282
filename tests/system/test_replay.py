"""A study of eight asynchronous slots, with failures and a killed service, can be derived again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .running import Service, function_study, ran, workers

SPACE = [
    {"name": "x0", "type": "float", "low": -5, "high": 5},
    {"name": "x1", "type": "float", "low": 0.01, "high": 5, "log": True},
]


def replay(folder: Path, *arguments: str) -> Any:
    status, said, errors = ran(folder, "study", "replay", *arguments, "--check", "--json")
    assert status == 0, said + errors
    return json.loads(said)


@pytest.mark.one_database
@pytest.mark.parametrize("suggester", ["auto", "tpe"])
def test_every_point_of_a_rough_study_is_derived_again(
    service: Service, folder: Path, database_url: str, suggester: str
) -> None:
    options = {"function": "sphere", "noise_sd": 0.1, "fail_rate": 0.2, "step_s": 0.02, "steps": 3}
    definition = function_study(
        suggester,
        objective={"name": "function", "options": options},
        space=SPACE,
        suggester={"name": suggester, "seed": 3},
        limits={"max_trials": 30, "max_parallel": 8},
        failure_policy={"max_attempts": 1, "max_failed": 60},
    )
    study = service.call("POST", "/v1/studies", definition)
    with workers(service, folder, 2, "--exit-when-idle", "--slots", "4"):
        service.wait(lambda: service.study(study["id"])["trial_counts"].get("completed", 0) > 8)
        service.kill()
        service.start()
        ended = service.wait_ended(study["id"])
    assert ended["trial_counts"]["failed"] > 0
    found = replay(folder, study["id"], "--url", service.url)
    n_trials = sum(ended["trial_counts"].values())
    assert (found["equal"], found["different"], found["skipped"]) == (n_trials, 0, 0)
    assert replay(folder, suggester, "--local", database_url)["equal"] == n_trials
