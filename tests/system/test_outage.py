"""The service away for many lease times in mid-study: no training ends, no report is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .running import Process, Service, function_study, workers

LEASE_TTL_S = 1.0
OUTAGE_S = 5 * LEASE_TTL_S
OBJECTIVE = """
import pathlib, time

import tunewell


@tunewell.objective(name="lasting", metrics={"value": "minimize"})
def lasting(trial):
    step = 0
    while not pathlib.Path("enough").exists():
        step += 1
        trial.report(step, value=1 / step)
        time.sleep(0.1)
    pathlib.Path("steps").write_text(str(step))
"""
WORKER = ("--objective", "own:lasting", "--exit-when-idle")


@pytest.fixture
def service(folder: Path, database_url: str) -> Iterator[Service]:
    """A running service with leases of 1 s."""
    made = Service(folder, database_url, {"TUNEWELL_LEASE_TTL_S": f"{LEASE_TTL_S}"})
    made.start()
    yield made
    made.end()


def children(worker: Process) -> set[tuple[int, float]]:
    """The processes of a worker, told apart from later ones of the same number."""
    found = psutil.Process(worker.process.pid).children(recursive=True)
    return {(child.pid, child.create_time()) for child in found}


def wait_out(worker: Process, outage_s: float) -> None:
    """Returns when the worker has said for so long that nobody answers."""
    until = time.monotonic() + outage_s
    while time.monotonic() < until:
        worker.line("heartbeat_unanswered")


@pytest.mark.one_database
@pytest.mark.parametrize("another_waits", [False, True])
def test_an_outage_of_many_lease_times_ends_no_training_and_loses_no_report(
    service: Service, folder: Path, another_waits: bool
) -> None:
    (folder / "own.py").write_text(OBJECTIVE)
    definition = function_study("outage", objective={"name": "lasting"}, limits={"max_trials": 1})
    study = service.call("POST", "/v1/studies", definition)

    def reported() -> Any:
        trials = service.trials(study["id"])
        return trials and trials[0]["measurements"]

    with workers(service, folder, 1, *WORKER) as (worker,):
        service.wait(reported)
        # Somebody else would take the trial if it were given back for a moment.
        with workers(service, folder, int(another_waits), *WORKER[:2], prefix="other"):
            if another_waits:
                service.wait(lambda: len(service.call("GET", "/v1/workers")["workers"]) == 2)
            training = children(worker)
            service.kill()
            wait_out(worker, OUTAGE_S)
            assert training <= children(worker)
            service.start()
            (folder / "enough").touch()
            service.wait_ended(study["id"])
        assert worker.process.wait(timeout=60) == 0
    (trial,) = service.trials(study["id"])
    (attempt,) = trial["attempts"]
    assert (trial["state"], trial["n_attempts"], trial["losses"]) == ("completed", 0, 0)
    assert attempt["end"] == "completed"
    curve = service.call("GET", f"/v1/trials/{trial['id']}/measurements")["measurements"]
    n_steps = int((folder / "steps").read_text())
    assert [point["step"] for point in curve] == list(range(1, n_steps + 1))
    assert {point["lease_id"] for point in curve} == {attempt["lease_id"]}
