"""Faults of the service, played against by a scripted worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .client import Client
from .plan import Plan, Step
from .replica import Replica
from .world import World, definition

OnStruck = Callable[[Replica, dict[str, Any]], None]


def play(world: World, plan: Plan, on_struck: OnStruck | None = None) -> str:
    """Plays a study in which the step of the plan occurs, to its end; returns the study's id.

    Raises:
        AssertionError: the fault did not strike, or a call was not answered as it should be.
    """
    is_late = plan.step is Step.MIGRATION
    replica = world.start(None if is_late else plan, on_struck=None if is_late else on_struck)
    client = world.client()
    study_id = client.create(definition("cell"))
    client.register()
    _one_of_each(client, study_id)
    if is_late:
        replica = _migrate(world, client, study_id, plan, on_struck)
    elif plan.step is Step.SWEEP:
        client.must_claim(study_id)  # and never heard of again
    elif plan.step is Step.STOP:
        _stop(world, client, study_id)
    client.finish(study_id)
    assert replica.n_struck == plan.times, f"{plan} struck {replica.n_struck} times"
    return study_id


def _one_of_each(client: Client, study_id: str) -> None:
    """A trial with every ordinary write, then a failure and a release."""
    lease = client.must_claim(study_id)
    client.beat(lease)
    client.report(lease, 0, 1, 2)
    client.report(lease, 1, 3)
    client.complete(lease)
    client.fail(client.must_claim(study_id))
    client.release(client.must_claim(study_id))


def _stop(world: World, client: Client, study_id: str) -> None:
    world.record.budget = None
    lease = client.must_claim(study_id)
    client.stop(study_id)
    client.complete(lease)


def _migrate(
    world: World, client: Client, study_id: str, plan: Plan, on_struck: OnStruck | None
) -> Replica:
    """The service is replaced by one with a newer schema, in mid-trial."""
    lease = client.must_claim(study_id)
    client.report(lease, 0, 1)
    down = world.replica
    world.downgrade()
    replica = world.start(plan, on_struck=on_struck)
    world.recover()
    world.note_gap(down.ended_at or 0.0)
    client.complete(lease)
    return replica
