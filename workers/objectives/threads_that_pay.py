"""How many threads the short steps of a training take: several only while they are faster."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

MOST = 4
"""Threads that a step is given at most."""
N_ALONE = 16
"""Steps on one thread that the others are compared with, at the head of each round."""
N_TOGETHER = 496
"""Steps on several threads until one alone is timed again."""
CREDIT_S = 0.005
"""How much longer than alone a round on several threads may take before it is broken off."""
GAIN = 0.95
"""What a round on several threads must take, at most, of what it would have taken alone."""
FIRST_WAIT, LONGEST_WAIT = 128, 8_192
"""Steps alone until several threads are tried again: after one round that did not pay, and at most.
"""


class ThreadsThatPay:
    """Chooses the threads of each step by what the steps before it took.

    The worker lends cores that its own slots leave idle. What else runs on the machine it does not
    know, and threads that wait for one another several times a step are ruined by it: with two busy
    programs on two cores a step of 0.3 ms took 65 ms on two threads. So a round begins with steps
    on one thread, and those on several go on only while all of them together have cost less than
    as many alone, but for `CREDIT_S`. After a round that did not pay, one thread computes for a
    while, four times as long after each further one.

    Args:
        clock: seconds, rising.

    Attributes:
        n_now: threads of the last step.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._wait = self._n_to_wait = 0
        self._began = 0.0
        self._is_timed, self.n_now = False, 1
        self._new_round()

    def _new_round(self) -> None:
        self._n_alone = self._n_together = 0
        self._alone_s = self._together_s = 0.0

    def begin(self, n_cores: int) -> int:
        """A step begins; how many threads it is to take.

        Args:
            n_cores: how many cores there are for it, at least 1.
        """
        self._is_timed = n_cores > 1
        self.n_now = 1 if self._n_alone < N_ALONE else n_cores
        if self._is_timed:
            self._began = self._clock()
        return self.n_now

    def end(self) -> None:
        """The step that was begun has ended."""
        if not self._is_timed:
            return
        if self._n_to_wait:
            self._n_to_wait -= 1
        elif self.n_now == 1:
            self._n_alone += 1
            self._alone_s += self._clock() - self._began
        else:
            self._n_together += 1
            self._together_s += self._clock() - self._began
            self._judge(self._alone_s / self._n_alone)

    def _judge(self, alone_s: float) -> None:
        if self._together_s > alone_s * self._n_together + CREDIT_S:
            self._stay_alone()
        elif self._n_together == N_TOGETHER:
            if self._together_s > GAIN * alone_s * N_TOGETHER:
                self._stay_alone()
            else:
                self._wait = 0
                self._new_round()

    def _stay_alone(self) -> None:
        self._wait = min(LONGEST_WAIT, 4 * self._wait or FIRST_WAIT)
        self._n_to_wait = self._wait
        self._new_round()


def is_same_on(n_threads: int, compute: Callable[[], torch.Tensor]) -> bool:
    """Whether something computed on one thread and on several comes to the same bits; leaves torch
    with one.
    """
    torch.set_num_threads(1)
    alone = compute()
    torch.set_num_threads(n_threads)
    together = compute()
    torch.set_num_threads(1)
    # As bytes: a thread that takes denormal numbers as zero finds one equal to zero.
    return torch.equal(*(each.contiguous().view(torch.uint8) for each in (alone, together)))
