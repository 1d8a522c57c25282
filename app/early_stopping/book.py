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
from .curve import Curve

Ranked = tuple[float, int]
"""A loss and the trial's number, which settles ties. A value that is missing or not finite is
infinite: worse than any other.
"""

Place = tuple[int | None, int]
"""A rung of a bracket: (bracket or None, step)."""

KEPT_STEPS = 1_000
"""Steps whose running means are kept in order, those asked for last; of others they are worked out
when they are asked for again.
"""

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
class _Entry:
    """A trial in the book.

    Attributes:
        results: its loss at each rung whose result is in, by step.
        dead_at: the rung at which it counts as the worst, having ended without a value.
        waits_at: the rung at which it waits.
        is_completed: whether it is among the completed trials.
        is_averaged: whether its running means are among those of the completed trials.
    """

    facts: TrialFacts
    curve: Curve = field(default_factory=Curve)
    results: dict[int, float] = field(default_factory=dict)
    dead_at: int | None = None
    waits_at: int | None = None
    is_completed: bool = False
    is_averaged: bool = False


@dataclass(slots=True)
class _Means:
    """Running means at one step.

    Attributes:
        ranked: of the completed trials that have one, lowest first.
        n_taken: how many of the completed trials were looked at for it, in their order.
    """

    ranked: list[float] = field(default_factory=list)
    n_taken: int = 0


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
        self._may_start = True
        self._sign = 1.0 if direction is Direction.MINIMIZE else -1.0
        self._entries: dict[int, _Entry] = {}
        self._results: dict[Place, list[Ranked]] = {}
        self._waiting: dict[Place, list[Ranked]] = {}
        self._noted: dict[int, dict[int, tuple[int, float]]] = {}
        self._numbers: dict[int, list[int]] = {}
        self._means: dict[int, _Means] = {}  # by step, the one asked for last at the end
        self._completed: list[int] = []
        self._brackets: dict[int, BracketState] = {}
        self._last_bracket: int | None = None
        self._restless: dict[int, None] = {}
        self._over: set[tuple[int, int]] = set()  # (number, step): settled at that rung

    # --- what is taken in ---

    @property
    def may_start(self) -> bool:
        """As the class says; whoever keeps the book sets it."""
        return self._may_start

    @may_start.setter
    def may_start(self, may_start: bool) -> None:
        if may_start != self._may_start:
            self._may_start = may_start
            self._restless = dict.fromkeys(self._brackets)

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
        self._touch(entry)
        self._note_death(entry)
        self._note_waiting(entry)
        self._settle(entry)
        if facts.state is TrialState.COMPLETED and not entry.is_completed:
            entry.is_completed = True
            self._completed.append(facts.number)

    def observe(self, number: int, points: Iterable[tuple[int, float]]) -> None:
        """Takes in (step, value) reports of a trial that is in the book. The first value of a step
        counts; the same points again change nothing. NaN is kept: it is worse than any value.
        """
        entry = self._entries[number]
        for step, value in points:
            loss = self._sign * value
            is_new = entry.curve.add(step, loss if math.isfinite(loss) else math.inf)
            if is_new and entry.is_averaged:
                self._average_anew()
            for rung in self.ladder.rungs:
                if rung > step:
                    break
                if rung not in entry.results:
                    self._touch(entry)
                    noted = loss if math.isfinite(loss) else math.inf
                    self._noted.setdefault(rung, {})[number] = (step, noted)
                    insort(self._numbers.setdefault(rung, []), number)
                    self._note_result(entry, rung, noted)
        self._note_waiting(entry)
        self._settle(entry)

    def _place(self, entry: _Entry, before: TrialFacts | None) -> None:
        """Counts a trial into its bracket and on its way to its rung."""
        facts = entry.facts
        if facts.bracket is None:
            return
        state = self._brackets.setdefault(facts.bracket, BracketState())
        self._last_bracket = max(facts.bracket, self._last_bracket or 0)
        if before is None or before.bracket != facts.bracket:
            state.n_placed += 1
            was = 0
        else:
            was = before.to_step or 0
        for rung in self.ladder.rungs:
            if was < rung <= (facts.to_step or 0):
                state.n_members[rung] = state.n_members.get(rung, 0) + 1

    def _touch(self, entry: _Entry) -> None:
        if entry.facts.bracket is not None:
            self._restless[entry.facts.bracket] = None

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

    def _average_anew(self) -> None:
        """A completed trial has reports that its means are without."""
        self._means.clear()
        for number in self._completed:
            self._entries[number].is_averaged = False

    # --- what rules look at ---

    @property
    def n_completed(self) -> int:
        """How many trials were completed in full."""
        return len(self._completed)

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
        """By number: step and loss of the report that reached a rung, whatever the bracket."""
        return self._noted.get(rung, {})

    def newest(self, rung: int, limit: int) -> Sequence[int]:
        """Numbers of the newest trials that have reached a rung, in order, `limit` at most."""
        return self._numbers.get(rung, [])[-limit:]

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

    def means(self, step: int) -> Sequence[float]:
        """Running means of the completed trials at a step, lowest first; of those that have one."""
        means = self._means.pop(step, None) or _Means()
        self._means[step] = means
        if len(self._means) > KEPT_STEPS:
            del self._means[next(iter(self._means))]
        self._take_in(means, step)
        return means.ranked

    def _take_in(self, means: _Means, step: int) -> None:
        """Adds those of the trials that have been completed since the last look."""
        found: list[float] = []
        for number in self._completed[means.n_taken :]:
            entry = self._entries[number]
            entry.is_averaged = True
            mean = entry.curve.mean_at(step)
            if mean is not None:
                found.append(mean)
        means.n_taken = len(self._completed)
        if not means.ranked:
            means.ranked = sorted(found)
            return
        for mean in found:
            insort(means.ranked, mean)

    @property
    def last_bracket(self) -> int | None:
        """The highest bracket that has a trial, or None."""
        return self._last_bracket

    @property
    def restless(self) -> Sequence[int]:
        """Numbers of the brackets that have changed since `rests` was said of them, lowest first.

        A study of many trials has many brackets, and all but the last few are done.
        """
        return sorted(self._restless)

    def rests(self, bracket: int) -> None:
        """Notes that nothing is to be promoted in a bracket until something of it changes."""
        self._restless.pop(bracket, None)

    def bracket(self, bracket: int) -> BracketState:
        """How a bracket stands; an empty one if it has no trial yet."""
        return self._brackets.get(bracket, BracketState())


def _remove(ranked: list[Ranked], item: Ranked) -> None:
    del ranked[bisect_left(ranked, item)]
