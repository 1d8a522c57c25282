"""A worker or the service killed in mid-trial: nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

from .running import Process, Service, function_study, worker_command, workers

LEASE_TTL_S = 2.0


def slow_study(name: str, *, steps: int, trials: int) -> dict[str, Any]:
    """Trials of `steps` reports, 0.1 s apart."""
    options = {"function": "sphere", "steps": steps, "step_s": 0.1}
    return function_study(
        name,
        objective={"name": "function", "options": options},
        limits={"max_trials": trials},
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_trial_of_a_killed_worker_runs_again_soon_and_ends_once(
    service: Service, folder: Path
) -> None:
    study = service.call("POST", "/v1/studies", slow_study("killed", steps=20, trials=1))
    first = Process(worker_command(service.url, "first"), folder, {"TUNEWELL_STATE_DIR": "first"})

    def reported() -> Any:
        trials = service.trials(study["id"])
        return trials[0] if trials and trials[0]["measurements"] else None

    service.wait(reported)
    with workers(service, folder, 1, "--exit-when-idle"):
        os.killpg(first.process.pid, signal.SIGKILL)
        first.end()
        service.wait_ended(study["id"])
    (trial,) = service.trials(study["id"])
    lost, again = trial["attempts"]
    assert lost["end"] == "expired"
    assert again["end"] == "completed"
    assert trial["losses"] == 1
    idle_s = (at(again["acquired_at"]) - at(lost["expires_at"])).total_seconds()
    assert 0 <= idle_s <= 2.0


def test_a_killed_service_goes_on_where_it_was(service: Service, folder: Path) -> None:
    steps, trials = 15, 6
    study = service.call("POST", "/v1/studies", slow_study("outage", steps=steps, trials=trials))
    with workers(service, folder, 2, "--exit-when-idle"):

        def is_half_way() -> bool:
            counts = service.study(study["id"])["trial_counts"]
            return bool(counts.get("completed", 0) >= 2 and counts.get("running", 0) >= 1)

        service.wait(is_half_way)
        service.kill()
        service.start()
        ended = service.wait_ended(study["id"])
    found = service.trials(study["id"])
    assert ended["state"] == "completed"
    assert sorted(t["number"] for t in found) == list(range(1, trials + 1))
    for trial in found:
        assert [a["end"] for a in trial["attempts"]].count("completed") == 1
        curve = service.call("GET", f"/v1/trials/{trial['id']}/measurements")["measurements"]
        last_lease = trial["attempts"][-1]["lease_id"]
        of_last = [m["step"] for m in curve if m["lease_id"] == last_lease]
        assert of_last == list(range(1, steps + 1))
