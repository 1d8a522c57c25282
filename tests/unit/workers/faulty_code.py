"""Objectives as a user would write them, each with a fault of its own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import tunewell
from tunewell.objective import ObjectiveFunction

VALUE = {"value": "minimize"}


def _own(function: ObjectiveFunction) -> tunewell.Objective:
    return tunewell.objective(name=function.__name__, metrics=VALUE)(function)


@_own
def undeclared(trial: tunewell.Trial) -> None:
    trial.report(1, valeu=1.0)


@tunewell.objective(name="picky", metrics=VALUE, options={"epochs": {"type": "integer"}})
def picky(trial: tunewell.Trial) -> float:
    return 1.0


@_own
def eats_memory(trial: tunewell.Trial) -> float:
    """Asks for more than its process may have."""
    room = 1 << 28
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
    return float(len(bytearray(2 * room)))


@_own
def full_disk(trial: tunewell.Trial) -> None:
    """Writes to a device that is always full."""
    with open("/dev/full", "w") as file:
        file.write("x" * 100_000)


@_own
def leaves_a_daemon(trial: tunewell.Trial) -> float:
    """Returns, while a process that it started is in a session of its own and has the pipes."""
    daemon = os.fork()
    if daemon == 0:
        os.setsid()
        signal.pause()
    return float(daemon)


@_own
def lingers(trial: tunewell.Trial) -> float:
    """Returns, while a thread of its own keeps the process from ending."""
    threading.Thread(target=time.sleep, args=(3600.0,)).start()
    return 1.0


@_own
def waits_for_a_child(trial: tunewell.Trial) -> float:
    """Waits for ever for a process that hangs; says the ids of both."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    trial.report(1, value=float(os.getpid()))
    trial.report(2, value=float(child))
    os.waitpid(child, 0)
    return 1.0


def _counts(trial: tunewell.Trial) -> None:
    """Adds one up at each step; what it loads has to be a number."""
    file = trial.checkpoint_dir / "total"
    total = float(file.read_text()) if file.exists() else 0.0
    fail_at = trial.options.get("fail_at")
    for step in range(trial.last_step + 1, 5):
        if step == fail_at:
            raise RuntimeError("failed, as the option asks for")
        total += 1.0
        trial.report(step, value=total)
        if trial.should_checkpoint:
            file.write_text(str(total))
            trial.save(file)
        if trial.should_stop:
            break


counts = tunewell.objective(name="counts", metrics=VALUE, version="2", checkpoints=True)(_counts)


@tunewell.objective(name="sums", metrics=VALUE, max_resource=9)
class Sums:
    """Sums up the steps."""

    def setup(self, trial: tunewell.Trial) -> None:
        self.done, self.total = 0, 0

    def advance(self, to_step: int) -> dict[str, float]:
        self.total += sum(range(self.done + 1, to_step + 1))
        self.done = to_step
        return {"value": float(self.total)}

    def save(self, folder: Path) -> None:
        (folder / "parts").mkdir(exist_ok=True)
        (folder / "parts" / "done").write_text(str(self.done))
        (folder / "parts" / "total").write_text(str(self.total))

    def load(self, folder: Path) -> None:
        self.done = int((folder / "parts" / "done").read_text())
        self.total = int((folder / "parts" / "total").read_text())


@_own
def infeasible(trial: tunewell.Trial) -> float:
    raise tunewell.Infeasible("too wide for the device")


@_own
def writes_to_nobody(trial: tunewell.Trial) -> None:
    """Writes to a process of its own that has ended."""
    helper = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    helper.wait()
    assert helper.stdin is not None
    helper.stdin.write(b"x")
    helper.stdin.flush()


@_own
def closes_its_output(trial: tunewell.Trial) -> float:
    sys.stdout.close()
    sys.stderr = None  # type: ignore[assignment]
    return 1.0


@_own
def ends_by_a_real_time_signal(trial: tunewell.Trial) -> None:
    os.kill(os.getpid(), signal.SIGRTMIN + 6)


@_own
def has_a_helper(trial: tunewell.Trial) -> float:
    """Starts a process of its own if the point says so, says its id, and works without a pause."""
    if trial.params["x0"] == 0.0:
        return 0.0
    helper = subprocess.Popen(["sleep", "600"])
    trial.report(1, value=float(helper.pid))
    while True:
        pass
