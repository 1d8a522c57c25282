"""Asynchronous successive halving.

Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2: of the
n trials that have a result at a rung the best floor(n / eta) may go on to the next. `promote` has
the others pause: as more results come, one may be among the best third later. `stop` ends them at
once, keeping at least one of those that reached the rung.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..domain.fidelity import Directive
from .base import Decision, Place, Promotion
from .book import Book
from .words import ranked, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Asha:
    """The promoting variant.

    Attributes:
        metric: name of the deciding metric, for reasons.
        rungs: steps; the last one is the full training.
        eta: one in so many goes on.
    """

    metric: str
    rungs: tuple[int, ...]
    eta: int

    def place(self, book: Book) -> Place:
        """At the lowest rung."""
        return Place(to_step=self.rungs[0])

    def judge(self, book: Book, number: int) -> Decision:
        """At its rung a trial goes on while it is among the best, and pauses otherwise."""
        facts = book.facts(number)
        rung = facts.to_step
        if rung is None or rung >= self.rungs[-1] or book.result(number, rung) is None:
            return Decision(directive=Directive.CONTINUE, to_step=rung)
        reason = _standing(book, self.metric, number, rung, self._share(book, rung))
        if self._goes_on(book, number, rung):
            return Decision(directive=Directive.CONTINUE, reason=reason, to_step=self._above(rung))
        return Decision(directive=Directive.PAUSE, reason=reason)

    def promotions(self, book: Book) -> tuple[Promotion, ...]:
        """Those that wait and are among the best of their rung by now, highest rung first."""
        return tuple(
            Promotion(
                number=number,
                to_step=self._above(rung),
                reason=_standing(book, self.metric, number, rung, self._share(book, rung)),
            )
            for rung in reversed(self.rungs[:-1])
            for loss, number in self._promotable(book, rung)
        )

    def _promotable(self, book: Book, rung: int) -> list[tuple[float, int]]:
        found = []
        for loss, number in book.waiting(None, rung):
            if not self._goes_on(book, number, rung):
                break
            found.append((loss, number))
        return found

    def _goes_on(self, book: Book, number: int, rung: int) -> bool:
        loss = book.result(number, rung)
        is_finite = loss is not None and math.isfinite(loss)
        return is_finite and book.rank(number, rung) < self._share(book, rung)

    def _share(self, book: Book, rung: int) -> int:
        return len(book.results(None, rung)) // self.eta

    def _above(self, rung: int) -> int:
        return self.rungs[self.rungs.index(rung) + 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppingAsha:
    """The stopping variant; attributes as for `Asha`."""

    metric: str
    rungs: tuple[int, ...]
    eta: int

    def place(self, book: Book) -> Place:
        """Up to its end, unless a rung stops it."""
        return Place()

    def judge(self, book: Book, number: int) -> Decision:
        """A trial has to be among the best at each rung that it has reached."""
        going_on = Decision(directive=Directive.CONTINUE)
        rung = next((r for r in reversed(self.rungs) if book.result(number, r) is not None), None)
        if rung is None or rung >= self.rungs[-1]:
            return going_on
        share = max(1, len(book.results(None, rung)) // self.eta)
        loss = book.result(number, rung)
        is_good = loss is not None and math.isfinite(loss) and book.rank(number, rung) < share
        if is_good or self._was_passed(book, number, rung):
            return going_on
        reason = _standing(book, self.metric, number, rung, share)
        return Decision(directive=Directive.STOP, reason=reason)

    def _was_passed(self, book: Book, number: int, rung: int) -> bool:
        """Whether the trial has reported beyond the rung: then it was judged there and kept."""
        steps = book.curve(number).steps
        at_rung = next((step for step in steps if step >= rung), None)
        return at_rung is not None and steps[-1] > at_rung

    def promotions(self, book: Book) -> tuple[Promotion, ...]:
        """Nothing pauses."""
        return ()


def _standing(book: Book, metric: str, number: int, rung: int, share: int) -> str:
    loss = book.result(number, rung)
    value = shown(math.inf if loss is None else loss, book.sign)
    n = len(book.results(None, rung))
    where = ranked(metric, value, rung, book.rank(number, rung), n)
    return f"{where}; the best {share} go on"
