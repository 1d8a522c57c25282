"""Trials that go on where their last attempt saved: with real workers that are killed or told to
end.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.objectives.trials import Kept, trial
from workers.objectives import function

from .running import Process, Service, function_study, worker_command

OPTIONS = {"function": "sphere", "noise_sd": 0.5}


@pytest.fixture
def service(saving_service: Service) -> Service:
    """A running service that keeps checkpoints."""
    return saving_service


def started(service: Service, folder: Path, name: str) -> Process:
    env = {"TUNEWELL_STATE_DIR": str(folder / f"state-{name}")}
    return Process(worker_command(service.url, name, "--exit-when-idle"), folder, env)


def study_of_one(service: Service, steps: int, step_s: float) -> Any:
    options = {**OPTIONS, "steps": steps, "step_s": step_s}
    objective = {"name": "function", "options": options}
    raw = function_study("resumed", objective=objective, limits={"max_trials": 1})
    return service.call("POST", "/v1/studies", raw)


def only_trial(service: Service, study_id: str) -> Any:
    found = service.trials(study_id)
    return found[0] if found else None


def has_begun(service: Service, study_id: str) -> bool:
    found = only_trial(service, study_id)
    return found is not None and found["measurements"]["count"] >= 3


def uninterrupted(params: dict[str, float], steps: int) -> tuple[dict[str, float], list[Any]]:
    """What one attempt alone comes to."""
    kept = Kept()
    options = {**OPTIONS, "steps": steps}
    return function.evaluate(trial(params, options, kept=kept)), kept.reports


def check_resumed(service: Service, study_id: str, *, saved_step: int) -> None:
    """The trial ended once, with the values of an uninterrupted one; what came after the checkpoint
    was reported by the second attempt.
    """
    ended = only_trial(service, study_id)
    steps = service.study(study_id)["definition"]["objective"]["options"]["steps"]
    values, reports = uninterrupted(ended["params"], steps)
    assert ended["state"] == "completed"
    assert ended["values"] == values
    first, second = [attempt["lease_id"] for attempt in ended["attempts"]]
    curve = service.call("GET", f"/v1/trials/{ended['id']}/measurements")["measurements"]
    of_second = [(m["step"], m["values"]) for m in curve if m["lease_id"] == second]
    assert of_second == reports[saved_step:]
    of_first = [(m["step"], m["values"]) for m in curve if m["lease_id"] == first]
    assert of_first == reports[: len(of_first)]
    assert len(of_first) >= saved_step


def saved_step_of(service: Service, study_id: str) -> int | None:
    found = only_trial(service, study_id)
    if found is None or found["checkpoint_id"] is None:
        return None
    return int(service.call("GET", f"/v1/checkpoints/{found['checkpoint_id']}")["step"])


def test_after_a_worker_was_killed_another_goes_on_from_the_checkpoint(
    service: Service, folder: Path
) -> None:
    study = study_of_one(service, steps=45, step_s=0.3)  # the first checkpoint comes after 10 s
    worker = started(service, folder, "first")
    saved_step = service.wait(lambda: saved_step_of(service, study["id"]))
    worker.kill()
    worker.end()
    second = started(service, folder, "second")
    service.wait_ended(study["id"])
    second.end()
    check_resumed(service, study["id"], saved_step=saved_step)
    assert only_trial(service, study["id"])["losses"] == 1


@pytest.mark.one_database
def test_a_worker_that_is_told_to_end_gives_its_trial_back_from_where_it_is(
    service: Service, folder: Path
) -> None:
    study = study_of_one(service, steps=12, step_s=0.5)
    worker = started(service, folder, "first")
    service.wait(lambda: has_begun(service, study["id"]))
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(timeout=60) == 0
    worker.end()
    given_back = only_trial(service, study["id"])
    assert [attempt["end"] for attempt in given_back["attempts"]] == ["released"]
    saved_step = saved_step_of(service, study["id"])
    assert saved_step is not None
    second = started(service, folder, "second")
    service.wait_ended(study["id"])
    second.end()
    check_resumed(service, study["id"], saved_step=saved_step)


CLASS = """
import time

import tunewell


@tunewell.objective(name="sums", metrics={"value": "minimize"}, version="VERSION", max_resource=12)
class Sums:
    def setup(self, trial):
        self.total = 0.0

    def advance(self, to_step):
        time.sleep(0.3)
        self.total += 1.0
        return {"value": self.total}

    def save(self, folder):
        (folder / "total").write_text(str(self.total))

    def load(self, folder):
        self.total = float((folder / "total").read_text())
"""


@pytest.mark.one_database
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_class_goes_on_from_its_checkpoint_unless_its_version_is_another(
    service: Service, folder: Path, version: str
) -> None:
    raw = function_study("sums", objective={"name": "sums"}, limits={"max_trials": 1})
    study = service.call("POST", "/v1/studies", raw)
    own = ("--objective", "own_code:Sums", "--exit-when-idle")
    env = {"TUNEWELL_STATE_DIR": str(folder / "state")}
    (folder / "own_code.py").write_text(CLASS.replace("VERSION", "1"))
    first = Process(worker_command(service.url, "first", *own), folder, env)
    service.wait(lambda: has_begun(service, study["id"]))
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(timeout=60) == 0
    first.end()
    saved_step = saved_step_of(service, study["id"])
    assert saved_step is not None
    (folder / "own_code.py").write_text(CLASS.replace("VERSION", version))
    second = Process(worker_command(service.url, "second", *own), folder, env)
    service.wait_ended(study["id"])
    second.end()
    ended = only_trial(service, study["id"])
    assert (ended["state"], ended["values"]) == ("completed", {"value": 12.0})
    lease = ended["attempts"][-1]["lease_id"]
    curve = service.call("GET", f"/v1/trials/{ended['id']}/measurements")["measurements"]
    steps = [point["step"] for point in curve if point["lease_id"] == lease]
    assert steps == list(range(saved_step + 1 if version == "1" else 1, 13))
    logs = service.call("GET", f"/v1/trials/{ended['id']}/logs")
    assert ("saved by sums 1, and this is sums 2" in str(logs)) == (version == "2")
