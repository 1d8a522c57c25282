"""Stops a trial on a plateau of its own, whatever the others do."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.fidelity import Directive
from .base import Decision, Place, Promotion
from .book import Book
from .words import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The rule.

    Attributes:
        metric: name of the deciding metric, for reasons.
        steps: how many steps a trial may take without a gain, >= 1.
        min_delta: a gain is more than this, in the metric's units, >= 0.
        min_resource: no stop before this step.
        max_resource: nor at this one, the last; None where it is not known.
    """

    metric: str
    steps: int
    min_delta: float
    min_resource: int
    max_resource: int | None

    def place(self, book: Book) -> Place:
        """Up to its end, unless it is stopped."""
        return Place()

    def judge(self, book: Book, number: int) -> Decision:
        """Compares the best of the last `steps` steps with the best before them."""
        curve = book.curve(number)
        step = curve.last_step
        since = step - self.steps
        is_last = self.max_resource is not None and step >= self.max_resource
        has_before = bool(curve.steps) and curve.steps[0] <= since
        if step < self.min_resource or is_last or not has_before:
            return Decision(directive=Directive.CONTINUE)
        before, recent = curve.best(up_to=since), curve.best_after(since)
        if recent < before - self.min_delta:
            return Decision(directive=Directive.CONTINUE)
        reason = (
            f"in the last {self.steps} steps {self.metric} came to {shown(recent, book.sign)} at "
            f"best, no gain of more than {self.min_delta:g} over {shown(before, book.sign)} before"
        )
        return Decision(directive=Directive.STOP, reason=reason)

    def promotions(self, book: Book) -> tuple[Promotion, ...]:
        """Nothing pauses."""
        return ()
