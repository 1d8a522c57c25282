"""Trials of a user's objective that are forked off a process which has imported it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workers.jobs import Job
from workers.nurseries import Nurseries
from workers.output import Output
from workers.processes import HANG_UP_S, HAS_PIDFD, Nursery, start
from workers.runner import Runner

from .helpers import Reports

pytestmark = pytest.mark.skipif(not HAS_PIDFD, reason="trials are forked off on Linux only")
ENVIRONMENT = dict(os.environ)
MODULE = """
import atexit, os, random
import numpy
import tunewell

print("imported")
BY = os.getpid()
UNSEEDED, SEEDED = numpy.random.default_rng(), numpy.random.default_rng(7)


@tunewell.objective(name="mine", metrics={"by": "minimize", "pid": "minimize"})
def mine(trial):
    atexit.register(print, "at exit", flush=True)
    trial.report(1, by=BY, pid=os.getpid())
    print(SEEDED.random(), random.random(), numpy.random.random(), UNSEEDED.random())
    return {"by": BY, "pid": os.getpid()}
"""


class Mine:
    """A user's objective in a folder of its own, and the worker's processes for it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "training.py"
        self.folder = str(folder)
        self.said: list[dict[str, Any]] = []
        self.nurseries = Nurseries(
            ENVIRONMENT,
            targets={"mine": "training:mine"},
            folder=self.folder,
            log=lambda event, **fields: self.said.append({"event": event, **fields}),
        )

    def nursery(self, until: Callable[[], object] = bool) -> Nursery | None:
        """Asks for it until it is there, or something else has happened."""
        while (found := self.nurseries.of("mine")) is None and not until():
            pass
        return found

    def run(self, nursery: Nursery | None) -> tuple[dict[str, float], str]:
        """A trial's final values, and what it printed."""
        job = Job(
            trial_id="tr_1",
            number=1,
            objective="mine",
            target="training:mine",
            folder=self.folder,
        )
        output = Output()
        made = Runner(lambda: start(job, ENVIRONMENT, nursery), Reports(), output=output)
        outcome = made.run()
        assert outcome.end is not None, outcome
        return dict(outcome.end["values"]), output.text


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Mine]:
    made = Mine(tmp_path)
    made.file.write_text(MODULE)
    yield made
    began_at = time.monotonic()
    made.nurseries.close()
    assert time.monotonic() - began_at < HANG_UP_S  # none had to be waited for


def test_trials_share_an_import_and_nothing_else(mine: Mine) -> None:
    assert mine.nurseries.of("mine") is None  # one alone would have it for nothing
    nursery = mine.nursery()
    assert nursery is not None
    (one, said), (other, also_said) = mine.run(nursery), mine.run(nursery)
    assert one["by"] == other["by"] == nursery.pid
    assert len({one["pid"], other["pid"], nursery.pid}) == 3
    first, drawn, last = said.splitlines()
    assert (first, last) == ("imported", "at exit")
    both = zip(drawn.split(), also_said.splitlines()[1].split(), strict=True)
    assert [a == b for a, b in both] == [True, False, False, False]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "import threading; E = threading.Event(); "
            "threading.Thread(target=E.wait, daemon=True).start()",
            "1 more threads",
        ),
        ("R = open(__file__)", "training.py is open"),
        ("raise RuntimeError('not today')", "not today"),
        ("os._exit(3)", "its import ended it"),
    ],
)
def test_what_a_fork_would_break_is_not_forked(mine: Mine, line: str, reason: str) -> None:
    mine.file.write_text(MODULE + line + "\n")
    nursery = mine.nursery(until=lambda: mine.said)
    assert nursery is None
    assert reason in mine.said[0]["reason"]
    assert mine.nurseries.of("mine") is None
    assert len(mine.said) == 1


def test_a_seed_of_the_users_holds_for_every_trial(mine: Mine) -> None:
    mine.file.write_text(MODULE + "numpy.random.seed(7)\n")
    nursery = mine.nursery()
    drawn = {mine.run(each)[1].splitlines()[1].split()[2] for each in (nursery, nursery, None)}
    assert len(drawn) == 1


def test_changed_code_is_imported_anew(mine: Mine) -> None:
    before = mine.nursery()
    mine.file.write_text(MODULE.replace('print("imported")', 'print("imported anew")'))
    after = mine.nursery(until=lambda: False)
    assert after is not before
    assert mine.run(after)[1].splitlines()[0] == "imported anew"
    assert mine.run(before)[1].splitlines()[0] == "imported"  # those that were given a place go on


def test_an_import_that_never_ends_holds_nothing_up(mine: Mine) -> None:
    mine.file.write_text("import threading; threading.Event().wait()")
    assert [mine.nurseries.of("mine") for _ in range(3)] == [None] * 3
