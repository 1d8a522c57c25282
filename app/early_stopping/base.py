"""What an early-stopping rule is asked and what it answers: plain values.

A rule is a function of the book of the study's curves alone: the same book gives the same answers,
whichever process asks, and in whatever order the reports came that made the book.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..domain.fidelity import Directive
from .book import Book


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a new trial begins.

    Attributes:
        bracket: counts from 0 over all rounds of brackets; None where the rule has none.
        to_step: the step up to which it is trained first; None: to its end.
    """

    bracket: int | None = None
    to_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a trial that has just reported.

    Attributes:
        directive: `continue`, `stop` or `pause`.
        reason: one readable sentence with the figures that decided; for a `continue` that changes
            nothing it may be empty.
        to_step: with `continue`: the step up to which it now goes, None for its end. With `stop`
            and `pause` the trial goes no further.
    """

    directive: Directive
    reason: str = ""
    to_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """A trial that was told to pause and is now to go on up to `to_step` (None: to its end)."""

    number: int
    to_step: int | None
    reason: str


class Rule(Protocol):
    """An early-stopping rule with its options, made for one study definition."""

    def place(self, book: Book) -> Place:
        """Where the next new trial begins. Called when it is handed out for the first time, before
        it is in the book.
        """
        ...

    def judge(self, book: Book, number: int) -> Decision:
        """What the trial `number` does next; its last report is in the book already.

        Called after every report. May be asked again about the same state of the book and then
        answers the same.
        """
        ...

    def promotions(self, book: Book) -> tuple[Promotion, ...]:
        """Which trials that pause are to go on now; asked after every change of the book that may
        matter (a rung reached, a trial ended, no more trials to come). Each is in the book as
        promoted before the rule is asked again.
        """
        ...
