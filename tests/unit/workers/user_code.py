"""Objectives as a user would write them, one for each way in which a trial may go."""

from __future__ import annotations

import math
import os
import signal
import sys
import time

import tunewell
from tunewell.objective import ObjectiveFunction

VALUE = {"value": "minimize"}


def _own(function: ObjectiveFunction) -> tunewell.Objective:
    return tunewell.objective(name=function.__name__, metrics=VALUE)(function)


@_own
def good(trial: tunewell.Trial) -> float:
    print("some output")
    trial.report(1, value=2.0)
    trial.report(2, value=1.0)
    return 1.0


@_own
def raises(trial: tunewell.Trial) -> float:
    raise KeyError("no such column")


@_own
def out_of_memory(trial: tunewell.Trial) -> float:
    raise MemoryError("too much")


@_own
def leaves(trial: tunewell.Trial) -> float:
    sys.exit(3)


@_own
def dies(trial: tunewell.Trial) -> float:
    print("last words")
    os._exit(7)


@_own
def killed(trial: tunewell.Trial) -> float:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0.0


@_own
def hog(trial: tunewell.Trial) -> float:
    """Takes more memory than a group of the tests has."""
    taken = [b"x" * 2**23 for _ in range(64)]
    return float(len(taken))


@_own
def crashes(trial: tunewell.Trial) -> float:
    os.abort()


@_own
def no_number(trial: tunewell.Trial) -> float:
    trial.report(1, value=math.nan)
    return math.nan


@_own
def silent(trial: tunewell.Trial) -> None:
    return None


@_own
def spins(trial: tunewell.Trial) -> float:
    """Says its process id, then works without a pause until it is asked to stop."""
    trial.report(1, value=float(os.getpid()))
    while not trial.should_stop:
        pass
    return 5.0


@_own
def stubborn(trial: tunewell.Trial) -> float:
    """Ignores SIGTERM, as does a process that it starts; says both process ids."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = os.fork()
    if grandchild == 0:
        while True:
            time.sleep(1.0)
    trial.report(1, value=float(os.getpid()))
    trial.report(2, value=float(grandchild))
    while True:
        time.sleep(1.0)


@_own
def saves_when_told_to_end(trial: tunewell.Trial) -> float:
    """Says its process id; saves at SIGTERM, once its folder is gone, in one that it makes anew."""
    folder = trial.checkpoint_dir

    def save(*_: object) -> None:
        while folder.exists():
            time.sleep(0.01)
        folder.mkdir(parents=True)
        (folder / "state").write_text("too late")
        os._exit(0)

    signal.signal(signal.SIGTERM, save)
    trial.report(1, value=float(os.getpid()))
    while True:
        time.sleep(1.0)


@_own
def has_a_session_apart(trial: tunewell.Trial) -> float:
    """Starts a process that leads a session of its own and ignores SIGTERM; says its id."""
    apart = os.fork()
    if apart == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        trial.report(1, value=float(os.getpid()))
        while True:
            time.sleep(1.0)
    while True:
        time.sleep(1.0)


@_own
def waits_for_file(trial: tunewell.Trial) -> float:
    """Reports three times, then goes on when the file named by its option appears."""
    for step in (1, 2, 3):
        trial.report(step, value=float(step))
    while not os.path.exists(trial.options["file"]):
        time.sleep(0.01)
    trial.report(4, value=4.0)
    return 4.0


@_own
def plain(trial: tunewell.Trial) -> float:
    """Takes no notice of budgets, nor of anything else that it is told."""
    for step in range(1, 10):
        trial.report(step, value=1.0 / step)
    return 1.0 / 9


def _saves(trial: tunewell.Trial) -> float:
    """Counts on from its checkpoint and heeds `should_stop`, as code written for stopping does."""
    file = trial.checkpoint_dir / "total"
    total = float(file.read_text()) if file.exists() else 0.0
    for step in range(trial.last_step + 1, 10):
        total += step
        trial.report(step, value=total)
        if trial.should_checkpoint:
            file.write_text(str(total))
            trial.save(file)
        if trial.should_stop:
            break
    return total


saves = tunewell.objective(name="saves", metrics=VALUE, checkpoints=True)(_saves)


@_own
def hungry(trial: tunewell.Trial) -> float:
    """Holds 200 MiB, half of it in a process of its own, until its option's file appears."""
    held = bytearray(os.urandom(1)) * (100 * 2**20)
    grandchild = os.fork()
    if grandchild == 0:
        more = bytearray(os.urandom(1)) * (100 * 2**20)
        while more:
            time.sleep(1.0)
    trial.report(1, value=float(len(held)))
    while not os.path.exists(trial.options["file"]):
        time.sleep(0.01)
    os.kill(grandchild, signal.SIGKILL)
    os.waitpid(grandchild, 0)
    return 1.0


@_own
def threads(trial: tunewell.Trial) -> float:
    """How many it has; negative where it is told of another number of cores."""
    n_threads = int(os.environ["OMP_NUM_THREADS"])
    return float(n_threads if trial.n_cores == n_threads else -trial.n_cores)


modest = tunewell.objective(name="modest", metrics=VALUE, memory=1024)(lambda trial: 1.0)


@_own
def new_data(trial: tunewell.Trial) -> float:
    trial.data = {"dataset": "mine", "digest": "abc"}
    return 1.0


def _trains(trial: tunewell.Trial) -> float:
    trial.report(1, value=1.0)
    return 1.0


def _rounded(trial: tunewell.Trial) -> dict[str, object] | None:
    """Equal where x0 rounds to the same; knows more once the trial has trained."""
    if trial.options.get("unlike"):
        return None
    return {"x0": round(trial.params["x0"]), "trained": trial.last_step > 0}


rounds = tunewell.objective(name="rounds", metrics=VALUE, equivalent=_rounded)(_trains)
sets = tunewell.objective(name="sets", metrics=VALUE, equivalent=lambda trial: {"x0": {1, 2}})(
    _trains
)
lists = tunewell.objective(
    name="lists",
    metrics=VALUE,
    equivalent=lambda trial: [1],  # type: ignore[arg-type, return-value]
)(_trains)


NOT_AN_OBJECTIVE = 3


def _saves_large(trial: tunewell.Trial) -> float:
    """Saves what it was given and a byte more; then nothing but a name."""
    file = trial.checkpoint_dir / "content"
    content = file.read_bytes() if file.exists() else b""
    trial.report(5, value=0.0)
    file.write_bytes(content + b"5")
    trial.save(file)
    trial.report(6, value=0.0)
    file.write_bytes(b"")
    trial.save()
    return float(len(content))


saves_large = tunewell.objective(name="saves_large", metrics=VALUE, checkpoints=True)(_saves_large)
