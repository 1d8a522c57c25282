"""Two replicas on one Postgres take back the same lease at once, while a step is on its way."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from . import saving
from .client import GIVE_UP_S, Client, Stale
from .plan import Action, Plan, Point, Step
from .record import Record
from .replica import Replica
from .service_faults import RUNG_STEPS, pause_two, play_migrating
from .world import N_TRIALS, World, definition, with_rungs

Study = tuple[str, Record]

SAVED_AT = 1
_SWEEP = Plan(step=Step.SWEEP, point=Point.FOUND, action=Action.HOLD)
_MIGRATION = Plan(step=Step.MIGRATION, point=Point.BEFORE_COMMIT, action=Action.HOLD)


def play(world: World, step: Step) -> list[Study]:
    """Plays a study over two replicas; returns the studies with their records."""
    if step is Step.MIGRATION:
        return [_migrate_together(world)]
    pair = [world.launch(_SWEEP), world.launch(_SWEEP)]
    assert all([each.wait_ready() for each in pair])
    first, second = (world.client(each) for each in pair)
    made = definition("cell", steps=4)
    study_id = first.create(with_rungs(made) if step in RUNG_STEPS else made)
    first.register()
    second.register()
    if step is Step.PROMOTE:
        pause_two(first, study_id)
    lease = first.must_claim(study_id)
    if step is not Step.PROMOTE:  # there it has not come to the rung, where two wait
        first.report(lease, 0, 1)
    saved = _saved_before(first, step, lease)
    for each in pair:  # both have found the lease expired; neither has taken it back
        each.wait_struck()
    held_at = time.time()
    more = _at_once(
        lambda: _act(world, second, step, lease, study_id, saved),
        pair,
        is_sweep_first=step is Step.CLAIM_AFTER,
    )
    world.record.gaps.append((held_at, time.time()))
    second.finish(study_id)
    return [(study_id, world.record), *more]


def _saved_before(client: Client, step: Step, lease: Any) -> str:
    """What of a checkpoint has to be there before the step; its id."""
    if step not in (Step.UPLOAD, Step.COMMIT):
        return ""
    checkpoint_id = saving.announce(client, lease, SAVED_AT)
    if step is Step.COMMIT:
        saving.upload(client, checkpoint_id, saving.content_of(lease["lease_id"], SAVED_AT))
    return checkpoint_id


def _at_once(
    step: Callable[[], list[Study]], pair: list[Replica], *, is_sweep_first: bool
) -> list[Study]:
    """Lets both replicas sweep and the step come in at the same time."""
    made: list[Study] = []
    failed: list[BaseException] = []

    def act() -> None:
        try:
            made.extend(step())
        except BaseException as error:
            failed.append(error)

    acting = threading.Thread(target=act, daemon=True)
    if not is_sweep_first:
        acting.start()
    for each in pair:
        each.go_on()
    if is_sweep_first:
        acting.start()
    acting.join(GIVE_UP_S)
    if failed:
        raise failed[0]
    return made


def _act(
    world: World, client: Client, step: Step, lease: Any, study_id: str, saved: str
) -> list[Study]:
    if step is Step.CREATE:
        record = Record(budget=N_TRIALS, lease_s=world.record.lease_s)
        other = client.with_record(record)
        other.register("other")
        other_id = other.create(definition("other", "other"))
        other.finish(other_id)
        return [(other_id, record)]
    if step is Step.STOP:
        world.record.budget = None
        client.stop(study_id)
    elif step in (Step.CLAIM_BEFORE, Step.CLAIM_AFTER):
        lease = client.must_claim(study_id)
        client.complete(lease)
    elif step is not Step.SWEEP:
        write = {
            Step.HEARTBEAT: client.beat,
            Step.REPORT: lambda held: client.report(held, 1, 2),
            Step.ANNOUNCE: lambda held: saving.announce(client, held, SAVED_AT),
            Step.UPLOAD: lambda held: saving.upload(
                client, saved, saving.content_of(held["lease_id"], SAVED_AT)
            ),
            Step.COMMIT: lambda held: saving.commit(client, held, saved, SAVED_AT),
            Step.COMPLETE: client.complete,
            Step.FAIL: client.fail,
            Step.RELEASE: client.release,
            Step.PAUSE: client.pause,
            Step.PROMOTE: client.cancel,
        }[step]
        with contextlib.suppress(Stale):  # the other side won: nothing was acknowledged
            write(lease)
    return []


def _migrate_together(world: World) -> Study:
    """Two new replicas start at once on an old schema, in mid-trial."""

    def start_both(plan: Plan) -> Replica:
        first = world.launch(plan)
        first.wait_struck()
        second = world.launch()
        assert second.migrating.wait(GIVE_UP_S)
        first.go_on()
        assert first.wait_ready()
        assert second.wait_ready()
        return first

    study_id = play_migrating(world, _MIGRATION, start_both)
    return study_id, world.record
