"""Hyperband: brackets of successive halving.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18, 2018,
algorithm 1. The brackets s = s_max .. 0 take their trials in turn, and begin anew after the last. A
rung is left when every trial on its way to it has arrived or ended: then its best go on, all at
once, and nobody after. While a bracket waits for that, new trials begin in the next one, so that no
worker idles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..domain.fidelity import BracketRung, Directive
from .base import Decision, Place, Promotion
from .book import Book
from .words import ranked, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperband:
    """The rule.

    Attributes:
        metric: name of the deciding metric, for reasons.
        table: the brackets of a round, in turn.
        eta: one in so many goes on.
    """

    metric: str
    table: tuple[tuple[BracketRung, ...], ...]
    eta: int

    def place(self, book: Book) -> Place:
        """In the first bracket that is not full."""
        bracket = book.last_bracket
        if book.bracket(bracket).n_placed >= self._rows(bracket)[0].n:
            bracket += 1
        return Place(bracket=bracket, to_step=self._rows(bracket)[0].step)

    def judge(self, book: Book, number: int) -> Decision:
        """At its rung a trial pauses; the last one to come sees at once whether it goes on."""
        facts = book.facts(number)
        rung, bracket = facts.to_step, facts.bracket
        if rung is None or bracket is None or book.result(number, rung) is None:
            return Decision(directive=Directive.CONTINUE, to_step=rung)
        rows = self._rows(bracket)
        level = _level(rows, rung)
        if level is None or level + 1 == len(rows):
            return Decision(directive=Directive.CONTINUE, to_step=rung)
        if number in self._chosen(book, bracket, level):
            reason = self._standing(book, bracket, number, level)
            return Decision(
                directive=Directive.CONTINUE, reason=reason, to_step=rows[level + 1].step
            )
        return Decision(
            directive=Directive.PAUSE, reason=self._standing(book, bracket, number, level)
        )

    def promotions(self, book: Book) -> tuple[Promotion, ...]:
        """Of each rung that is complete, those that are to go on and have not."""
        found: list[Promotion] = []
        for bracket in book.open_brackets:
            rows = self._rows(bracket)
            for level in range(len(rows) - 2, -1, -1):
                found += [
                    Promotion(
                        number=number,
                        to_step=rows[level + 1].step,
                        reason=self._standing(book, bracket, number, level),
                    )
                    for number in self._chosen(book, bracket, level)
                    if book.facts(number).waits and book.facts(number).to_step == rows[level].step
                ]
        return tuple(found)

    def _rows(self, bracket: int) -> tuple[BracketRung, ...]:
        return self.table[bracket % len(self.table)]

    def _chosen(self, book: Book, bracket: int, level: int) -> list[int]:
        """Numbers of the trials of a complete rung that go on; empty while it is not complete.

        Those that have gone on already count, whatever became of them; one that ended at the rung
        makes room for the next best.
        """
        rows = self._rows(bracket)
        step = rows[level].step
        if not book.waiting(bracket, step) and not _has_news(book, bracket, step):
            return []
        if not self._is_complete(book, bracket, level):
            return []
        gone = book.bracket(bracket).n_members.get(rows[level + 1].step, 0)
        return self._best(book, bracket, step, self._kept(book, bracket, level) - gone)

    def _best(self, book: Book, bracket: int, step: int, keep: int) -> list[int]:
        """The best `keep` of those that are at the rung still."""
        found: list[int] = []
        for loss, number in book.results(bracket, step):
            if len(found) >= keep or not math.isfinite(loss):
                break
            facts = book.facts(number)
            if facts.is_open and facts.to_step == step:
                found.append(number)
        return found

    def _is_complete(self, book: Book, bracket: int, level: int) -> bool:
        rows, state = self._rows(bracket), book.bracket(bracket)
        step = rows[level].step
        n_members = state.n_members.get(step, 0)
        if n_members == 0 or state.n_over.get(step, 0) < n_members:
            return False
        return level > 0 or state.n_placed >= rows[0].n or not book.may_start

    def _kept(self, book: Book, bracket: int, level: int) -> int:
        """How many go on from a rung: floor(n / eta^i) of the n that the bracket has or will have.

        At least one where trials are few, so that a bracket cut short ends with a full training.
        """
        rows, state = self._rows(bracket), book.bracket(bracket)
        planned = rows[level + 1].n
        if state.n_placed >= rows[0].n:
            return planned
        return max(1, planned * state.n_placed // rows[0].n)

    def _standing(self, book: Book, bracket: int, number: int, level: int) -> str:
        rows = self._rows(bracket)
        step = rows[level].step
        loss = book.result(number, step)
        value = shown(math.inf if loss is None else loss, book.sign)
        n = len(book.results(bracket, step))
        where = ranked(self.metric, value, step, book.rank(number, step), n)
        keep = self._kept(book, bracket, level)
        return f"{where} of bracket {bracket + 1}; when all are in, the best {keep} go on"


def _has_news(book: Book, bracket: int, step: int) -> bool:
    """Whether the rung has any result at all."""
    return bool(book.results(bracket, step))


def _level(rows: tuple[BracketRung, ...], step: int) -> int | None:
    return next((k for k, row in enumerate(rows) if row.step == step), None)
