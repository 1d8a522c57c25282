"""The curves of a study's trials as a rule sees them, kept up to date as they grow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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


class Book:
    """All curves of one study. Values are kept as losses: negated where they are maximised.

    Attributes:
        may_start: whether the study will start further new trials: false once its budget is used
            up or it takes no more. Brackets that can no longer fill go on with what they have.
    """

    def __init__(self, direction: Direction) -> None:
        self.may_start = True
        self._sign = 1.0 if direction is Direction.MINIMIZE else -1.0

    def put(self, facts: TrialFacts) -> None:
        """Adds a trial, or takes in what has changed of it. Again with the same facts changes
        nothing.
        """
        raise NotImplementedError

    def observe(self, number: int, points: Iterable[tuple[int, float]]) -> None:
        """Takes in (step, value) reports of a trial. The first value of a step counts; the same
        points again change nothing. NaN is kept: it is worse than any value.
        """
        raise NotImplementedError
