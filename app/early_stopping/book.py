"""The curves of a study's trials as a rule sees them, kept up to date as they grow.

Every list that a decision looks at is kept sorted, so that a decision costs the same with ten
finished trials and with ten thousand. Taking in the same twice changes nothing: whoever keeps a
book may read a little more than what is new.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..domain.fidelity import Directive, Ladder
from ..domain.study import Direction
from ..domain.trial import OPEN_TRIAL_STATES, TrialState

Ranked = tuple[float, int]
"""A loss and the trial's number, which settles ties. A value that is missing or not finite is
infinite: worse than any other.
"""

Place = tuple[int | None, int]
"""A rung of a bracket: (bracket or None, step)."""

_DEAD = frozenset({TrialState.FAILED, TrialState.CANCELLED, TrialState.INFEASIBLE})
"""Ends without a value; such a trial counts as the worst at the rung that it was on its way to."""


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

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN_TRIAL_STATES

    @property
    def waits(self) -> bool:
        """Whether it pauses, or has been told to, and is not to go on yet."""
        if self.state is TrialState.PAUSED:
            return True
        return self.state is TrialState.RUNNING and self.directive is Directive.PAUSE


@dataclass(slots=True)
class Curve:
    """A trial's reports by step: steps, losses, and the mean of the finite losses up to each."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    _sums: list[tuple[float, int]] = field(default_factory=list)

    def add(self, step: int, loss: float) -> bool:
        """Takes in a report; whether it is new. The first one of a step counts."""
        at = bisect_left(self.steps, step)
        if at < len(self.steps) and self.steps[at] == step:
            return False
        self.steps.insert(at, step)
        self.losses.insert(at, loss)
        self._average_from(at)
        return True

    def _average_from(self, at: int) -> None:
        total, n = self._sums[at - 1] if at else (0.0, 0)
        del self.means[at:], self._sums[at:]
        for loss in self.losses[at:]:
            if math.isfinite(loss):
                total, n = total + loss, n + 1
            self._sums.append((total, n))
            self.means.append(total / n if n else math.inf)

    @property
    def last_step(self) -> int:
        """The highest step reported, 0 before the first."""
        return self.steps[-1] if self.steps else 0

    def mean_at(self, step: int) -> float | None:
        """Mean loss of the reports up to a step; None where the curve does not reach it."""
        if self.last_step < step:
            return None
        at = bisect_left(self.steps, step + 1) - 1
        return self.means[at] if at >= 0 else None

    def best(self, after: int = 0, up_to: int | None = None) -> float:
        """The lowest loss of the reports above `after` and up to `up_to`; infinite without one."""
        first = bisect_left(self.steps, after + 1)
        last = len(self.steps) if up_to is None else bisect_left(self.steps, up_to + 1)
        return min(self.losses[first:last], default=math.inf)


@dataclass(slots=True)
class _Entry:
    """A trial in the book.

    Attributes:
        results: its loss at each rung whose result is in, by step.
        dead_at: the rung at which it counts as the worst, having ended without a value.
        waits_at: the rung at which it waits.
        averaged: steps at which its running mean is among those of the completed trials.
    """

    facts: TrialFacts
    curve: Curve = field(default_factory=Curve)
    results: dict[int, float] = field(default_factory=dict)
    dead_at: int | None = None
    waits_at: int | None = None
    averaged: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class BracketState:
    """How a bracket stands.

    Attributes:
        n_placed: trials that began in it.
        n_members: how many were sent on their way to each rung, by its step.
        n_over: how many of these have a result there, or ended without one.
    """

    n_placed: int = 0
    n_members: dict[int, int] = field(default_factory=dict)
    n_over: dict[int, int] = field(default_factory=dict)


