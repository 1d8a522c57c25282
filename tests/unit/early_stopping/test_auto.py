"""The rule `auto`: hedged stopping by the study's own evidence."""

from __future__ import annotations

import numpy as np
import pytest

from app.domain.fidelity import Directive, Ladder
from app.domain.study import Direction
from app.domain.trial import TrialState
from app.early_stopping.auto import MIN_COMPLETED, Auto
from app.early_stopping.book import Book, TrialFacts

LADDER = Ladder(rungs=(1, 3, 9, 27), max_resource=27)
RULE = Auto(LADDER)


def book_of(
    finals: list[float], early: list[float], direction: Direction = Direction.MINIMIZE
) -> Book:
    """Completed trials 1.. with their losses at step 9 and at the end."""
    book = Book(direction, LADDER)
    for number, (final, value) in enumerate(zip(finals, early, strict=True), start=1):
        book.put(TrialFacts(number=number, state=TrialState.COMPLETED, final=final, step=27))
        book.observe(number, [(9, value), (27, final)])
    return book


def judged(book: Book, value: float, step: int = 9) -> Directive:
    number = 1_000_000
    book.put(TrialFacts(number=number, state=TrialState.RUNNING))
    book.observe(number, [(step, value)])
    return RULE.judge(book, number).directive


GOOD = [0.1 * k for k in range(12)]


def test_a_bad_trial_stops_where_the_order_early_is_that_of_the_end() -> None:
    assert judged(book_of(GOOD, GOOD), 1.0) is Directive.STOP


def test_the_best_trial_goes_on() -> None:
    assert judged(book_of(GOOD, GOOD), -0.1) is Directive.CONTINUE


def test_a_trial_that_is_bad_early_goes_on_where_the_order_turns_over() -> None:
    assert judged(book_of(GOOD, GOOD[::-1]), 1.0) is Directive.CONTINUE


def test_of_a_maximised_metric_a_low_value_stops() -> None:
    book = book_of(GOOD, GOOD, Direction.MAXIMIZE)
    assert judged(book, 0.1) is Directive.STOP


def test_nothing_stops_before_some_trials_are_trained_to_the_end() -> None:
    few = GOOD[: MIN_COMPLETED - 1]
    assert judged(book_of(few, few), 100.0) is Directive.CONTINUE


@pytest.mark.parametrize("step", [1, 2, 8, 10, 26, 27])
def test_nothing_stops_between_rungs_at_low_ones_and_at_the_end(step: int) -> None:
    book = book_of(GOOD, GOOD)
    book.put(TrialFacts(number=1_000_000, state=TrialState.RUNNING))
    book.observe(1_000_000, [(rung, 0.0) for rung in LADDER.rungs if rung < step and step > 3])
    assert judged(book, 100.0, step) is Directive.CONTINUE


def test_a_report_that_skips_the_rung_is_judged_by_its_own_value() -> None:
    assert judged(book_of(GOOD, GOOD), 1.0, step=11) is Directive.STOP


def test_nan_at_a_rung_stops() -> None:
    assert judged(book_of(GOOD, GOOD), float("nan")) is Directive.STOP


def test_the_reason_has_the_figures() -> None:
    book = book_of(GOOD, GOOD)
    judged(book, 1.0)
    reason = RULE.judge(book, 1_000_000).reason
    assert "at step 9 of 27" in reason
    assert "12 full trainings" in reason


def test_equal_losses_everywhere_stop_nothing() -> None:
    assert judged(book_of([1.0] * 8, [1.0] * 8), 1.0) is Directive.CONTINUE


def test_the_order_of_reports_changes_no_answer() -> None:
    rng = np.random.default_rng(3)
    early = rng.normal(size=40)
    final = early + 0.5 * rng.normal(size=40)
    answers = set()
    for seed in range(5):
        book = Book(Direction.MINIMIZE, LADDER)
        for k in np.random.default_rng(seed).permutation(40):
            points = [(9, float(early[k]))] + ([(27, float(final[k]))] if k % 2 else [])
            book.put(TrialFacts(number=int(k), state=TrialState.RUNNING))
            book.observe(int(k), points)
            book.observe(int(k), points)
        answers.add(tuple(RULE.judge(book, k) for k in range(40)))
    assert len(answers) == 1


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-60, 2.0**500, 2.0**1020])
def test_the_unit_of_the_metric_decides_nothing(unit: float) -> None:
    rng = np.random.default_rng(5)
    decided = []
    for n in (3, 5, 20) * 10:
        final = rng.normal(size=n)
        early, own = final + rng.normal(scale=0.3, size=n), float(rng.normal(0.5))
        books = [book_of(list(final * u), list(early * u)) for u in (1.0, unit)]
        plain, scaled = judged(books[0], own), judged(books[1], own * unit)
        assert plain is scaled
        decided.append(plain)
    assert set(decided) == {Directive.CONTINUE, Directive.STOP}


def test_losses_near_the_largest_float_stop_only_what_is_worse() -> None:
    book = book_of([1e308] * 4, [1e308] * 4)
    assert judged(book, 0.5e308) is Directive.CONTINUE
    mixed = [-1.7e308, 1.7e308, 0.0, 1.0]
    assert judged(book_of(mixed, mixed), -1.7e308) is Directive.CONTINUE
