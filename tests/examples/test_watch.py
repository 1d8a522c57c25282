"""Watching a study on a real terminal, and through a pipe, against a real service."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tunewell.client import Client
from tunewell.private import Local

from .commands import Command, Screen


@pytest.fixture
def slow(local: Local, request: pytest.FixtureRequest) -> Any:
    """A study of slow trials that go on until it is cancelled."""
    name = re.sub(r"\W+", "-", request.node.name)[:60]
    with Client(local.url, "") as client:
        made = client.create_study(
            {
                "name": name,
                "objective": {"name": "function", "options": {"steps": 40, "step_s": 0.1}},
                "metrics": [{"name": "value", "direction": "minimize"}],
                "space": [{"name": "x0", "type": "float", "low": -5, "high": 5}],
                "suggester": {"name": "random", "seed": 1},
                "limits": {"max_trials": 500},
            }
        )
        yield made
        if client.get_study(made["id"])["state"] in ("active", "paused", "stopping"):
            client.study_action(made["id"], "cancel")


def test_a_study_is_watched_live_and_steered_by_keys(
    local: Local, slow: Any, tmp_path: Path
) -> None:
    screen = Screen(tmp_path, "study", "watch", slow["name"], "--url", local.url)
    screen.wait_for("\x1b[?1049h")
    screen.wait_for("* live")
    begun = time.monotonic()
    screen.wait_for(" step ")
    screen.press("?")
    screen.wait_for("stop the study once its running trials have ended")
    screen.press("t")
    screen.wait_for("running")
    screen.press("s")
    screen.wait_for("y: yes, any other key: no")
    screen.press("n")
    screen.press("p")
    screen.wait_for("pause: done")
    n_frames, seconds = screen.text.count("\x1b[H"), time.monotonic() - begun
    with Client(local.url, "") as client:
        assert client.get_study(slow["id"])["state"] == "paused"
        screen.press("p")
        screen.wait_for("resume: done")
        assert client.get_study(slow["id"])["state"] == "active"
    screen.press("q")
    assert screen.ended() == 0
    assert "\x1b[?1049l" in screen.text
    assert "the study goes on; come back with" in screen.text.split("\x1b[?1049l")[-1]
    # Four frames a second, and one for each key.
    assert n_frames <= 4 * seconds + 12


def test_ctrl_c_twice_stops_the_study_too(local: Local, slow: Any, tmp_path: Path) -> None:
    screen = Screen(tmp_path, "study", "watch", slow["name"], "--url", local.url)
    screen.wait_for("* live")
    screen.process.send_signal(signal.SIGINT)
    screen.wait_for("Ctrl-C again within 2 s stops the study too")
    screen.process.send_signal(signal.SIGINT)
    screen.wait_for("the study stops")
    assert screen.ended() == 0
    with Client(local.url, "") as client:
        assert client.get_study(slow["id"])["state"] in ("stopping", "completed")


def test_watching_ends_when_the_best_is_good_enough(
    local: Local, slow: Any, tmp_path: Path
) -> None:
    watch = ("study", "watch", slow["name"], "--url", local.url)
    reached = Command(tmp_path, *watch, "--until", "best=1e6")
    assert reached.ended() == 0, reached.err.text
    assert reached.out.seen[0].startswith("trial_id=")
    with Client(local.url, "") as client:
        assert client.get_study(slow["id"])["state"] == "active"
        client.study_action(slow["id"], "cancel")
    assert Command(tmp_path, *watch, "--until", "best=-1").ended() == 1
    wrong = Command(tmp_path, *watch, "--until", "bets=1")
    assert wrong.ended() == 2
    assert "--until is done, or best=NUMBER" in wrong.err.text


def test_what_is_piped_has_no_escape_byte_and_its_best_on_standard_output(
    local: Local, tmp_path: Path
) -> None:
    study = {
        "name": "piped",
        "objective": {"name": "function", "options": {"fail_rate": 0.3}},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x0", "type": "float", "low": -5, "high": 5}],
        "suggester": {"name": "random", "seed": 1},
        "limits": {"max_trials": 6},
        "failure_policy": {"max_attempts": 2},
    }
    (tmp_path / "piped.json").write_text(json.dumps(study))
    ran = Command(tmp_path, "study", "run", "piped.json", "--url", local.url)
    assert ran.ended() == 0, ran.err.text
    assert "\x1b" not in ran.out.text + ran.err.text
    assert len(ran.out.seen) == 2
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in ran.err.seen[:-1])
    assert any("kind=user_error will_retry=true" in line for line in ran.err.seen)
    shown = Command(tmp_path, "study", "watch", "piped", "--url", local.url, "--json")
    assert shown.ended() == 0
    kinds = [json.loads(line)["type"] for line in shown.out.seen]
    assert kinds.count("trial") >= 6
    assert kinds[-1] == "result"


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_their_terminal(local: Local, slow: Any, tmp_path: Path, columns: int) -> None:
    for command in (("study", "list"), ("trial", "list", slow["name"]), ("worker", "list")):
        screen = Screen(tmp_path, *command, "--url", local.url, columns=columns)
        assert screen.ended() == 0
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.text)
        lines = [line.rpartition("\r")[2] for line in plain.replace("\r\n", "\n").split("\n")]
        assert max(map(len, lines)) <= columns, plain
