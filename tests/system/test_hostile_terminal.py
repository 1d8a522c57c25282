"""What users call things never drives the terminal of somebody who lists them, nor their logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.hostile import ALLOWED, FREE_TEXT

from .running import Process, Service, function_study, tunewell

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"])

NASTY = f"{ALLOWED['markup']}{FREE_TEXT}"


def said(folder: Path, *args: str, status: int = 0) -> str:
    """All that a command prints."""
    process = Process(tunewell(*args), folder)
    assert process.process.wait(timeout=120) == status, process.errors.read_text()
    process.end()
    text = process.errors.read_text()
    while (line := process.lines.get(timeout=10)) is not None:
        text += line
    return text


def is_harmless(text: str) -> bool:
    """Only printable characters, and the line ends and tabs between cells."""
    return all(c.isprintable() or c in "\n\t" for c in text)


@pytest.fixture
def nasty(service: Service) -> dict[str, Any]:
    """A study, a trial and a worker with all the free text that there is."""
    study = service.call(
        "POST",
        "/v1/studies",
        {
            "name": ALLOWED["markup"],
            "description": NASTY,
            "labels": {"team": ALLOWED["script"]},
            "metrics": [{"name": ALLOWED["markup"], "direction": "minimize"}],
            "space": [
                {
                    "name": ALLOWED["html"],
                    "type": "categorical",
                    "choices": [ALLOWED["formula"], "b"],
                },
            ],
            "suggester": {"name": "random", "seed": 1},
            "failure_policy": {"max_attempts": 1},
        },
    )
    asked = service.call("POST", f"/v1/studies/{study['id']}:suggest", {"count": 2})["trials"]
    failure = {"kind": "user_error", "message": NASTY, "traceback": NASTY}
    lease = {"lease_id": asked[0]["lease_id"]}
    service.call("POST", f"/v1/trials/{asked[0]['id']}:fail", {**lease, **failure})
    lease = {"lease_id": asked[1]["lease_id"]}
    done = {**lease, "values": {ALLOWED["markup"]: 1.0, ALLOWED["html"]: 2.0}}
    service.call("POST", f"/v1/trials/{asked[1]['id']}:complete", done)
    name = ALLOWED["markup"]
    body = {"name": name, "boot_id": "1", "objectives": [name], "labels": {name: ALLOWED["html"]}}
    worker = service.call("POST", "/v1/workers", body)
    return {"study": study["id"], "trial": asked[0]["id"], "worker": worker["id"]}


def test_no_command_prints_what_a_terminal_obeys(
    service: Service, folder: Path, nasty: dict[str, Any]
) -> None:
    at = ("--url", service.url)
    commands = [
        ("study", "list"),
        ("study", "show", nasty["study"]),
        ("study", "show", ALLOWED["markup"]),
        ("trial", "list", nasty["study"]),
        ("trial", "show", nasty["trial"]),
        ("worker", "list"),
        ("worker", "drain", nasty["worker"]),
    ]
    for command in commands:
        for more in ((), ("--json",)):
            text = said(folder, *command, *at, *more)
            assert is_harmless(text), (command, text)
            assert text
    assert is_harmless(said(folder, "study", "pause", nasty["study"], *at))
    assert is_harmless(said(folder, "study", "cancel", nasty["study"], *at))
    refused = said(folder, "study", "show", NASTY.replace("/", ""), *at, status=1)
    assert is_harmless(refused), refused


def test_a_token_with_such_a_name_is_listed_harmlessly(
    service: Service, folder: Path, database_url: str
) -> None:
    at = ("--database-url", database_url)
    create = "token", "create", "--role", "admin", *at, "--name"
    assert is_harmless(said(folder, *create, NASTY, status=2))
    assert is_harmless(said(folder, *create, ALLOWED["markup"]))
    assert is_harmless(said(folder, "token", "list", *at))
    assert service.url


def test_following_a_study_prints_nothing_that_a_terminal_obeys(
    service: Service, folder: Path, nasty: dict[str, Any]
) -> None:
    service.call("POST", f"/v1/studies/{nasty['study']}:cancel")
    text = said(folder, "study", "watch", nasty["study"], "--url", service.url, status=1)
    assert is_harmless(text), text
    assert "#1 failed" in text


def test_a_workers_own_lines_stay_lines(service: Service, folder: Path) -> None:
    """A trial whose options are refused by the objective: the message repeats what was sent."""
    study = function_study("nasty")
    study["objective"]["options"] = {"function": "sphere", "fail_rate": 1.0}
    study["space"][0]["name"] = "x0"
    study["limits"] = {"max_trials": 1, "max_duration_s": 120}
    study["failure_policy"] = {"max_attempts": 1, "max_failed": 1}
    service.call("POST", "/v1/studies", study)
    worker = ("worker", "run", "--url", service.url, "--exit-when-idle", "--name")
    assert is_harmless(said(folder, *worker, NASTY[:60], status=2))
    for more in ((), ("--json",)):
        lines = said(folder, *worker, ALLOWED["markup"], *more).splitlines()
        assert all(line.isprintable() for line in lines), lines
        if more:
            assert [json.loads(line)["event"] for line in lines if line]
