"""Trials that are forked off: each in a session of its own, none touched by another's end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from workers.jobs import Job
from workers.nurseries import Nurseries
from workers.processes import HAS_PIDFD, start
from workers.runner import Cause, Runner

from .helpers import Reports, running, watch

pytestmark = pytest.mark.skipif(not HAS_PIDFD, reason="trials are forked off on Linux only")
ENVIRONMENT = dict(os.environ)


@pytest.fixture
def nurseries() -> Iterator[Nurseries]:
    made = Nurseries(ENVIRONMENT)
    yield made
    made.close()


def runner(
    nurseries: Nurseries, sink: Reports, *, waits: bool = False, **options: object
) -> Runner:
    of = Job(
        trial_id="tr_1",
        number=1,
        objective="function",
        params={"x0": 2.0},
        options=options,
        environment={"MARK": "set"},
        waits=waits,
    )
    nursery = nurseries.of("function")
    return Runner(lambda: start(of, ENVIRONMENT, nursery), sink, waits=waits)


def waiting(made: Runner, sink: Reports) -> int:
    """Waits for the first report; the process id of the trial."""
    sink.next_value()
    assert made.pid is not None
    return made.pid


def test_forked_trials_share_no_group_and_no_fate(nurseries: Nurseries) -> None:
    sinks = Reports(), Reports()
    one, other = (runner(nurseries, sink, steps=3000, step_s=0.02) for sink in sinks)
    with running(one) as first, running(other) as second:
        pids = [waiting(made, sink) for made, sink in zip((one, other), sinks, strict=True)]
        assert [os.getsid(pid) for pid in pids] == pids
        os.kill(pids[0], signal.SIGKILL)
        failure = first().failure
        assert failure is not None
        assert failure.kind == "infrastructure"
        sinks[1].next_value()
        other.kill(Cause.ABORT)
        assert second().cause is Cause.ABORT


def test_after_its_death_a_new_one_is_made_and_its_trials_are_told_as_failed(
    nurseries: Nurseries,
) -> None:
    sink = Reports()
    made = runner(nurseries, sink, steps=3000, step_s=0.02)
    with running(made) as outcome:
        gone = watch(waiting(made, sink))
        nursery = nurseries.of("function")
        assert nursery is not None
        os.kill(nursery.pid, signal.SIGKILL)
        assert gone()
        failure = outcome().failure
        assert failure is not None
        assert failure.kind == "infrastructure"
    end = runner(nurseries, Reports()).run().end
    assert end is not None
    assert end["values"] == {"value": 4.0}


def test_behind_a_trial_the_next_ones_process_waits(nurseries: Nurseries) -> None:
    spares: list[int] = []
    for _ in range(2):
        sink = Reports()
        made = runner(nurseries, sink, steps=3000, step_s=0.02)
        with running(made):
            pid = waiting(made, sink)
            made.kill(Cause.ABORT)
        assert not spares or pid == spares[-1]
        spares += [spare.pid for spare in waiting_spares(nurseries)]
    assert len(set(spares)) == 2


def test_a_spare_that_was_killed_costs_no_trial(nurseries: Nurseries) -> None:
    assert runner(nurseries, Reports()).run().end is not None
    (spare,) = waiting_spares(nurseries)
    gone = watch(spare.pid)
    spare.kill()
    assert gone()
    end = runner(nurseries, Reports()).run().end
    assert end is not None
    assert end["values"] == {"value": 4.0}


def made_ready(nurseries: Nurseries) -> psutil.Process:
    """The process of a trial that has its job and waits for its turn."""
    nursery = nurseries.of("function")
    assert nursery is not None
    parent = psutil.Process(nursery.pid)
    while True:
        for child in parent.children():
            with contextlib.suppress(OSError):  # a process that has just gone
                if pipes_of(child.pid) - pipes_of(parent.pid):
                    return child


def test_a_trial_that_was_made_ready_begins_when_it_is_told_to(nurseries: Nurseries) -> None:
    sink = Reports()
    made = runner(nurseries, sink, waits=True)
    with running(made) as outcome:
        process = made_ready(nurseries)
        assert sink.points == []
        made.begin()
        end = outcome().end
    assert end is not None
    assert end["values"] == {"value": 4.0}
    assert not process.is_running()


def test_one_that_dies_while_it_waits_costs_no_trial(nurseries: Nurseries) -> None:
    made = runner(nurseries, Reports(), waits=True)
    with running(made) as outcome:
        process = made_ready(nurseries)
        gone = watch(process.pid)
        process.kill()
        assert gone()
        made.begin()
        assert outcome().end is not None


def test_one_that_is_not_to_begin_is_ended(nurseries: Nurseries) -> None:
    sink = Reports()
    made = runner(nurseries, sink, waits=True)
    with running(made) as outcome:
        gone = watch(made_ready(nurseries).pid)
        made.kill(Cause.ABORT)
        assert outcome().cause is Cause.ABORT
        assert gone()
    assert sink.points == []


def test_a_spare_with_the_data_of_other_options_is_not_used(nurseries: Nurseries) -> None:
    assert runner(nurseries, Reports()).run().end is not None
    (spare,) = waiting_spares(nurseries)
    gone = watch(spare.pid)
    assert runner(nurseries, Reports(), function="ackley").run().end is not None
    assert gone()


def test_nothing_that_a_trial_holds_open_is_held_by_a_spare(nurseries: Nurseries) -> None:
    """Else the end of a trial's pipes would not be seen while the spare waits."""
    sink = Reports()
    made = runner(nurseries, sink, steps=3000, step_s=0.02)
    with running(made):
        trial = waiting(made, sink)
        assert runner(nurseries, Reports()).run().end is not None
        (spare,) = (each for each in waiting_spares(nurseries, 2) if each.pid != trial)
        assert not pipes_of(trial) & pipes_of(spare.pid)
        made.kill(Cause.ABORT)


