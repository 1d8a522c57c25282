"""The curves of a study's trials as a rule sees them, kept up to date as they grow."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..domain.fidelity import Directive
from ..domain.study import Direction
from ..domain.trial import TrialState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFacts:
    """What a rule may know of a trial beside its curve.

    Attributes:
        bracket, to_step, directive: as the trial has them.
        final: value of the deciding metric with which it ended, or None.
        step: the step of `final`, or None.
    """

    number: int
    state: TrialState
    bracket: int | None = None
    to_step: int | None = None
    directive: Directive | None = None
    final: float | None = None
    step: int | None = None


@dataclass(slots=True)
class Curve:
    """The losses of one trial by step."""

    losses: dict[int, float] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The largest step reported, 0 without one."""
        return max(self.losses, default=0)


class Book:
    """All curves of one study. Values are kept as losses: negated where they are maximised.

    Attributes:
        may_start: whether the study will start further new trials: false once its budget is used
            up or it takes no more. Brackets that can no longer fill go on with what they have.
        rungs: the steps at which losses are noted, increasing.
    """

    def __init__(self, direction: Direction, rungs: tuple[int, ...] = ()) -> None:
        self.may_start = True
        self.rungs = rungs
        self._sign = 1.0 if direction is Direction.MINIMIZE else -1.0
        self._facts: dict[int, TrialFacts] = {}
        self._curves: dict[int, Curve] = {}
        self._noted: dict[int, dict[int, tuple[int, float]]] = {rung: {} for rung in rungs}
        self._numbers: dict[int, list[int]] = {rung: [] for rung in rungs}

    def put(self, facts: TrialFacts) -> None:
        """Adds a trial, or takes in what has changed of it. Again with the same facts changes
        nothing.
        """
        self._facts[facts.number] = facts

    def observe(self, number: int, points: Iterable[tuple[int, float]]) -> None:
        """Takes in (step, value) reports of a trial. The first value of a step counts; the same
        points again change nothing. NaN is kept: it is worse than any value.
        """
        curve = self._curves.setdefault(number, Curve())
        for step, value in points:
            loss = self._sign * value
            curve.losses.setdefault(step, loss)
            for rung in self.rungs:
                if rung <= step and number not in self._noted[rung]:
                    self._noted[rung][number] = (step, loss)
                    insort(self._numbers[rung], number)

    def facts(self, number: int) -> TrialFacts:
        """What is known of a trial; KeyError for none that was put in."""
        return self._facts[number]

    def noted(self, rung: int) -> Mapping[int, tuple[int, float]]:
        """By number: the step and the loss with which a rung was reached."""
        return self._noted[rung]

    def newest(self, rung: int, count: int) -> list[int]:
        """The largest numbers, at most `count` of them, among trials at a rung; increasing."""
        return self._numbers[rung][-count:]

    def fresh_rung(self, number: int) -> int | None:
        """The highest rung that the trial reached with its last report, or None."""
        curve = self._curves.get(number)
        if curve is None:
            return None
        last = curve.last
        for rung in reversed(self.rungs):
            note = self._noted[rung].get(number)
            if note is not None:
                return rung if note[0] == last else None
        return None
