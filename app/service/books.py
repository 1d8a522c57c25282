"""The books of curves that this process keeps, one a study that has an early-stopping rule.

A book is brought up to date inside the transaction that uses it, under the study's lock, by what
has changed since: at first all of the study, later a report or two. Taking in the same twice does
no harm, so a transaction may put its own changes in at once and read them again later. One that
fails drops the book: it may hold what never was. So does a book that is ahead of its study.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..domain.study import StudyDefinition
from ..domain.trial import Trial, TrialState
from ..early_stopping.base import Rule
from ..early_stopping.book import Book, TrialFacts
from ..early_stopping.registry import deciding_metric, make_rule, needs_curves, new_book
from ..store import curves
from ..store.curves import RuledTrial
from ..store.measurements import Point
from ..store.studies import LockedStudy
from ..store.transaction import Tx

_MEMORY = "books"

KEPT_BOOKS = 64
"""Studies whose books are kept; the one used longest ago goes first, and is read anew when it is
needed again.
"""


@dataclass(slots=True)
class Ruled:
    """A study's rule with its book.

    Attributes:
        metric: name of the metric that decides.
        reads_curves: whether the book takes in all reports, or values at rungs only.
        ids: trials' ids by number.
        seq: the change of the study up to which the book has read it; `last_id`: of measurements.
    """

    rule: Rule
    book: Book
    metric: str
    reads_curves: bool
    ids: dict[int, str] = field(default_factory=dict)
    seq: int = -1
    last_id: int = 0

    @classmethod
    def of(cls, definition: StudyDefinition) -> Ruled | None:
        """An empty one; None where nothing stops trials early."""
        rule = make_rule(definition)
        if rule is None:
            return None
        return cls(
            rule=rule,
            book=new_book(definition),
            metric=deciding_metric(definition).name,
            reads_curves=needs_curves(definition.early_stopping.name),
        )

    def refresh(self, study: LockedStudy) -> None:
        """Takes in what has changed since the last look, this transaction's changes included."""
        seq, conn = self.seq, study.tx.conn
        for one in curves.changed(conn, study.id, seq):
            self.put(one)
            if not self.reads_curves:
                self.book.observe(one.number, one.rungs)
        if self.reads_curves:
            for point in curves.points(conn, study.id, seq, self.last_id):
                self.last_id = point.id
                self.book.observe(point.number, [(point.step, self.value(point.values))])
        self.seq = study.next_seq - 1

    def put(self, trial: Trial | RuledTrial) -> None:
        """Takes in how a trial is now."""
        self.ids[trial.number] = trial.id
        self.book.put(
            TrialFacts(
                number=trial.number,
                state=trial.state,
                bracket=trial.bracket,
                to_step=trial.to_step,
                directive=trial.directive,
                final=trial.values.get(self.metric),
                step=trial.step,
            )
        )

    def observe(self, trial: Trial, points: Iterable[Point]) -> tuple[tuple[int, float], ...]:
        """Takes in a report; returns the rungs that it is the first to reach, with their values.

        A rung's value is that of the first report at or beyond it.
        """
        last = trial.rungs[-1][0] if trial.rungs else 0
        found: list[tuple[int, float]] = []
        for point in points:
            value = self.value(point.values)
            for rung in self.book.ladder.rungs:
                if last < rung <= point.step:
                    found.append((rung, value))
                    last = rung
            if self.reads_curves:
                self.book.observe(trial.number, [(point.step, value)])
        if not self.reads_curves:
            self.book.observe(trial.number, found)
        return tuple(found)

    def value(self, values: Mapping[str, float]) -> float:
        """The deciding metric's value in a report; NaN where it is missing or not finite."""
        value = values.get(self.metric, math.nan)
        return value if math.isfinite(value) else math.nan


class _Books:
    """Books by study, the one used last at the end; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, Ruled] = {}

    def take(self, study: LockedStudy) -> Ruled | None:
        with self._lock:
            kept = self._kept.pop(study.id, None)
            if kept is None or kept.seq > study.stored_seq:
                kept = Ruled.of(study.definition)
            if kept is not None:
                self._kept[study.id] = kept
                while len(self._kept) > KEPT_BOOKS:
                    self._kept.pop(next(iter(self._kept)))
            return kept

    def drop(self, study_id: str) -> None:
        with self._lock:
            self._kept.pop(study_id, None)


def ruled(study: LockedStudy) -> Ruled | None:
    """The study's rule with its book, up to date; None where nothing stops trials early."""
    if study.definition.early_stopping.name == "none":
        return None
    found: Ruled | None = study.tx.held.get(("book", study.id))
    if found is None:
        books = _books(study.tx)
        found = books.take(study)
        if found is None:
            return None
        study.tx.held["book", study.id] = found
        study.tx.when_failed(lambda: books.drop(study.id))
    found.refresh(study)
    found.book.may_start = _may_start(study)
    return found


def _books(tx: Tx) -> _Books:
    books: _Books = tx.memory.setdefault(_MEMORY, _Books())
    return books


def _may_start(study: LockedStudy) -> bool:
    """Whether trials may begin that have not yet."""
    return study.study.may_start_more or (
        study.study.counts.get(TrialState.PENDING, 0) > 0
        and curves.has_unbegun(study.tx.conn, study.id)
    )
