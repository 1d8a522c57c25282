"""Equal work is done once, by real workers of a real service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .running import Service, workers

OBJECTIVE = """
import tunewell


def rounded(trial):
    return {"x": round(trial.params["x"])}


@tunewell.objective(name="steps", metrics={"value": "minimize"}, equivalent=rounded)
def steps(trial):
    print("trained", trial.number)
    trial.report(1, value=float(round(trial.params["x"]) ** 2))
"""


def submit(service: Service, **more: Any) -> Any:
    definition = {
        "name": "rounded",
        "objective": {"name": "steps"},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x", "type": "float", "low": -1, "high": 1}],
        "suggester": {"name": "random", "seed": 3},
        "limits": {"max_trials": 12},
        **more,
    }
    return service.call("POST", "/v1/studies", definition)


def test_each_canonical_point_is_trained_once_and_all_trials_count(
    service: Service, folder: Path
) -> None:
    (folder / "own.py").write_text(OBJECTIVE)
    study = submit(service)
    with workers(service, folder, 1, "--objective", "own:steps", "--exit-when-idle"):
        ended = service.wait_ended(study["id"])
    trials = service.trials(study["id"])
    assert ended["stop_reason"] == "max_trials"
    assert [trial["state"] for trial in trials] == ["completed"] * 12
    by_id = {trial["id"]: trial for trial in trials}
    trained = [trial for trial in trials if trial["source"] != "duplicate"]
    points = [round(trial["params"]["x"]) for trial in trained]
    assert len(set(points)) == len(points) == len({round(t["params"]["x"]) for t in trials})
    for trial in trials:
        logs = service.call("GET", f"/v1/trials/{trial['id']}/logs")["parts"]
        assert bool(logs) is (trial in trained)
        assert trial["values"] == {"value": float(round(trial["params"]["x"]) ** 2)}
        assert [attempt["end"] for attempt in trial["attempts"]] == ["completed"]
        if trial not in trained:
            of = trial["provenance"]["duplicate_of"]
            earlier = by_id[of["trial_id"]]
            assert (earlier["number"], of["source"]) == (of["number"], "suggester")
            assert earlier in trained
            assert trial["measurements"]["count"] == 0


def test_equal_trials_under_a_rule_that_pauses_end_like_the_others(
    service: Service, folder: Path
) -> None:
    (folder / "own.py").write_text(
        OBJECTIVE.replace(
            'trial.report(1, value=float(round(trial.params["x"]) ** 2))',
            "for step in range(1, 5):\n"
            "        trial.report(step, value=round(trial.params['x']) ** 2 + 1 / step)\n"
            "        if trial.should_stop:\n"
            "            return",
        )
    )
    options = {"min_resource": 1, "max_resource": 4, "eta": 2}
    study = submit(service, early_stopping={"name": "asha", "options": options})
    with workers(service, folder, 2, "--objective", "own:steps", "--exit-when-idle"):
        ended = service.wait_ended(study["id"])
    trials = service.trials(study["id"])
    assert ended["stop_reason"] == "max_trials"
    assert {trial["state"] for trial in trials} <= {"completed", "stopped"}
    by_id = {trial["id"]: trial for trial in trials}
    for trial in trials:
        if trial["source"] == "duplicate":
            earlier = by_id[trial["provenance"]["duplicate_of"]["trial_id"]]
            assert (trial["values"], trial["step"]) == (earlier["values"], earlier["step"])
            assert earlier["source"] != "duplicate"
