"""Running means of the completed trials, for steps that no two trials share."""

from __future__ import annotations

import statistics
import time
from random import Random

import pytest

from app.domain.fidelity import Directive
from app.domain.trial import TrialState
from app.early_stopping import book as books
from app.early_stopping.book import Book, TrialFacts
from app.early_stopping.registry import make_rule, new_book

from .playing import definition_of

MEDIAN = definition_of("median", n_startup_trials=2)


def put(book: Book, number: int, state: TrialState) -> None:
    book.put(TrialFacts(number=number, state=state))


def plain_means(curves: dict[int, dict[int, float]], done: set[int], step: int) -> list[float]:
    reaching = [curves[n] for n in done if max(curves[n], default=0) >= step]
    upto = [[loss for at, loss in curve.items() if at <= step] for curve in reaching]
    return sorted(statistics.fmean(losses) for losses in upto if losses)


@pytest.mark.parametrize("seed", range(40))
def test_means_are_those_of_the_curves_whenever_they_are_asked_for(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a trial that is known as completed before its last reports are, and of steps whose
    means were not kept.
    """
    monkeypatch.setattr(books, "KEPT_STEPS", 4)
    rng, book = Random(seed), new_book(MEDIAN)
    curves: dict[int, dict[int, float]] = {}
    done: set[int] = set()
    for _ in range(120):
        number = rng.randrange(8)
        if number not in curves:
            curves[number] = {}
            put(book, number, TrialState.RUNNING)
        elif rng.random() < 0.1:
            done.add(number)
            put(book, number, TrialState.COMPLETED)
        else:
            step, loss = rng.randint(1, 12), round(rng.random(), 2)
            curves[number].setdefault(step, loss)
            book.observe(number, [(step, loss)])
        step = rng.randint(1, 12)
        assert list(book.means(step)) == pytest.approx(plain_means(curves, done, step))


def test_steps_that_no_two_trials_share_fill_no_memory() -> None:
    """As where a step is a number of samples, and trials have batches of their own size."""
    rule, book, began = make_rule(MEDIAN), new_book(MEDIAN), time.process_time()
    assert rule is not None
    for number in range(400):
        put(book, number, TrialState.RUNNING)
        for report in range(1, 21):
            book.observe(number, [(1_000 * report + number, 1 / report)])
            assert rule.judge(book, number).directive is Directive.CONTINUE
        put(book, number, TrialState.COMPLETED)
    assert len(book._means) <= books.KEPT_STEPS
    assert time.process_time() - began < 15


def test_losses_near_the_largest_float_are_judged() -> None:
    rule, book = make_rule(MEDIAN), new_book(MEDIAN)
    assert rule is not None
    for number, loss in enumerate((1.7e308, -1.7e308, 1e308, 1.6e308)):
        put(book, number, TrialState.RUNNING)
        book.observe(number, [(step, loss) for step in range(1, 6)])
        decision = rule.judge(book, number)
        put(book, number, TrialState.COMPLETED)
    assert list(book.means(5)) == [-1.7e308, 1e308, 1.6e308, 1.7e308]
    assert decision.directive is Directive.STOP
    assert "1.6e+308" in decision.reason
