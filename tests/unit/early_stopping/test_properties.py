"""Rules against the papers' algorithms, for random curves, orders of arrival, deaths, crashes."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.fidelity import Directive, brackets
from app.domain.trial import TrialState
from app.early_stopping.base import Decision

from .playing import Checks, Play, definition_of, random_play
from .reference import (
    asha_top,
    hyperband_top,
    median_keeps,
    order,
    patience_keeps,
    stopping_asha_keeps,
)

ETA = st.integers(2, 4)
SEED = st.integers(0, 2**32)
SLOTS = st.sampled_from((1, 3, 8))
DYING = st.sampled_from((0.0, 0.05, 0.2))
EXAMPLES = settings(max_examples=60, deadline=None)


def nothing(play: Play, number: int, decision: Decision) -> None:
    """No check."""


def rebuilding(inner: Checks, rng: Random) -> Checks:
    """Also has a book made from the rows answer, as after a crash of the service."""

    def checks(play: Play, number: int, decision: Decision) -> None:
        inner(play, number, decision)
        if rng.random() < 0.2:
            book = play.rebuilt(rng)
            assert play.rule.judge(book, number) == decision
            assert play.rule.promotions(book) == play.rule.promotions(play.book)
            assert play.rule.place(book) == play.rule.place(play.book)

    return checks


@EXAMPLES
@given(seed=SEED, eta=ETA, slots=SLOTS, dying=DYING, direction=st.sampled_from(("min", "max")))
def test_asha_promotes_what_the_paper_promotes(
    seed: int, eta: int, slots: int, dying: float, direction: str
) -> None:
    rng = Random(seed)
    definition = definition_of("asha", f"{direction}imize", max_resource=9, eta=eta)
    play = Play(definition, max_trials=30)

    def checks(play: Play, number: int, decision: Decision) -> None:
        trial = play.trials[number]
        rung = trial.to_step
        assert rung is not None
        if rung == 9 or trial.at(rung) is None:
            assert decision == Decision(directive=Directive.CONTINUE, to_step=rung)
            return
        goes_on = number in asha_top(play.trials, rung, eta)
        assert (decision.directive is Directive.CONTINUE) is goes_on
        assert not goes_on or (decision.to_step or 0) > rung

    random_play(play, rng, rebuilding(checks, rng), slots=slots, dying=dying)
    for rung in play.book.ladder.rungs[:-1]:
        left = {t.number for t in play.trials.values() if t.waits and t.to_step == rung}
        assert not left & asha_top(play.trials, rung, eta)
    assert len(set(play.promoted)) == len(play.promoted)


@EXAMPLES
@given(seed=SEED, eta=ETA, slots=SLOTS, dying=DYING)
def test_stopping_asha_stops_what_the_paper_stops(
    seed: int, eta: int, slots: int, dying: float
) -> None:
    rng = Random(seed)
    definition = definition_of("asha", max_resource=9, eta=eta, mode="stop")
    judged: set[tuple[int, int]] = set()

    def checks(play: Play, number: int, decision: Decision) -> None:
        trial = play.trials[number]
        reached = [r for r in play.book.ladder.rungs if trial.at(r) is not None]
        at_rung = reached and (number, reached[-1]) not in judged and reached[-1] < 9
        judged.update((number, rung) for rung in reached)
        keeps = not at_rung or stopping_asha_keeps(play.trials, number, reached[-1], eta)
        assert (decision.directive is Directive.CONTINUE) is keeps

    play = Play(definition, max_trials=30)
    random_play(play, rng, rebuilding(checks, rng), slots=slots, dying=dying)
    assert all(not trial.is_open for trial in play.trials.values())


@EXAMPLES
@given(seed=SEED, slots=SLOTS, dying=DYING, percent=st.sampled_from((10.0, 25.0, 50.0, 75.0)))
def test_the_median_rule_stops_what_the_paper_stops(
    seed: int, slots: int, dying: float, percent: float
) -> None:
    rng = Random(seed)
    options = {"max_resource": 6, "min_resource": 2, "n_startup_trials": 3}
    definition = definition_of("percentile", **options, percentile=percent)

    def checks(play: Play, number: int, decision: Decision) -> None:
        step = max(play.trials[number].curve())
        keeps = step < 2 or step >= 6
        keeps = keeps or median_keeps(play.trials, play.completed, number, 3, percent)
        assert (decision.directive is Directive.CONTINUE) is keeps

    play = Play(definition, max_trials=25)
    random_play(play, rng, rebuilding(checks, rng), slots=slots, dying=dying)


@EXAMPLES
@given(seed=SEED, steps=st.integers(1, 4), delta=st.sampled_from((0.0, 0.05)))
def test_patience_waits_as_long_as_it_says(seed: int, steps: int, delta: float) -> None:
    rng = Random(seed)
    options = {"max_resource": 9, "min_resource": 2, "steps": steps, "min_delta": delta}

    def checks(play: Play, number: int, decision: Decision) -> None:
        trial = play.trials[number]
        step = max(trial.curve())
        keeps = step < 2 or step >= 9 or patience_keeps(trial, steps, delta)
        assert (decision.directive is Directive.CONTINUE) is keeps

    play = Play(definition_of("patience", **options), max_trials=10)
    random_play(play, rng, rebuilding(checks, rng), slots=3, dying=0.1)


@EXAMPLES
@given(
    seed=SEED,
    shape=st.sampled_from(((9, 3), (8, 2), (10, 3), (16, 4))),
    slots=SLOTS,
    dying=DYING,
    n=st.integers(1, 45),
)
def test_hyperband_keeps_to_its_brackets(
    seed: int, shape: tuple[int, int], slots: int, dying: float, n: int
) -> None:
    (high, eta), rng = shape, Random(seed)
    play = Play(definition_of("hyperband", max_resource=high, eta=eta), max_trials=n)
    table = brackets(high, eta)

    def checks(play: Play, number: int, decision: Decision) -> None:
        trial = play.trials[number]
        assert trial.bracket is not None
        assert trial.to_step is not None
        if decision.to_step is not None and decision.to_step > trial.to_step:
            _assert_complete(play, trial.bracket, trial.to_step)

    random_play(play, rng, rebuilding(checks, rng), slots=slots, dying=dying)
    assert len(set(play.promoted)) == len(play.promoted)
    for bracket in {t.bracket for t in play.trials.values()}:
        assert bracket is not None
        _assert_by_the_table(play, bracket, table)


def _assert_complete(play: Play, bracket: int, rung: int) -> None:
    """All who were on their way to the rung have come, or died."""
    for trial in play.trials.values():
        if trial.bracket == bracket and (trial.to_step or 0) >= rung:
            assert trial.at(rung) is not None or not trial.is_open


def _assert_by_the_table(play: Play, bracket: int, table: object) -> None:
    assert isinstance(table, tuple)
    rows = table[bracket % len(table)]
    members = {t.number for t in play.trials.values() if t.bracket == bracket}
    is_full = len(members) == rows[0].n
    assert len(members) <= rows[0].n
    for row, after in pairwise(rows):
        keep = after.n if is_full else max(1, after.n * len(members) // rows[0].n)
        here = {n: play.trials[n] for n in members}
        top = hyperband_top(here, bracket, row.step, keep)
        members = {n for n in members if (play.trials[n].to_step or 0) >= after.step}
        assert members == top


@pytest.mark.parametrize("name", ["asha", "hyperband", "median", "patience"])
@pytest.mark.parametrize("seed", range(5))
def test_a_direction_turned_round_changes_nothing(name: str, seed: int) -> None:
    logs = []
    for direction in ("minimize", "maximize"):
        play = Play(definition_of(name, direction, max_resource=9), max_trials=25)
        random_play(play, Random(seed), nothing, slots=4, dying=0.05)
        logs.append(play.log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("seed", range(10))
def test_hyperband_never_keeps_a_worker_waiting(seed: int) -> None:
    """With trials left to start, a free slot always has one: `place` never refuses."""
    play = Play(definition_of("hyperband", max_resource=27), max_trials=200)
    random_play(play, Random(seed), nothing, slots=8, dying=0.02)
    starts = [t.bracket for t in play.trials.values()]
    assert starts == sorted(starts, key=lambda b: b if b is not None else -1)
    full = [t for t in play.trials.values() if t.state is TrialState.COMPLETED]
    assert full
    assert all(t.at(27) is not None for t in full)


def test_ties_go_to_the_lower_number_and_nan_is_the_worst() -> None:
    play = Play(definition_of("asha", max_resource=3), max_trials=9)
    trials = [play.begin() for _ in range(6)]
    for trial, loss in zip(trials, (math.nan, 0.5, 0.5, 0.5, 0.7, 0.5), strict=True):
        play.report(trial, 1, loss, nothing)
    assert order(play.trials.values(), 1) == [1, 2, 3, 5, 4, 0]
    assert play.promoted == [(1, 3), (2, 3)]
