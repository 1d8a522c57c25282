"""Several threads are taken while they are faster, and left when they are not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from workers.objectives.threads_that_pay import (
    CREDIT_S,
    FIRST_WAIT,
    LONGEST_WAIT,
    N_ALONE,
    N_TOGETHER,
    ThreadsThatPay,
)

ALONE_S = 0.001


class Steps:
    """Steps on a clock that goes by what each way takes."""

    def __init__(self, together_s: float, alone_s: float = ALONE_S) -> None:
        self.now, self.alone_s, self.together_s = 0.0, alone_s, together_s
        self.threads = ThreadsThatPay(lambda: self.now)

    def take(self, n: int, n_cores: Callable[[int], int] = lambda k: 2) -> list[int]:
        """How many threads each of so many steps took."""
        taken = []
        for k in range(n):
            taken.append(self.threads.begin(n_cores(k)))
            self.now += self.alone_s if taken[-1] == 1 else self.together_s
            self.threads.end()
        return taken

    def runs(self, n: int) -> list[tuple[int, int]]:
        """The same as (threads, how often in a row)."""
        return [(n_threads, len(list(group))) for n_threads, group in groupby(self.take(n))]


def test_with_one_core_a_step_takes_one_thread_and_no_time_is_read() -> None:
    def never() -> float:
        raise AssertionError("the clock was read")

    threads = ThreadsThatPay(never)
    for _ in range(3 * N_ALONE):
        assert threads.begin(1) == 1
        threads.end()


def test_several_threads_that_are_faster_stay_and_are_compared_again_and_again() -> None:
    rounds = Steps(0.6 * ALONE_S).runs(3 * (N_ALONE + N_TOGETHER))
    assert rounds == [(1, N_ALONE), (2, N_TOGETHER)] * 3


def test_threads_that_ruin_a_step_are_left_after_one_and_tried_ever_more_seldom() -> None:
    runs = Steps(0.065).runs(12_000)
    assert {length for n_threads, length in runs if n_threads == 2} == {1}
    alone = [length for n_threads, length in runs if n_threads == 1]
    # A round's steps alone come after those that are waited for.
    assert alone[:4] == [N_ALONE, *(N_ALONE + FIRST_WAIT * 4**k for k in range(3))]
    assert alone[4] == N_ALONE + LONGEST_WAIT


def test_threads_that_are_a_little_slower_are_left_before_they_have_cost_much() -> None:
    steps = Steps(1.2 * ALONE_S)
    n_threads, length = steps.runs(1_000)[1]
    assert (n_threads, length) == (2, round(CREDIT_S / (0.2 * ALONE_S)) + 1)


def test_a_gain_too_small_to_take_a_core_for_is_none() -> None:
    runs = Steps(0.97 * ALONE_S).runs(N_ALONE + N_TOGETHER + 10)
    assert runs == [(1, N_ALONE), (2, N_TOGETHER), (1, 10)]


def test_what_was_gained_is_not_lost_again_when_a_program_comes() -> None:
    steps = Steps(0.6 * ALONE_S)
    steps.take(N_ALONE + 100)
    steps.together_s = 0.065
    n_threads = steps.take(10)
    assert n_threads == [2] + [1] * 9
    assert steps.now < (N_ALONE + 110) * ALONE_S + CREDIT_S + steps.together_s


def test_a_round_that_pays_makes_the_next_wait_short_again() -> None:
    steps = Steps(0.065)
    steps.take(2 * N_ALONE + 2 + FIRST_WAIT)
    steps.together_s = 0.6 * ALONE_S
    steps.take(4 * FIRST_WAIT + N_ALONE + N_TOGETHER)
    steps.together_s = 0.065
    assert steps.runs(N_ALONE + 1 + FIRST_WAIT + N_ALONE + 1) == [
        (1, N_ALONE),
        (2, 1),
        (1, FIRST_WAIT + N_ALONE),
        (2, 1),
    ]


def test_a_core_that_is_taken_back_is_left_with_the_next_step() -> None:
    steps = Steps(0.6 * ALONE_S)
    steps.take(N_ALONE)
    assert steps.take(9, lambda k: 1 if 3 <= k < 6 else 2) == [2, 2, 2, 1, 1, 1, 2, 2, 2]
