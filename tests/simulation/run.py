"""One simulation from its seed: trouble for a while, then calm until everything has ended."""

from __future__ import annotations

import itertools
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain import ids
from app.store import schema

from . import checker
from .record import Record
from .service import MAX_RESOURCE, OBJECTIVE, Reply, SimulatedService
from .worker import Participant, SimulatedClient, SimulatedWorker
from .world import CALM, World

STORM_S, CALM_S = 400.0, 4_000.0
N_WORKERS, N_CLIENTS = 4, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulation came to.

    Attributes:
        faults: broken promises in words, none when all is well.
        happened: how often what happened.
        trace: everything that happened, in order.
    """

    seed: int
    faults: list[str]
    happened: Counter[str]
    trace: list[str]


class CountedIds:
    """Stands in for random bytes in the making of ids, so that a seed gives the same run again."""

    def __init__(self) -> None:
        self._made = itertools.count()

    def __call__(self, n_bytes: int) -> bytes:
        """The next number."""
        return next(self._made).to_bytes(n_bytes, "big")


@contextmanager
def counted_ids() -> Iterator[None]:
    """Ids that are counted, not drawn, while the block runs."""
    drawn = ids._random
    ids._random = CountedIds()
    try:
        yield
    finally:
        ids._random = drawn


def simulate(seed: int) -> Outcome:
    """Runs the schedule of a seed and checks what has come of it."""
    with ExitStack() as stack:
        stack.enter_context(counted_ids())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = f"sqlite:///{folder / 'simulated.db'}"
        schema.upgrade(url)
        world, record = World(seed), Record()
        service = SimulatedService(world, url)
        stack.callback(service.close)
        studies = {name: service.create(raw) for name, raw in _studies(world).items()}
        _people(world, service, record, studies)
        _participants(world, service, record, studies)
        world.run(STORM_S)
        world.note("calm")
        world.weather = CALM

        ended = _Ended(world, service, studies.values())
        world.run(STORM_S + CALM_S, lambda: ended.is_over)
        found = checker.faults(service.ledgers(studies), record)
    return Outcome(seed=seed, faults=found, happened=world.happened, trace=world.trace)


def _studies(world: World) -> dict[str, dict[str, Any]]:
    draw = world.random.randint
    policy = {"max_attempts": draw(1, 3), "max_losses": draw(0, 4), "max_failed": 1000}
    grid = {"name": "x", "type": "int", "low": 1, "high": draw(3, 5)}
    floats = {"name": "x", "type": "float", "low": 0, "high": 1}
    common: dict[str, Any] = {
        "metrics": [{"name": "value", "direction": "minimize"}],
        "failure_policy": policy,
    }
    by_workers = {**common, "objective": {"name": OBJECTIVE}}
    seeded = {"name": "random", "seed": 1}

    def limits(low: int, high: int) -> dict[str, int]:
        return {"max_trials": draw(low, high), "max_parallel": draw(1, 4)}

    return {
        "workers": {
            **by_workers, "name": "workers", "space": [floats], "suggester": seeded,
            "limits": limits(5, 9),
        },
        "grid": {**by_workers, "name": "grid", "space": [grid], "suggester": {"name": "grid"}},
        "rungs": {
            **by_workers, "name": "rungs", "space": [floats], "suggester": seeded,
            "early_stopping": _rule(world), "limits": limits(6, 14),
        },
        "clients": {
            **common, "name": "clients", "space": [floats], "suggester": seeded,
            "limits": limits(3, 5),
        },
    }  # fmt: skip


def _rule(world: World) -> dict[str, Any]:
    """A rule that pauses and promotes."""
    name = world.random.choice(["asha", "hyperband"])
    options = {"min_resource": 1, "max_resource": MAX_RESOURCE, "eta": 3}
    return {"name": name, "options": options}


def _participants(
    world: World, service: SimulatedService, record: Record, studies: dict[str, str]
) -> None:
    everyone: list[Participant] = [
        *(SimulatedWorker(world, service, record, f"w{k}") for k in range(N_WORKERS)),
        *(
            SimulatedClient(world, service, record, f"c{k}", studies["clients"])
            for k in range(N_CLIENTS)
        ),
    ]
    for one in everyone:
        world.later(world.random.uniform(0.0, 5.0), one.begin)
        world.often(f"crash of {one.name}", lambda weather: weather.crash_s, one.crash)
        world.often(f"freeze of {one.name}", lambda weather: weather.freeze_s, one.freeze)
    world.often("outage", lambda weather: weather.outage_s, service.restart)


def _people(
    world: World, service: SimulatedService, record: Record, studies: dict[str, str]
) -> None:
    """Somebody enqueues points, cancels trials, pauses and goes on; each call may come twice."""
    study_id = studies["workers"]

    def note(name: str, *details: object) -> None:
        world.note(name, *details)

    def enqueue(number: int) -> None:
        def answered(reply: Reply) -> None:
            note("enqueue", *reply)
            if reply[0] == "ok":
                record.enqueued.append(reply[1])

        key, x = f"enqueue-{number}", (number + 1) / 100
        for delay_s in (0.0, 20.0):  # sent again, in case that the answer was lost
            world.later(delay_s, lambda: world.send(service.enqueue(study_id, x, key), answered))

    def cancel() -> None:
        number, of = world.random.randint(1, 4), world.random.choice([study_id, studies["rungs"]])
        world.send(service.cancel(of, number), lambda reply: note("cancel", number, *reply))

    def change(verb: str) -> None:
        world.send(service.change(study_id, verb), lambda reply: note(verb, *reply))

    for number in range(3):
        at = world.random.uniform(1.0, STORM_S)
        world.later(at, lambda number=number: enqueue(number))  # type: ignore[misc]
    for _ in range(2):
        world.later(world.random.uniform(50.0, STORM_S), cancel)
    for _ in range(2):
        world.later(world.random.uniform(50.0, STORM_S), lambda: change("pause"))
        world.later(world.random.uniform(50.0, STORM_S), lambda: change("resume"))
    # The last word is to go on, said once the network works again.
    world.later(STORM_S + 300.0, lambda: change("resume"))


class _Ended:
    """Looks, now and then, whether all studies have ended."""

    def __init__(self, world: World, service: SimulatedService, study_ids: Collection[str]) -> None:
        self._world = world
        self._service = service
        self._study_ids = study_ids
        self.is_over = False
        self._look()

    def _look(self) -> None:
        if self._service.is_up:
            self.is_over = all(self._service.has_ended(one) for one in self._study_ids)
        self._world.later(20.0, self._look)