def test_the_end_of_a_nursery_is_the_end_of_its_spare(nurseries: Nurseries) -> None:
    assert runner(nurseries, Reports()).run().end is not None
    (spare,) = waiting_spares(nurseries)
    gone = watch(spare.pid)
    nurseries.close()
    assert gone()


def waiting_spares(nurseries: Nurseries, n_children: int = 1) -> list[psutil.Process]:
    """What a nursery has forked, the spare among them: made before the last trial was reaped."""
    nursery = nurseries.of("function")
    assert nursery is not None
    children = psutil.Process(nursery.pid).children()
    assert len(children) == n_children
    return children


def pipes_of(pid: int) -> set[str]:
    links = (os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())
    return {link for link in links if link.startswith("pipe:")}


def test_an_objective_that_is_not_built_in_has_none(nurseries: Nurseries) -> None:
    assert nurseries.of("mine") is None


def test_trials_that_begin_together_find_a_process_each() -> None:
    nurseries = Nurseries(ENVIRONMENT, n_spares=2)
    try:
        assert runner(nurseries, Reports()).run().end is not None
        nursery = nurseries.of("function")
        assert nursery is not None
        parent = psutil.Process(nursery.pid)
        spares: set[int] = set()
        with contextlib.ExitStack() as stack:
            sinks = [Reports() for _ in range(2)]
            made = [runner(nurseries, sink, steps=3000, step_s=0.02) for sink in sinks]
            # The same options: the first trial of these has no spare, and two are made behind it.
            stack.enter_context(running(made[0]))
            waiting(made[0], sinks[0])
            while len(spares) < 2:
                spares = {each.pid for each in parent.children()} - {made[0].pid or 0}
            stack.enter_context(running(made[1]))
            assert waiting(made[1], sinks[1]) in spares
            for each in made:
                each.kill(Cause.ABORT)
    finally:
        nurseries.close()
