"""Faults of a worker that saves a checkpoint: a scripted one in a process of its own, struck in
mid-step, with another that takes over.
"""

from __future__ import annotations

import signal
import time

from . import saving
from .client import Client
from .plan import Action, Plan, Step
from .scripted import ScriptedWorker
from .worker_faults import Blow
from .world import World, definition


def play(world: World, plan: Plan, blow: Blow) -> str:
    """Plays a study whose worker is struck at the step of the plan; returns the study's id."""
    assert plan.action is Action.HOLD
    world.start(plan)
    client = world.client()
    about = definition("cell")
    about["limits"]["max_parallel"] = 1  # who comes second waits for the trial of the first
    study_id = client.create(about)
    client.register()
    worker = ScriptedWorker(world.replica.url, study_id, world.record)
    try:
        _strike(world, worker, blow)
        _go_on(world, client, worker, plan.step, blow, study_id)
    finally:
        worker.close()
    return study_id


def _strike(world: World, worker: ScriptedWorker, blow: Blow) -> None:
    """Strikes the worker while the service is in the middle of the step."""
    world.replica.wait_struck()
    held_at = time.time()
    worker.signal(signal.SIGKILL if blow is Blow.KILL else signal.SIGSTOP)
    worker.take_over()
    world.replica.go_on()
    world.record.gaps.append((held_at, time.time()))


def _go_on(
    world: World, client: Client, worker: ScriptedWorker, step: Step, blow: Blow, study_id: str
) -> None:
    """Another worker takes the trial over: from the checkpoint, if its commit was on the way."""
    (first,) = world.record.acks_of("claim")
    lease = client.must_claim(study_id)
    assert lease["trial"]["id"] == first.data["trial_id"]
    assert (lease["checkpoint"] is not None) == (step is Step.COMMIT)
    if lease["checkpoint"] is not None:
        assert saving.go_on_from(client, lease) == saving.content_of(first.id, 2)
    if blow is Blow.STOP:
        worker.signal(signal.SIGCONT)
        worker.wait_refused()
    client.report(lease, 0, 3)
    saving.save(client, lease, 4)
    client.complete(lease)
    client.finish(study_id)
