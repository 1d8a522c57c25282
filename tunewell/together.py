"""Trainings of several trials in one process: those that may be trained as one are advanced by one
call.

Each trial has a thread, which reports and obeys as in a process of its own, and a *seat*. Where the
trial is to be trained on, the thread asks its seat and waits; one thread (`Together.serve`) calls
the objective's code for all seats with the same key that wait then. So no two calls ever run at
once, and whatever a trial does between two of them holds up no other one for long.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

Many: TypeAlias = Callable[[Sequence[Any], Sequence[int]], Sequence[Any]]
"""Trains each of several trainings on to a step of its own; what each has come to."""

SETTLE_S = 0.25
"""How long the others wait for a trial that reports: a rule's answer takes some milliseconds."""
SETUP_S = 5.0
"""How long they wait for one that has just come to be set up."""


class Left(BaseException):
    """The trial of this thread is no more wanted; not to be caught."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a seat waits for.

    Attributes:
        key: of those that are trained by one call; of one that is trained alone, its own.
        prior_s: seconds that the step is thought to take alone, or None.
    """

    training: Any
    to_step: int
    key: Hashable
    many: Many
    prior_s: float | None = None


class Seat:
    """One trial's place; used by the trial's thread.

    Attributes:
        cpu_s: its share of the CPU seconds that training has taken.
        most: trials that were trained in one call with it, itself among them, at most.
    """

    def __init__(self, together: Together, until: float) -> None:
        self._together = together
        self.cpu_s = 0.0
        self.most = 0
        self.key: Hashable = None
        self.until = until  # the others wait for its next wish till then
        self.wish: Wish | None = None
        self.result: Any = None
        self.error: Exception | None = None
        self.is_answered = False
        self.has_left = False

    def advance(self, wish: Wish) -> Any:
        """Has a training advanced with those that may share the call; what it has come to.

        Raises:
            Left: the trial has left meanwhile.
            Exception: what the objective's code raised, where it was called for this one alone.
        """
        return self._together.advance(self, wish)

    def alone(self, call: Callable[[], Any]) -> Any:
        """Has something done that nothing else is trained beside; what it returns."""
        wish = Wish(
            training=call, to_step=0, key=object(), many=lambda calls, _: [each() for each in calls]
        )
        return self._together.advance(self, wish)

    @property
    def is_alone(self) -> bool:
        """Whether no other trial is in the process."""
        return self._together.n_seats <= 1

    def leave(self) -> None:
        """Takes the trial out; its thread gets `Left` if it waits. From any thread."""
        self._together.leave(self)


_SEAT: ContextVar[Seat | None] = ContextVar("seat", default=None)


def seat() -> Seat | None:
    """The seat of the trial of this thread; None in a process of one trial."""
    return _SEAT.get()


@contextmanager
def seated(given: Seat) -> Iterator[None]:
    """Has this thread be that of a seat's trial."""
    token = _SEAT.set(given)
    try:
        yield
    finally:
        _SEAT.reset(token)


