"""Cores of idle slots that are lent: to whom, how many, and when they are given back."""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workers import main
from workers.attempt import Attempt
from workers.channel import PipeChannel
from workers.engines.base import Wanted
from workers.engines.fused import FusedEngine
from workers.engines.local import LocalEngine
from workers.objectives.offers import BUILT_IN
from workers.offers import Offers
from workers.peaks import Peaks

from .fake_service import FakeService
from .helpers import LIMIT_S

LOG: Callable[..., None] = lambda event, **fields: None  # noqa: E731


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})


def engine(folder: Path, n_slots: int | None) -> LocalEngine:
    log: Any = LOG
    offers = Offers(["random-forest", "mnist-mlp", "function"], log)
    peaks = Peaks(folder / "peaks.json", log)
    return LocalEngine("cpu", n_slots, offers=offers, peaks=peaks, log=log)


def begin(
    made: LocalEngine | FusedEngine,
    lease_id: str,
    objective: str = "random-forest",
    *,
    is_built_in: bool = True,
    **resources: float,
) -> None:
    wanted = Wanted(
        lease_id=lease_id,
        trial_id=f"tr_{lease_id}",
        objective=objective,
        is_built_in=is_built_in,
        resources=resources,
    )
    assert made.hold(wanted, may_wait=False)


def test_a_forest_has_the_cores_of_idle_slots_until_a_trial_begins_there(tmp_path: Path) -> None:
    made = engine(tmp_path, 4)
    begin(made, "a")
    assert made.cores() == {"a": 4}
    begin(made, "other", "function")
    assert made.cores() == {"a": 3}
    made.end("other")
    assert made.cores() == {"a": 4}
    made.end("a")
    assert made.cores() == {}


def test_a_network_and_a_forest_share_what_is_idle(tmp_path: Path) -> None:
    made = engine(tmp_path, 4)
    begin(made, "net", "mnist-mlp")
    assert made.cores() == {"net": 4}
    begin(made, "forest")
    assert made.cores() == {"net": 2, "forest": 2}


def test_several_forests_share_what_is_idle(tmp_path: Path) -> None:
    made = engine(tmp_path, 4)
    begin(made, "a")
    begin(made, "b")
    assert made.cores() == {"a": 2, "b": 2}
    begin(made, "c")
    assert made.cores() == {"a": 2, "b": 1, "c": 1}
    begin(made, "d")
    assert made.cores() == {"a": 1, "b": 1, "c": 1, "d": 1}
    made.end("a")
    made.end("c")
    assert made.cores() == {"b": 2, "d": 2}


def test_a_lease_that_comes_twice_ends_once(tmp_path: Path) -> None:
    made = engine(tmp_path, 4)
    begin(made, "a")
    begin(made, "a")
    assert made.cores() == {"a": 4}
    made.end("a")
    assert made.cores() == {}


