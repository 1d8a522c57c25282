"""Faults of a worker: a real one, struck in mid-step, with a scripted one that takes over."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..running import Process
from . import objective
from .client import GIVE_UP_S, Client, Stale
from .plan import Action, Plan, Step
from .world import World, definition, with_rungs

_ENDED = ("completed", "failed", "cancelled")
_HOLDS_ON = frozenset({Step.CLAIM_BEFORE, Step.CLAIM_AFTER, Step.HEARTBEAT, Step.REPORT})
"""Steps after which the worker still has its lease."""


class Blow(StrEnum):
    """What happens to the worker."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP"
    CLOCK = "clock"


class RealWorker:
    """A worker process with its clock moved."""

    def __init__(self, folder: Path, url: str, offset_s: float) -> None:
        shutil.copy(objective.__file__, folder / "crash_objective.py")
        command = [
            sys.executable,
            str(Path(__file__).with_name("working.py")),
            str(offset_s),
            url,
            "real",
        ]
        self.process = Process(command, folder)

    def signal(self, number: int) -> None:
        """To the worker and the processes of its own group; those of its trials lead others."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.process.pid, number)

    def says(self, *wanted: str) -> bool:
        """Whether one of its next lines, if any comes in a moment, holds one of these words."""
        try:
            line = self.process.lines.get(timeout=0.1)
        except queue.Empty:
            return False
        assert line is not None, self.process.errors.read_text()
        return any(word in line for word in wanted)

    def close(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.process.end()


def play(world: World, plan: Plan, blow: Blow, offset_s: float = 0.0) -> str:
    """Plays a study whose worker is struck at the step of the plan; returns the study's id."""
    assert plan.action is Action.HOLD
    client, folder = world.client(), world.folder / "worker"
    folder.mkdir()
    is_late = plan.step is Step.MIGRATION
    world.start(None if is_late else plan)
    client.register("crash")
    study_id = client.create(_definition(plan.step))
    if plan.step is Step.FAIL:
        (folder / objective.FAIL_ONCE.name).touch()
    elif plan.step is Step.RELEASE or (plan.step is Step.STOP and blow is Blow.STOP):
        (folder / objective.GO_ON.name).touch()  # the trial must not end before
    worker = RealWorker(folder, world.replica.url, offset_s)
    try:
        _strike(world, client, worker, plan, blow, study_id)
        _go_on(client, worker, plan.step, blow, study_id)
    finally:
        worker.close()
    return study_id


def _definition(step: Step) -> dict[str, Any]:
    made = definition("cell", "crash")
    made["limits"]["max_parallel"] = 1  # who comes second waits for the trial of the first
    return with_rungs(made) if step is Step.PAUSE else made


def _strike(
    world: World, client: Client, worker: RealWorker, plan: Plan, blow: Blow, study_id: str
) -> None:
    """Brings the worker to the step, and strikes it while the service is in the middle of it."""
    stopping = _bring_about(world, client, worker, plan, blow, study_id)
    world.replica.wait_struck()
    held_at = time.time()
    if blow is Blow.KILL:
        worker.signal(signal.SIGKILL)
    elif blow is Blow.STOP:
        # Of a sweep the worker has to be stopped before; it wakes up in the middle of it.
        worker.signal(signal.SIGCONT if plan.step is Step.SWEEP else signal.SIGSTOP)
    world.replica.go_on()
    world.record.gaps.append((held_at, time.time()))
    if stopping is not None:
        stopping.join(GIVE_UP_S)
    if plan.step is Step.MIGRATION:
        assert world.replica.wait_ready()
        world.note_gap(held_at)


def _bring_about(
    world: World, client: Client, worker: RealWorker, plan: Plan, blow: Blow, study_id: str
) -> threading.Thread | None:
    """What makes the step happen where the worker would not do it by itself."""
    if plan.step not in (Step.RELEASE, Step.SWEEP, Step.STOP, Step.MIGRATION):
        return None
    _until(client, lambda: _has_reported(client, study_id))
    if plan.step is Step.RELEASE:
        worker.process.process.send_signal(signal.SIGTERM)
        worker.process.line("worker_draining")
        worker.process.process.send_signal(signal.SIGTERM)  # the second one says: at once
    elif plan.step is Step.SWEEP:
        world.replica.arm()
        worker.signal(signal.SIGSTOP if blow is Blow.STOP else signal.SIGKILL)
    elif plan.step is Step.STOP:
        world.record.budget = None
        stopping = threading.Thread(target=client.stop, args=(study_id,), daemon=True)
        stopping.start()
        return stopping
    else:
        down = world.replica
        world.downgrade()
        world.launch(plan, port=down.port)
        world.record.gaps.append((down.ended_at or 0.0, time.time()))
    return None


def _go_on(client: Client, worker: RealWorker, step: Step, blow: Blow, study_id: str) -> None:
    """Plays the study to its end."""
    if blow is Blow.STOP and step is not Step.SWEEP:
        _wake_late(client, worker, step, study_id)
    is_alone = step is Step.STOP or (blow is Blow.CLOCK and step not in (Step.RELEASE, Step.SWEEP))
    if is_alone:
        _until(client, lambda: client.study(study_id)["state"] in _ENDED)
    else:
        client.finish(study_id)


def _wake_late(client: Client, worker: RealWorker, step: Step, study_id: str) -> None:
    """Wakes the stopped worker when its lease is over; what it still has to say is refused."""
    if step is Step.STOP:
        _until(client, lambda: client.study(study_id)["state"] in _ENDED)
        worker.signal(signal.SIGCONT)
        _until(client, lambda: worker.says("write_refused", '"abort"'))
        return
    lease = client.must_claim(study_id)
    worker.signal(signal.SIGCONT)
    if step in _HOLDS_ON or step is Step.MIGRATION:
        _until(client, lambda: _beat(client, lease) or worker.says("write_refused", '"abort"'))
    with contextlib.suppress(Stale):
        client.report(lease, 0, 1, 2)
        client.complete(lease)


def _beat(client: Client, lease: Any) -> None:
    with contextlib.suppress(Stale):
        client.beat(lease)


def _has_reported(client: Client, study_id: str) -> bool:
    listed = client.call("GET", f"/v1/studies/{study_id}/trials?state=running")["trials"]
    return any(_n_measurements(client, trial["id"]) for trial in listed)


def _n_measurements(client: Client, trial_id: str) -> int:
    return len(client.call("GET", f"/v1/trials/{trial_id}/measurements")["measurements"])


def _until(client: Client, check: Callable[[], bool]) -> None:
    """Waits until the check holds, looking again at each event of the service."""
    deadline = time.monotonic() + GIVE_UP_S
    after = client.call("GET", "/v1/events")["next_after"]
    while not check():
        assert time.monotonic() < deadline, "waited in vain"
        after = client.call("GET", f"/v1/events?after={after}&wait_s=0.3")["next_after"]