class Book:
    """All curves of one study. Values are kept as losses: negated where they are maximised.

    Attributes:
        ladder: the study's rungs.
        may_start: whether the study will start further new trials: false once its budget is used
            up or it takes no more. Brackets that can no longer fill go on with what they have.
    """

    def __init__(self, direction: Direction, ladder: Ladder) -> None:
        self.ladder = ladder
        self.may_start = True
        self._sign = 1.0 if direction is Direction.MINIMIZE else -1.0
        self._entries: dict[int, _Entry] = {}
        self._results: dict[Place, list[Ranked]] = {}
        self._waiting: dict[Place, list[Ranked]] = {}
        self._noted: dict[int, dict[int, tuple[int, float]]] = {}
        self._means: dict[int, list[Ranked]] = {}
        self._completed: dict[int, None] = {}
        self._brackets: dict[int, BracketState] = {}
        self._open: set[int] = set()
        self._last_bracket = 0
        self._over: set[tuple[int, int]] = set()  # (number, step): settled at that rung

    # --- what is taken in ---

    def put(self, facts: TrialFacts) -> None:
        """Adds a trial, or takes in what has changed of it. Again with the same facts changes
        nothing.
        """
        entry = self._entries.get(facts.number)
        if entry is None:
            entry = self._entries[facts.number] = _Entry(facts)
            self._place(entry, None)
        elif entry.facts == facts:
            return
        else:
            before, entry.facts = entry.facts, facts
            self._place(entry, before)
        self._note_death(entry)
        self._note_waiting(entry)
        self._settle(entry)
        self._note_completion(entry)

    def observe(self, number: int, points: Iterable[tuple[int, float]]) -> None:
        """Takes in (step, value) reports of a trial that is in the book. The first value of a step
        counts; the same points again change nothing. NaN is kept: it is worse than any value.
        """
        entry = self._entries[number]
        for step, value in points:
            loss = self._sign * value
            entry.curve.add(step, loss if math.isfinite(loss) else math.inf)
            for rung in self.ladder.rungs:
                if rung > step:
                    break
                if rung not in entry.results:
                    noted = loss if math.isfinite(loss) else math.inf
                    self._noted.setdefault(rung, {})[number] = (step, noted)
                    self._note_result(entry, rung, noted)
        self._note_waiting(entry)
        self._settle(entry)
        self._note_completion(entry)

    def _place(self, entry: _Entry, before: TrialFacts | None) -> None:
        """Counts a trial into its bracket and on its way to its rung."""
        facts = entry.facts
        if facts.bracket is None:
            return
        state = self._brackets.setdefault(facts.bracket, BracketState())
        if before is None or before.bracket != facts.bracket:
            state.n_placed += 1
            self._last_bracket = max(self._last_bracket, facts.bracket)
            was = 0
        else:
            was = before.to_step or 0
        for rung in self.ladder.rungs:
            if was < rung <= (facts.to_step or 0):
                state.n_members[rung] = state.n_members.get(rung, 0) + 1
        self._note_open(facts.bracket)

    def _note_open(self, bracket: int) -> None:
        """A bracket is done with once all that were sent on to the end have come there."""
        state, end = self._brackets[bracket], self.ladder.rungs[-1]
        n_sent = state.n_members.get(end, 0)
        if n_sent and state.n_over.get(end, 0) == n_sent:
            self._open.discard(bracket)
        else:
            self._open.add(bracket)

    def _note_result(self, entry: _Entry, rung: int, loss: float) -> None:
        number, bracket = entry.facts.number, entry.facts.bracket
        entry.results[rung] = loss
        if entry.dead_at == rung:
            self._undo_death(entry)
        insort(self._results.setdefault((bracket, rung), []), (loss, number))

    def _note_death(self, entry: _Entry) -> None:
        """One that ended without a value is the worst at the rung that it was on its way to."""
        facts = entry.facts
        is_dead = facts.state in _DEAD
        if entry.dead_at is not None and not is_dead:
            self._undo_death(entry)
        if not is_dead or entry.dead_at is not None:
            return
        aim = facts.to_step if facts.to_step is not None else self.ladder.max_resource
        rung = next((r for r in self.ladder.rungs if r == aim), None)
        if rung is not None and rung not in entry.results:
            entry.dead_at = rung
            insort(self._results.setdefault((facts.bracket, rung), []), (math.inf, facts.number))

    def _undo_death(self, entry: _Entry) -> None:
        place = (entry.facts.bracket, entry.dead_at or 0)
        _remove(self._results[place], (math.inf, entry.facts.number))
        entry.dead_at = None

    def _note_waiting(self, entry: _Entry) -> None:
        facts = entry.facts
        rung = facts.to_step if facts.waits and facts.to_step in entry.results else None
        if rung == entry.waits_at:
            return
        if entry.waits_at is not None:
            loss = entry.results[entry.waits_at]
            _remove(self._waiting[facts.bracket, entry.waits_at], (loss, facts.number))
        entry.waits_at = rung
        if rung is not None:
            loss = entry.results[rung]
            insort(self._waiting.setdefault((facts.bracket, rung), []), (loss, facts.number))

    def _settle(self, entry: _Entry) -> None:
        """Counts the rungs of its bracket that a trial has behind it, or will never reach."""
        facts = entry.facts
        if facts.bracket is None:
            return
        n_over = self._brackets[facts.bracket].n_over
        for rung in self.ladder.rungs:
            if rung > (facts.to_step or 0):
                break
            is_over = rung in entry.results or not facts.is_open
            key = (facts.number, rung)
            if is_over and key not in self._over:
                self._over.add(key)
                n_over[rung] = n_over.get(rung, 0) + 1
            elif not is_over and key in self._over:  # it is tried again
                self._over.discard(key)
                n_over[rung] -= 1
        self._note_open(facts.bracket)

    def _note_completion(self, entry: _Entry) -> None:
        if entry.facts.state is not TrialState.COMPLETED:
            return
        self._completed[entry.facts.number] = None
        for step in self._means:
            self._average(entry, step)

    def _average(self, entry: _Entry, step: int) -> None:
        mean = entry.curve.mean_at(step)
        known = entry.averaged.get(step)
        if mean is None or mean == known:
            return
        means, number = self._means[step], entry.facts.number
        if known is not None:
            _remove(means, (known, number))
        entry.averaged[step] = mean
        insort(means, (mean, number))

    # --- what rules look at ---

    @property
    def n_completed(self) -> int:
        """How many trials were completed in full."""
        return len(self._completed)

    @property
    def completed(self) -> Sequence[int]:
        """Numbers of the completed trials, in the order in which they were."""
        return tuple(self._completed)

    @property
    def sign(self) -> float:
        """Factor between values and losses."""
        return self._sign

    def __contains__(self, number: int) -> bool:
        return number in self._entries

    def facts(self, number: int) -> TrialFacts:
        """What is known of a trial."""
        return self._entries[number].facts

    def curve(self, number: int) -> Curve:
        """A trial's reports."""
        return self._entries[number].curve

    def result(self, number: int, rung: int) -> float | None:
        """A trial's loss at a rung, or None before it is in."""
        return self._entries[number].results.get(rung)

    def results(self, bracket: int | None, rung: int) -> Sequence[Ranked]:
        """Losses at a rung of a bracket, best first, dead trials among them as infinite."""
        return self._results.get((bracket, rung), ())

    def rank(self, number: int, rung: int) -> int:
        """A trial's place among the results at a rung of its bracket, from 0."""
        entry = self._entries[number]
        found = self._results[entry.facts.bracket, rung]
        return bisect_left(found, (entry.results[rung], number))

    def noted(self, rung: int) -> dict[int, tuple[int, float]]:
        """By number, in the order in which they came: step and loss of the report that reached a
        rung, whatever the bracket.
        """
        return self._noted.get(rung, {})

    def fresh_rung(self, number: int) -> int | None:
        """The highest rung that a trial reached with its last report, or None."""
        results = self._entries[number].results
        rung = max(results, default=None)
        if rung is None or self._noted[rung][number][0] != self.curve(number).last_step:
            return None
        return rung

    def waiting(self, bracket: int | None, rung: int) -> Sequence[Ranked]:
        """Those that wait at a rung of a bracket, best first."""
        return self._waiting.get((bracket, rung), ())

    def means(self, step: int) -> Sequence[Ranked]:
        """Running means of the completed trials at a step, lowest first; of those that have one."""
        if step not in self._means:
            self._means[step] = []
            for number in self._completed:
                self._average(self._entries[number], step)
        return self._means[step]

    @property
    def last_bracket(self) -> int:
        """The newest bracket that has a trial; 0 before the first."""
        return self._last_bracket

    @property
    def open_brackets(self) -> Sequence[int]:
        """Brackets of which a trial may still go on, lowest first."""
        return sorted(self._open)

    def bracket(self, bracket: int) -> BracketState:
        """How a bracket stands; an empty one if it has no trial yet."""
        return self._brackets.get(bracket, BracketState())


def _remove(ranked: list[Ranked], item: Ranked) -> None:
    del ranked[bisect_left(ranked, item)]
