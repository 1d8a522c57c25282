"""Faults of the service, played against by a scripted worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from . import saving
from .client import Client, Stale
from .plan import Action, Plan, Point, Step
from .record import mark
from .replica import Replica
from .world import World, definition, with_rungs

CHECKPOINT_STEPS = frozenset({Step.ANNOUNCE, Step.UPLOAD, Step.COMMIT})
RUNG_STEPS = frozenset({Step.PAUSE, Step.PROMOTE})
OnStruck = Callable[[Replica, dict[str, Any]], None]


def play(world: World, plan: Plan, on_struck: OnStruck | None = None) -> str:
    """Plays a study in which the step of the plan occurs, to its end; returns the study's id.

    Raises:
        AssertionError: the fault did not strike, or a call was not answered as it should be.
    """
    if plan.step is Step.MIGRATION:
        return play_migrating(world, plan, lambda plan: world.start(plan, on_struck=on_struck))
    replica = world.start(plan, on_struck=on_struck)
    client = world.client()
    study_id = client.create(_definition(plan.step))
    client.register()
    if plan.step is Step.SWEEP:
        client.must_claim(study_id)  # and never heard of again
    elif plan.step is Step.STOP:
        _stop(world, client, study_id)
    elif plan.step in RUNG_STEPS:
        promote(client, *pause_two(client, study_id))
    elif plan.step in CHECKPOINT_STEPS:
        began = _save_and_go_on(client, study_id)
        if plan.point is Point.MIDWAY and plan.action is Action.KILL:
            assert began[1] % saving.CHUNK_BYTES, f"no half of a chunk was left: {began}"
    else:
        _one_of_each(client, study_id)
    client.finish(study_id)
    _must_have_struck(replica, plan)
    return study_id


def play_plain(world: World) -> str:
    """Plays a study in which nothing goes wrong."""
    world.start()
    client = world.client()
    study_id = client.create(definition("cell"))
    client.register()
    _one_of_each(client, study_id)
    _save_and_go_on(client, study_id)
    client.finish(study_id)
    return study_id


def play_with_rungs(world: World) -> str:
    """The same, of a study whose trials pause and go on."""
    world.start()
    client = world.client()
    study_id = client.create(_definition(Step.PROMOTE))
    client.register()
    promote(client, *pause_two(client, study_id))
    client.finish(study_id)
    return study_id


def play_migrating(world: World, plan: Plan, start: Callable[[Plan], Replica]) -> str:
    """Plays a study in whose midst the service is replaced by one with a newer schema.

    Args:
        world: the processes.
        plan: strikes in the migration.
        start: starts the service that migrates.
    """
    world.start()
    client = world.client()
    study_id = client.create(definition("cell"))
    client.register()
    lease = client.must_claim(study_id)
    client.report(lease, 0, 1)
    down = world.replica
    world.downgrade()
    replica = start(plan)
    world.recover()
    world.note_gap(down.ended_at or 0.0)
    client.complete(lease)
    client.finish(study_id)
    _must_have_struck(replica, plan)
    return study_id


def _definition(step: Step) -> dict[str, Any]:
    made = definition("cell", steps=4)
    return with_rungs(made) if step in RUNG_STEPS else made


def pause_two(client: Client, study_id: str) -> tuple[Any, Any]:
    """Two trials that have come to the first rung and pause there; their leases."""
    leases = [client.must_claim(study_id) for _ in range(2)]
    for lease in leases:
        client.report(lease, 0, 1)
        client.pause(lease)
    return leases[0], leases[1]


def promote(client: Client, *paused: Any) -> None:
    """A third trial ends at the rung: the best of the paused ones goes on, and to its end."""
    study_id = paused[0]["trial"]["study_id"]
    client.cancel(client.must_claim(study_id))
    best = min(paused, key=lambda lease: mark(lease["lease_id"]))
    again = client.must_claim(study_id)
    assert again["trial"]["id"] == best["trial"]["id"]
    assert (again["budget"]["from_step"], again["budget"]["to_step"]) == (0, 3)
    client.report(again, 0, 1, 2, 3)
    client.complete(again)


def _must_have_struck(replica: Replica, plan: Plan) -> None:
    assert replica.n_struck == plan.times, f"{plan} struck {replica.n_struck} times"


def _one_of_each(client: Client, study_id: str) -> None:
    """A trial with every ordinary write, then a failure and a release."""
    lease = client.must_claim(study_id)
    client.beat(lease)
    client.report(lease, 0, 1, 2)
    client.report(lease, 1, 3)
    client.complete(lease)
    client.fail(client.must_claim(study_id))
    client.release(client.must_claim(study_id))


def _save_and_go_on(client: Client, study_id: str) -> list[int]:
    """A trial that is saved, then saved by half; the next attempt goes on from the whole one.

    Returns:
        At which bytes the chunks of the first checkpoint began.
    """
    lease = client.must_claim(study_id)
    client.beat(lease)
    client.report(lease, 0, 1, 2)
    began = saving.save(client, lease, 2)
    client.report(lease, 1, 3)
    half = saving.announce(client, lease, 3)
    saving.send(client, half, saving.content_of(lease["lease_id"], 3), 0)
    client.release(lease)
    again = client.must_claim(study_id)
    assert again["trial"]["id"] == lease["trial"]["id"]
    assert again["budget"]["from_step"] == 2
    assert saving.go_on_from(client, again) == saving.content_of(lease["lease_id"], 2)
    client.report(again, 0, 3, 4)
    saving.save(client, again, 4)
    client.complete(again)
    return began


def _stop(world: World, client: Client, study_id: str) -> None:
    world.record.budget = None
    lease = client.must_claim(study_id)
    client.stop(study_id)
    # On a busy machine the lease may run out before: the study then ends without its result.
    with contextlib.suppress(Stale):
        client.complete(lease)
