"""The median rule and its generalisation to any percentile.

Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.2: a
trial is stopped at a step if its best value by then is worse than the median, over the completed
trials, of the mean of their values up to that step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..domain.fidelity import Directive
from .base import Decision, Place, Promotion
from .book import Book
from .words import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentileRule:
    """The rule.

    Attributes:
        metric: name of the deciding metric, for reasons.
        percentile: share, in percent, of the completed trials' means that a trial has to keep up
            with: 50 is the median, 25 asks for the best quarter.
        n_startup_trials: completed trials before any is stopped.
        min_resource: no stop before this step.
        max_resource: nor at this one, the last; None where it is not known.
    """

    metric: str
    percentile: float
    n_startup_trials: int
    min_resource: int
    max_resource: int | None

    def place(self, book: Book) -> Place:
        """Up to its end, unless it is stopped."""
        return Place()

    def judge(self, book: Book, number: int) -> Decision:
        """Stops a trial that has been behind all along."""
        going_on = Decision(directive=Directive.CONTINUE)
        curve = book.curve(number)
        step = curve.last_step
        is_last = self.max_resource is not None and step >= self.max_resource
        if step < self.min_resource or is_last or book.n_completed < self.n_startup_trials:
            return going_on
        means = book.means(step)
        if not means:
            return going_on
        best, bound = curve.best(), _percentile(means, self.percentile)
        if best <= bound:
            return going_on
        reason = (
            f"the best {self.metric} by step {step} is {shown(best, book.sign)}, behind "
            f"{shown(bound, book.sign)}, the {self._named()} of the mean up to there of "
            f"{len(means)} completed trials"
        )
        return Decision(directive=Directive.STOP, reason=reason)

    def promotions(self, book: Book) -> tuple[Promotion, ...]:
        """Nothing pauses."""
        return ()

    def _named(self) -> str:
        return "median" if self.percentile == 50 else f"{self.percentile:g}th percentile"


def _percentile(ranked: Sequence[float], percent: float) -> float:
    """The percentile of sorted losses, interpolated linearly between neighbours."""
    place = percent / 100 * (len(ranked) - 1)
    low = math.floor(place)
    a, b = ranked[low], ranked[min(low + 1, len(ranked) - 1)]
    if place == low or a == b:
        return a
    # Weighed each by itself: the difference of two losses may be larger than any float.
    return max(a, a * (1.0 - (place - low)) + b * (place - low))
