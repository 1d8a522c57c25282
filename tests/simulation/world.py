"""Simulated time and a simulated network; one seeded generator decides everything."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from ..clock import SetClock

Call = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad things are: probabilities, and means in seconds of simulated time.

    Attributes:
        lost: of a message, on either way.
        doubled: of a request that arrives twice.
        delayed: of a message that takes up to `longest_s` in place of a moment.
        crash_s: between crashes of one worker.
        freeze_s: between pauses of one worker, as by SIGSTOP.
        outage_s: between restarts of the service.
    """

    lost: float = 0.0
    doubled: float = 0.0
    delayed: float = 0.0
    longest_s: float = 150.0
    crash_s: float = 0.0
    freeze_s: float = 0.0
    outage_s: float = 0.0


CALM = Weather()


def stormy(random: Random) -> Weather:
    """Weather of this seed: each kind of trouble is now strong, now weak, now absent."""

    def mean_s(lowest: float) -> float:
        return random.choice([0.0, lowest, 3 * lowest])

    return Weather(
        lost=random.choice([0.0, 0.05, 0.3]),
        doubled=random.choice([0.0, 0.1, 0.4]),
        delayed=random.choice([0.0, 0.05, 0.2]),
        crash_s=mean_s(150.0),
        freeze_s=mean_s(150.0),
        outage_s=mean_s(120.0),
    )


class World:
    """The queue of what happens next.

    Attributes:
        clock: the database's clock, always at the present moment of the simulation.
        random: every choice is drawn from it.
        weather: how bad things are now.
        happened: how often what happened.
        trace: one line for each thing that happened, to compare two runs by.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.clock = SetClock()
        self.weather = stormy(self.random)
        self.happened: Counter[str] = Counter()
        self.trace: list[str] = []
        self._queue: list[tuple[float, int, Call]] = []
        self._n_queued = 0

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.clock.elapsed_s

    def later(self, delay_s: float, call: Call) -> None:
        """Has something happen after a delay."""
        self._n_queued += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._n_queued, call))

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Lets things happen up to a moment, or until it is over."""
        while self._queue and self._queue[0][0] <= until and not is_over():
            at, _, call = heapq.heappop(self._queue)
            self.clock.elapsed_s = max(self.now, at)
            call()

    def note(self, what: str, *details: object) -> None:
        """Counts what has happened and writes it down."""
        self.happened[what] += 1
        self.trace.append(" ".join([f"{self.now:.3f}", what, *map(str, details)]))

    def send(
        self, request: Callable[[], Any], answer: Callable[[Any], None], *, is_copied: bool = True
    ) -> None:
        """Sends a request over the network, and its answer back: each may be lost, late or double.

        Args:
            request: runs at the service; None when the service is down.
            answer: told what came back; never called when nothing does.
            is_copied: whether the network may double it.
        """
        n_copies = 1
        if self._happens(self.weather.lost):
            n_copies = 0
            self.note("request lost")
        elif is_copied and self._happens(self.weather.doubled):
            n_copies = 2
            self.note("request doubled")
        for _ in range(n_copies):
            self.later(self._travel_s(), lambda: self._arrive(request, answer))

    def _arrive(self, request: Callable[[], Any], answer: Callable[[Any], None]) -> None:
        found = request()
        if found is None:
            self.note("request met no service")
        elif self._happens(self.weather.lost):
            self.note("answer lost")
        else:
            self.later(self._travel_s(), lambda: answer(found))

    def _travel_s(self) -> float:
        if self._happens(self.weather.delayed):
            self.note("message delayed")
            return self.random.uniform(0.0, self.weather.longest_s)
        return self.random.uniform(0.001, 0.2)

    def _happens(self, probability: float) -> bool:
        return self.random.random() < probability

    def often(self, what: str, mean_s: Callable[[Weather], float], call: Call) -> None:
        """Has trouble of a kind happen again and again, as often as the weather says."""

        def tick() -> None:
            mean = mean_s(self.weather)
            if mean > 0.0:
                self.note(what)
                call()
            self.later(self.random.expovariate(1.0 / (mean or 100.0)), tick)

        self.later(self.random.expovariate(1.0 / (mean_s(self.weather) or 100.0)), tick)
