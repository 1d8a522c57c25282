"""Private services: they end when their command does, whether it is interrupted or killed."""

from __future__ import annotations

import json
import os
import select
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from .commands import TIMEOUT_S, Command, environment

SLOW = {
    "name": "slow",
    "objective": {"name": "function", "options": {"steps": 50, "step_s": 0.1}},
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


def test_the_first_interrupt_stops_following_the_second_ends_all(tmp_path: Path) -> None:
    (tmp_path / "slow.json").write_text(json.dumps(SLOW))
    command = Command(tmp_path, "study", "run", "slow.json", "--local", "--slots", "2")
    command.out.wait_for("trial ")
    command.interrupt()
    said = command.err.wait_for("tunewell study watch")
    url = said.split("--url ")[1].rstrip("`")
    assert command.process.poll() is None
    # Coming back from another terminal works while the service lives.
    beside = Command(tmp_path, "study", "show", "slow", "--url", url)
    assert beside.ended() == 0
    assert "state        active" in beside.out.text
    command.interrupt()
    assert command.ended() == 0
    assert Command(tmp_path, "study", "show", "slow", "--url", url).ended() == 3
    line = command.err.seen[-1]
    database = line.split("--database-url sqlite:///")[1]
    found = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    # Ended in order: no trial is left under a lease.
    assert found.execute("SELECT count(*) FROM trials WHERE state = 'running'").fetchone() == (0,)
    found.close()


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
    assert [line.split()[0] for line in lines[:9]] == ["trial", "trial", "best:"] * 3
    assert lines[9].split() == ["suggester", "best", "accuracy", "seconds", "trials"]
    assert [line.split()[0] for line in lines[10:]] == ["random", "gp", "tpe"]
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