class Together:
    """The seats of a process.

    Args:
        now: a clock that never goes back, in seconds.
        on_stacks: told how many calls it takes to train every seat for one step, when that changes.
    """

    def __init__(
        self,
        *,
        settle_s: float = SETTLE_S,
        setup_s: float = SETUP_S,
        now: Callable[[], float] = time.monotonic,
        on_stacks: Callable[[int], None] = lambda n_stacks: None,
    ) -> None:
        self._settle_s, self._setup_s, self._now = settle_s, setup_s, now
        self._on_stacks, self._n_stacks = on_stacks, 0
        self._changed = threading.Condition()
        self._seats: dict[Seat, None] = {}
        self._spent_s: dict[Hashable, float] = {}
        self._pace: dict[Hashable, float] = {}
        self._is_closed = False

    def expect(self) -> Seat:
        """A seat for a trial that comes; the others wait a little for it to be set up."""
        with self._changed:
            made = Seat(self, self._now() + self._setup_s)
            self._seats[made] = None
            return made

    @property
    def n_seats(self) -> int:
        """How many trials are here."""
        with self._changed:
            return len(self._seats)

    def leave(self, seat: Seat) -> None:
        """See `Seat.leave`."""
        with self._changed:
            seat.has_left = True
            self._seats.pop(seat, None)
            self._count()
            self._changed.notify_all()

    def close(self) -> None:
        """Has `serve` return."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _count(self) -> None:
        n_stacks = len({seat.key for seat in self._seats if seat.key is not None})
        if n_stacks != self._n_stacks:
            self._n_stacks = n_stacks
            self._on_stacks(n_stacks)

    def advance(self, seat: Seat, wish: Wish) -> Any:
        """See `Seat.advance`."""
        with self._changed:
            seat.wish, seat.key, seat.is_answered = wish, wish.key, False
            self._count()
            self._changed.notify_all()
            self._changed.wait_for(lambda: seat.is_answered or seat.has_left)
            if seat.has_left:
                raise Left
            result, seat.result = seat.result, None
            error, seat.error = seat.error, None
        if error is not None:
            raise error
        return result

    def serve(self) -> None:
        """Trains whatever waits, until `close`.

        Raises:
            Exception: what the objective's code raised in a call for several: nobody knows then
                in what state it has left each.
        """
        while (seats := self._next()) is not None:
            wishes = [seat.wish for seat in seats if seat.wish is not None]
            self._serve(seats, wishes)

    def _serve(self, seats: list[Seat], wishes: list[Wish]) -> None:
        error: Exception | None = None
        results: Sequence[Any] = [None] * len(seats)
        began, cpu_began = self._now(), time.process_time()
        try:
            results = wishes[0].many(
                [wish.training for wish in wishes], [wish.to_step for wish in wishes]
            )
        except Exception as raised:
            if len(seats) > 1:
                raise
            error = raised
        self._note(wishes, self._now() - began)
        cpu_s = (time.process_time() - cpu_began) / len(seats)
        with self._changed:
            for seat, result in zip(seats, results, strict=True):
                seat.cpu_s += cpu_s
                seat.most = max(seat.most, len(seats))
                seat.wish, seat.result, seat.error = None, result, error
                seat.is_answered = True
                seat.until = self._now() + self._settle_s
            self._changed.notify_all()

    def _note(self, wishes: Sequence[Wish], took_s: float) -> None:
        """Refines what is known of the cost of a key's calls."""
        key = wishes[0].key
        self._spent_s[key] = self._spent_s.get(key, 0.0) + took_s
        if prior_s := _prior_s(wishes):
            self._pace[key] = took_s / prior_s

    def _next(self) -> list[Seat] | None:
        """Waits for seats that are to be advanced by the next call; None at the end."""
        with self._changed:
            while not self._is_closed:
                due, wait_s = self._due()
                if due:
                    return min(due, key=self._served_by)
                self._changed.wait(None if math.isinf(wait_s) else wait_s)
            self._is_closed = False
        return None

    def _due(self) -> tuple[list[list[Seat]], float]:
        """The groups of seats that nothing is waited for, and how long to wait for the others."""
        now = self._now()
        late = {seat: seat.until - now for seat in self._seats if seat.wish is None}
        waited_for = {seat: left_s for seat, left_s in late.items() if left_s > 0}
        waiting: dict[Hashable, list[Seat]] = {}
        for seat in self._seats:
            if seat.wish is not None:
                waiting.setdefault(seat.wish.key, []).append(seat)
        keys = {seat.key for seat in waited_for}  # None: of one that is being set up
        due = [] if None in keys else [seats for key, seats in waiting.items() if key not in keys]
        return due, min(waited_for.values(), default=math.inf) if waiting else math.inf

    def _served_by(self, seats: list[Seat]) -> float:
        """How much its key will have had by the end of its next call: who has had least is next."""
        wishes = [seat.wish for seat in seats if seat.wish is not None]
        key = wishes[0].key
        expected_s = (_prior_s(wishes) or 0.0) * self._pace.get(key, 1.0)
        return self._spent_s.get(key, 0.0) + expected_s


def _prior_s(wishes: Sequence[Wish]) -> float | None:
    """What the steps are thought to take one after the other, where all say it."""
    priors = [wish.prior_s for wish in wishes if wish.prior_s is not None]
    return sum(priors) if len(priors) == len(wishes) else None
