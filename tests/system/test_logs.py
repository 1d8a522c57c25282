"""What trials print, from their processes to whoever reads it."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tunewell.client import Client

from .running import Process, Service, ran, worker_command

MIB = 1024 * 1024
CODE = """
import os, pathlib, sys
import tunewell


@tunewell.objective(name="chatty", metrics={"value": "minimize"}, steps="once")
def chatty(trial):
    what = trial.options["what"]
    if what == "much":
        for number in range(7 * 1024 * 1024 // 64):
            print(f"{number:<62d}-", flush=False)
    elif what == "breaks":
        print("before it broke")
        sys.stderr.write("on the other stream\\n")
        raise KeyError("no such column")
    else:
        print("attempt begins", flush=True)
        trial.report(1, value=1.0)
        if not pathlib.Path("again").exists():
            pathlib.Path("again").touch()
            import time
            time.sleep(600)  # until it is killed
    return 1.0
"""


def study(service: Service, what: str) -> Any:
    raw = {
        "name": what,
        "objective": {"name": "chatty", "options": {"what": what}},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
        "suggester": {"name": "random", "seed": 1},
        "limits": {"max_trials": 1},
        "failure_policy": {"max_attempts": 1, "max_failed": 1},
    }
    return service.call("POST", "/v1/studies", raw)


def started(service: Service, folder: Path, name: str) -> Process:
    (folder / "chat.py").write_text(CODE)
    env = {"TUNEWELL_STATE_DIR": str(folder / f"state-{name}")}
    options = ("--objective", "chat:chatty", "--exit-when-idle")
    return Process(worker_command(service.url, name, *options), folder, env)


def logs(service: Service, trial: Any, **query: str) -> Any:
    asked = "&".join(f"{key}={value}" for key, value in query.items())
    return service.call("GET", f"/v1/trials/{trial['id']}/logs?{asked}")


def shown(service: Service, folder: Path, *arguments: str) -> str:
    command = ("trial", "show", *arguments, "--logs", "--url", service.url)
    status, said, errors = ran(folder, *command)
    assert status == 0, errors
    return said


def test_of_much_output_the_first_and_the_last_megabytes_are_kept(
    service: Service, folder: Path
) -> None:
    made = study(service, "much")
    worker = started(service, folder, "one")
    service.wait_ended(made["id"])
    worker.end()
    (trial,) = service.trials(made["id"])
    assert trial["state"] == "completed"
    log = logs(service, trial)
    whole = "".join(f"{number:<62d}-\n" for number in range(7 * MIB // 64))
    assert log["size_bytes"] == len(whole) == 7 * MIB
    first, last = log["parts"]
    assert (first["offset"], first["text"]) == (0, whole[:MIB])
    assert last["offset"] == 3 * MIB
    assert last["text"] == whole[3 * MIB :]
    assert log["omitted_bytes"] == 2 * MIB
    lines = shown(service, folder, trial["id"]).splitlines()
    assert lines[MIB // 64] == "... 2,097,152 bytes left out ..."
    assert lines[-1] == whole.splitlines()[-1]


def test_what_broke_is_in_the_logs_and_in_the_failure(service: Service, folder: Path) -> None:
    made = study(service, "breaks")
    worker = started(service, folder, "one")
    service.wait_ended(made["id"])
    worker.end()
    (trial,) = service.trials(made["id"])
    assert trial["state"] == "failed"
    text = shown(service, folder, "breaks", "1")
    assert "before it broke" in text
    assert "on the other stream" in text
    assert "KeyError: 'no such column'" in text
    assert "in chatty" in text
    with Client(service.url, token="") as client:
        assert "no such column" in json.dumps(client.get_trial(trial["id"]))


def test_each_attempt_has_its_own_logs(service: Service, folder: Path) -> None:
    made = study(service, "twice")
    first = started(service, folder, "first")

    def printed() -> bool:
        found = service.trials(made["id"])
        return bool(found) and bool(logs(service, found[0])["parts"])

    service.wait(printed)
    first.process.send_signal(signal.SIGKILL)
    first.end()
    second = started(service, folder, "second")
    service.wait_ended(made["id"])
    second.end()
    (trial,) = service.trials(made["id"])
    attempts = [
        each["lease_id"] for each in service.call("GET", f"/v1/trials/{trial['id']}")["attempts"]
    ]
    assert len(attempts) == 2
    newest = logs(service, trial)
    assert newest["lease_id"] == attempts[-1]
    for lease_id in attempts:
        assert logs(service, trial, lease_id=lease_id)["parts"] == [
            {"offset": 0, "text": "attempt begins\n"}
        ]
