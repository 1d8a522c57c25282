"""Private services: they end when their command does, whether it is interrupted or killed."""

from __future__ import annotations

import json
import os
import select
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunewell.client import Client

from .commands import TIMEOUT_S, Command, environment

SLOW: dict[str, Any] = {
    "name": "slow",
    "objective": {"name": "function", "options": {"steps": 30, "step_s": 0.1}},
    "metrics": [{"name": "value", "direction": "minimize"}],
    "space": [{"name": "x0", "type": "float", "low": -5, "high": 5}],
    "suggester": {"name": "random", "seed": 1},
    "limits": {"max_trials": 100},
}


def has_ended(pid: int) -> bool:
    """Waits for a process that is no child of ours."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        return bool(poll.poll(TIMEOUT_S * 1000))
    finally:
        os.close(watched)


def is_in_order(line: str) -> bool:
    """Whether no trial is left under a lease in the database that a line names."""
    database = line.split("--database-url sqlite:///")[1]
    found = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        counts = found.execute("SELECT count(*) FROM trials WHERE state = 'running'").fetchone()
        return bool(counts == (0,))
    finally:
        found.close()


def started(tmp_path: Path, **options: object) -> Command:
    """A local run of which a trial has ended and others run."""
    function = {"name": "function", "options": {**SLOW["objective"]["options"], **options}}
    (tmp_path / "slow.json").write_text(json.dumps({**SLOW, "objective": function}))
    command = Command(tmp_path, "study", "run", "slow.json", "--local", "--slots", "2")
    command.err.wait_for(" completed " if not options else " submitted ")
    return command


def test_an_interrupt_drains_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = started(tmp_path)
    command.interrupt()
    said = command.err.wait_for("tunewell study watch")
    url = said.split("--url ")[1].split("`")[0]
    # Looking at it from another terminal works while the service lives.
    with Client(url, "") as client:
        assert client.find_study("slow")["state"] == "active"
    assert command.ended() == 0
    assert "drained; the study is kept" in command.err.text
    assert Command(tmp_path, "study", "show", "slow", "--url", url).ended() == 3
    assert is_in_order(command.err.seen[-1])


def test_a_second_interrupt_does_not_wait_for_the_trials(tmp_path: Path) -> None:
    command = started(tmp_path, steps=100_000)
    command.interrupt()
    command.err.wait_for("Ctrl-C again ends all at once")
    command.interrupt()
    assert command.ended() == 0
    assert "ended; the study is kept" in command.err.text
    assert is_in_order(command.err.seen[-1])


def test_a_killed_command_leaves_no_process_behind(tmp_path: Path) -> None:
    code = (
        "from tunewell.private import Local\n"
        "with Local() as local:\n"
        "    local.start_worker(1)\n"
        "    print(*(child.pid for child in local._children.values()), flush=True)\n"
        "    local.wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path),
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    process.kill()
    process.wait()
    process.stdout.close()
    assert len(pids) == 2
    assert all(has_ended(pid) for pid in pids)


@pytest.mark.timeout(240)
def test_the_demo_ends_well_on_the_shipped_subset(tmp_path: Path) -> None:
    command = Command(tmp_path, "demo", "--dataset", "mnist-5k", "--epochs", "1", "--trials", "2")
    assert command.ended() == 0, command.err.text
    assert "\x1b" not in command.out.text + command.err.text
    lines = [line for line in command.out.seen if line]
    assert [line.split("=")[0] for line in lines[:6]] == ["trial_id", "learning_rate"] * 3
    assert lines[6].split() == ["suggester", "best", "accuracy", "seconds", "trials"]
    assert [line.split()[0] for line in lines[7:]] == ["random", "gp", "tpe"]
    assert "mnist-5k, the shipped subset" in command.err.text
    serve = command.err.seen[-1].split("tunewell ", 1)[1].split()
    assert serve[:2] == ["serve", "--database-url"]
    again = Command(tmp_path, *serve, "--port", "0", "--json")
    url = json.loads(again.out.wait_for("ready"))["url"]
    listed = Command(tmp_path, "study", "list", "--json", "--url", url)
    assert listed.ended() == 0
    assert len(json.loads(listed.out.text)["studies"]) == 3
    again.process.terminate()
    again.ended()
