"""Plays a study against a rule as the service does, with a second, plain record of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from app.domain.fidelity import Directive
from app.domain.study import Direction, StudyDefinition
from app.domain.trial import TrialState
from app.early_stopping.base import Decision, Promotion, Rule
from app.early_stopping.book import Book, TrialFacts
from app.early_stopping.registry import deciding_metric, make_rule, new_book

from ..domain.building import check, raw_study
from .reference import History

Checks = Callable[["Play", int, Decision], None]
"""Called after each judgement, before it is applied: the play, the trial, the decision."""


def definition_of(name: str, direction: str = "minimize", **options: object) -> StudyDefinition:
    """A study that has a rule."""
    metric = {"name": "loss", "direction": direction}
    rule = {"name": name, "options": options}
    return check(raw_study(metrics=[metric], early_stopping=rule)).definition


def rule_of(definition: StudyDefinition) -> Rule:
    rule = make_rule(definition)
    assert rule is not None
    return rule


class Play:
    """One study. Losses are drawn; values are what the book is told."""

    def __init__(self, definition: StudyDefinition, *, max_trials: int) -> None:
        self.definition, self.rule = definition, rule_of(definition)
        self.book = new_book(definition)
        self.sign = 1 if deciding_metric(definition).direction is Direction.MINIMIZE else -1
        self.trials: dict[int, History] = {}
        self.completed: list[int] = []
        self.max_trials = max_trials
        self.promoted: list[tuple[int, int | None]] = []
        self.log: list[tuple[int, str, int | None]] = []

    # --- what happens ---

    def begin(self) -> History:
        place = self.rule.place(self.book)
        assert self.rule.place(self.book) == place
        number = len(self.trials)
        trial = History(number, bracket=place.bracket, to_step=place.to_step)
        self.trials[number] = trial
        self._put(trial)
        if len(self.trials) == self.max_trials:
            self.book.may_start = False
            self.promote()
        return trial

    def report(self, trial: History, step: int, loss: float, checks: Checks) -> None:
        trial.reports.append((step, loss))
        self.book.observe(trial.number, [(step, self.sign * loss)])
        if trial.waits:
            return
        decision = self.rule.judge(self.book, trial.number)
        assert self.rule.judge(self.book, trial.number) == decision
        checks(self, trial.number, decision)
        self.log.append((trial.number, str(decision.directive), decision.to_step))
        self._apply(trial, decision)
        self.promote()

    def end(self, trial: History, state: TrialState) -> None:
        trial.state = state
        if state is TrialState.COMPLETED:
            self.completed.append(trial.number)
        self._put(trial)
        self.promote()

    def release(self, trial: History) -> None:
        """The holder of a trial that was told to pause has gone."""
        trial.state = TrialState.PAUSED
        self._put(trial)

    def promote(self) -> None:
        for promotion in self.rule.promotions(self.book):
            self._go_on(promotion)

    def _apply(self, trial: History, decision: Decision) -> None:
        if decision.directive is Directive.PAUSE:
            trial.pauses = True
        elif decision.directive is Directive.STOP:
            trial.state = TrialState.STOPPED
        elif decision.to_step != trial.to_step:
            self.promoted.append((trial.number, decision.to_step))
            trial.to_step = decision.to_step
        self._put(trial)

    def _go_on(self, promotion: Promotion) -> None:
        trial = self.trials[promotion.number]
        assert trial.waits
        assert promotion.reason
        self.promoted.append((promotion.number, promotion.to_step))
        self.log.append((trial.number, "promoted", promotion.to_step))
        trial.pauses, trial.to_step, trial.state = False, promotion.to_step, TrialState.RUNNING
        self._put(trial)

    # --- the book ---

    def facts(self, trial: History) -> TrialFacts:
        told = Directive.PAUSE if trial.pauses and trial.state is TrialState.RUNNING else None
        return TrialFacts(
            number=trial.number,
            state=trial.state,
            bracket=trial.bracket,
            to_step=trial.to_step,
            directive=told,
        )

    def _put(self, trial: History) -> None:
        self.book.put(self.facts(trial))
        self.book.put(self.facts(trial))

    def rebuilt(self, rng: Random) -> Book:
        """A book made from the rows alone, trial by trial in any order, some of it twice."""
        book = new_book(self.definition)
        rows = list(self.trials.values())
        rng.shuffle(rows)
        book.may_start = len(self.trials) < self.max_trials
        for trial in [*rows, *rows[: len(rows) // 2]]:
            book.put(self.facts(trial))
            book.observe(trial.number, [(s, self.sign * v) for s, v in trial.reports])
        return book


def random_play(play: Play, rng: Random, checks: Checks, *, slots: int, dying: float) -> None:
    """Plays a study to its end: curves, order of arrival, deaths and repeated reports at random."""
    last = play.book.ladder.max_resource
    assert last is not None
    levels: dict[int, float] = {}
    while True:
        running = [t for t in play.trials.values() if t.state is TrialState.RUNNING]
        busy = [t for t in running if not t.pauses]
        if len(busy) < slots and len(play.trials) < play.max_trials:
            trial = play.begin()
            levels[trial.number] = rng.choice((rng.random(), round(rng.random(), 1)))
            continue
        if not running:
            return
        _step(play, rng, checks, rng.choice(running), levels, dying, last)


def _step(
    play: Play,
    rng: Random,
    checks: Checks,
    trial: History,
    levels: dict[int, float],
    dying: float,
    last: int,
) -> None:
    number = trial.number
    at = max((step for step, _ in trial.reports), default=0)
    if trial.pauses:
        if rng.random() < 0.3 and trial.reports:  # the same report comes once more
            play.report(trial, *trial.reports[-1], checks)
        play.release(trial)
    elif rng.random() < dying:
        play.end(trial, rng.choice((TrialState.FAILED, TrialState.CANCELLED)))
    elif at >= last:
        play.end(trial, TrialState.COMPLETED)
    else:
        bound = last if trial.to_step is None else trial.to_step
        step = min(at + rng.choice((1, 1, 2)), max(bound, at + 1))
        loss = math.nan if rng.random() < 0.05 else levels[number] + rng.gauss(0, 0.2) / step
        play.report(trial, step, round(loss, 3), checks)