@pytest.mark.parametrize(
    ("n_slots", "threads", "n_cores"),
    [
        (1, "1", 1),  # the user's word
        (2, "1", 2),
        (1, None, 4),
        (2, None, 4),
        (3, None, 3),  # what the slots leave over belongs to none
        (8, None, 4),  # eight slots have no more cores than there are
        (4, "2", 4),
    ],
)
def test_no_more_than_the_slots_have(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_slots: int,
    threads: str | None,
    n_cores: int,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    if threads is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    made = engine(tmp_path, n_slots)
    begin(made, "a")
    assert made.cores() == {"a": n_cores}


def test_a_trial_that_asks_for_several_cores_has_them_and_lends_none(tmp_path: Path) -> None:
    made = engine(tmp_path, 4)
    begin(made, "wide", cpu=3.0)
    assert made.cores() == {"wide": 4}
    begin(made, "a")
    assert made.cores() == {"wide": 3, "a": 1}


def test_others_borrow_nothing_nor_does_a_users_objective_of_the_same_name(tmp_path: Path) -> None:
    made = engine(tmp_path, 4)
    begin(made, "own net", "mnist-mlp", is_built_in=False)
    begin(made, "function", "function")
    begin(made, "own", "random-forest", is_built_in=False)
    assert made.cores() == {}


def test_trials_that_are_trained_as_one_borrow_nothing_and_take_their_slot_from_a_forest(
    tmp_path: Path,
) -> None:
    log: Any = LOG
    offered = ["random-forest", "mnist-mlp"]
    fused = FusedEngine(
        engine(tmp_path, 2), 4, fusable={"mnist-mlp"}, offered=offered, folder=None, log=log
    )
    begin(fused, "forest")
    assert fused.cores() == {"forest": 2}
    for lease_id in "abc":
        begin(fused, lease_id, "mnist-mlp")
    assert fused.cores() == {"forest": 1}
    for lease_id in "abc":
        fused.end(lease_id)
    assert fused.cores() == {"forest": 2}


def test_a_trial_hears_at_once_how_many_cores_it_has() -> None:
    read_fd, write_fd = os.pipe()
    try:
        channel = PipeChannel(write_fd)
        assert channel.n_cores == 1
        channel.take_order({"order": "cores", "n_cores": 3})
        assert channel.n_cores == 3
    finally:
        os.close(read_fd)
        os.close(write_fd)


class Lent:
    """What the trials of a worker are told, by lease, as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.attempts: dict[str, Attempt] = {}
        self.now: dict[str, int] = {}
        self._changed = threading.Condition()
        lend = Attempt.lend

        def noted(attempt: Attempt, n_cores: int) -> None:
            lend(attempt, n_cores)
            with self._changed:
                self.attempts[attempt.lease.lease_id] = attempt
                self.now[attempt.lease.lease_id] = n_cores
                self._changed.notify_all()

        monkeypatch.setattr(Attempt, "lend", noted)

    def wait_for(self, **expected: int) -> None:
        with self._changed:
            is_so = lambda: expected.items() <= self.now.items()  # noqa: E731
            assert self._changed.wait_for(is_so, LIMIT_S), (expected, self.now)


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> Lent:
    """Trials of `function` borrow: they take as long as a test needs."""
    monkeypatch.setitem(BUILT_IN, "function", replace(BUILT_IN["function"], borrows=True))  # type: ignore[index]
    return Lent(monkeypatch)


@pytest.fixture
def run(service: FakeService) -> Iterator[Callable[..., None]]:
    """Starts a worker in a thread; ended at last."""
    threads = []

    def started(*objectives: str, slots: int) -> None:
        statuses: queue.SimpleQueue[int] = queue.SimpleQueue()
        options: dict[str, Any] = {"slots": slots, "exit_when_idle": True, "devices": "cpu"}
        threads.append(
            threading.Thread(
                target=lambda: statuses.put(
                    main.run(url=service.url, objectives=objectives, **options)
                )
            )
        )
        threads[-1].start()

    yield started
    service.change(lambda: setattr(service, "open_work", False))
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()


def add_long(service: FakeService, lease_id: str) -> None:
    """A trial that goes on until it is told to stop."""
    service.add(lease_id, "function", options={"steps": 100_000, "step_s": 0.05})


def test_a_trial_that_begins_takes_its_core_back_and_a_killed_borrower_leaves_what_it_had(
    service: FakeService, lent: Lent, run: Callable[..., None]
) -> None:
    add_long(service, "a")
    run("function", slots=4)
    lent.wait_for(a=4)
    add_long(service, "b")
    lent.wait_for(a=2, b=2)
    service.wait_for(service.reports)
    pid = lent.attempts["b"].runner.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    lent.wait_for(a=4)
    service.directives["a"] = "stop"
    service.wait_for(lambda: len(service.ends()) == 2)
    assert sorted(what for what, _ in service.ends()) == ["complete", "fail"]


def test_a_worker_with_one_slot_of_one_thread_tells_its_trials_nothing(
    service: FakeService, lent: Lent, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered: list[int] = []
    monkeypatch.setattr("workers.runner.Runner.lend", lambda self, n: ordered.append(n))
    add_long(service, "a")
    run("function", slots=1)
    lent.wait_for(a=1)
    service.directives["a"] = "stop"
    service.wait_for(service.ends)
    assert ordered == []


def test_a_forest_grows_on_the_idle_slots_cores_through_a_worker(
    service: FakeService, run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = Lent(monkeypatch)
    service.add("a", "random-forest", params={"n_estimators": 5000, "max_depth": 50})
    run("random-forest", slots=4)
    lent.wait_for(a=4)
    tasks = Path(f"/proc/{_pid(lent)}/task")
    # The main thread, the one that takes orders, and four that grow. No signal tells of a thread.
    for _ in range(int(LIMIT_S * 100)):
        if len(list(tasks.iterdir())) >= 6:
            break
        threading.Event().wait(0.01)
    else:
        raise AssertionError("no threads were started")
    service.directives["a"] = "abort"
    service.change(lambda: setattr(service, "open_work", False))


def _pid(lent: Lent) -> int:
    runner = lent.attempts["a"].runner
    for _ in range(int(LIMIT_S * 100)):
        if runner.pid is not None:
            return runner.pid
        threading.Event().wait(0.01)
    raise AssertionError("the trial's process was not started")
