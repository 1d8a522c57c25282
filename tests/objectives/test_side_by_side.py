"""Works done in steps on several threads: how many at once; when a core is taken, or given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from workers.objectives.side_by_side import finish

LIMIT_S = 30.0
HERE = threading.get_ident


class Steps:
    """Notes who does which step of which work, and how many are done at once."""

    def __init__(self) -> None:
        self.done: list[tuple[int, int, int]] = []
        """Work, step, thread."""
        self.most = 0
        self._now: set[int] = set()
        self._lock = threading.Lock()

    def work(self, number: int, n_steps: int, do: Callable[[int], object]) -> Iterator[None]:
        """A work; `do` is told each of its steps."""
        for step in range(n_steps):
            with self._lock:
                assert number not in self._now, "two threads at one work"
                self._now.add(number)
                self.most = max(self.most, len(self._now))
            do(step)
            with self._lock:
                self._now.remove(number)
                self.done.append((number, step, HERE()))
            yield

    def of(self, number: int) -> list[int]:
        """The steps of a work in the order in which they were done."""
        return [step for work, step, _ in self.done if work == number]


def test_with_one_core_no_thread_starts_and_one_work_follows_the_other() -> None:
    steps, n_before = Steps(), threading.active_count()
    n_seen: set[int] = set()
    works = [steps.work(k, 3, lambda _: n_seen.add(threading.active_count())) for k in (0, 1)]
    finish(works, lambda: 1)
    assert steps.done == [(k, step, HERE()) for k in (0, 1) for step in range(3)]
    assert n_seen == {n_before}


def test_as_many_steps_are_done_at_once_as_there_are_cores() -> None:
    steps, meeting = Steps(), threading.Barrier(3)
    works = [steps.work(k, 4, lambda _: meeting.wait(LIMIT_S)) for k in range(3)]
    finish(works, lambda: 3)  # a step that was done alone would wait in vain
    assert [steps.of(k) for k in range(3)] == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("n_cores", [2, 3, 8])
def test_never_more_and_every_step_once(n_cores: int) -> None:
    steps = Steps()
    pause = threading.Event()
    finish([steps.work(k, 20, lambda _: pause.wait(0.0005)) for k in range(5)], lambda: n_cores)
    assert [steps.of(k) for k in range(5)] == [list(range(20))] * 5
    assert steps.most <= min(n_cores, 5)


def test_who_is_furthest_behind_goes_first_so_that_none_is_left_over_at_the_end() -> None:
    steps, meeting = Steps(), threading.Barrier(2)
    # 3 works of 4 steps on 2 cores: 6 times two at once, where whole works would leave one alone.
    finish([steps.work(k, 4, lambda _: meeting.wait(LIMIT_S)) for k in range(3)], lambda: 2)
    assert [steps.of(k) for k in range(3)] == [[0, 1, 2, 3]] * 3


def test_a_core_that_is_asked_back_is_given_up_after_the_step_at_hand() -> None:
    steps, cores, meeting = Steps(), [3], threading.Barrier(3)
    crowd: list[int] = []

    def do(step: int) -> None:
        if cores[0] == 3:
            meeting.wait(LIMIT_S)
            cores[0] = 1  # while all three are at a step
        else:
            crowd.append(HERE())

    finish([steps.work(k, 5, do) for k in range(3)], lambda: cores[0])
    assert len(crowd) == 12
    assert set(crowd) == {HERE()}


def test_a_core_that_is_lent_in_the_middle_is_taken() -> None:
    steps, cores, meeting = Steps(), [1], threading.Barrier(2)

    def do(step: int) -> None:
        if cores[0] == 2:
            meeting.wait(LIMIT_S)
        elif step == 2:
            cores[0] = 2

    works = [steps.work(0, 9, do), steps.work(1, 6, do)]
    finish(works, lambda: cores[0])
    assert (steps.of(0), steps.of(1)) == (list(range(9)), list(range(6)))
    assert steps.most == 2


@pytest.mark.parametrize("n_cores", [1, 2])
def test_what_a_work_raises_is_raised(n_cores: int) -> None:
    def do(step: int) -> None:
        if step == 1:
            raise MemoryError("too large")

    with pytest.raises(MemoryError, match="too large"):
        finish([Steps().work(k, 3, do) for k in range(2)], lambda: n_cores)


def test_no_work_and_works_without_steps_are_done_at_once() -> None:
    finish([], lambda: 2)
    finish([iter(()), iter(())], lambda: 2)
