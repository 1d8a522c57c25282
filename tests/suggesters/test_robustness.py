"""What no suggester may stumble over: odd results, repeated points, much of everything.

Never an exception, a value that is not finite, or a point outside of the space; a fit that fails
falls back and says so.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pytest
import scipy.linalg

from app.domain.space import Params, Space
from app.domain.study import Direction, Metric, ObjectiveRef, StudyDefinition, SuggesterRef
from app.domain.trial import TrialSource, TrialState
from app.service.history import StudyHistory, TrialRecord
from app.suggest.base import Decision, FinishedTrial
from app.suggest.registry import ENTRIES, suggest

from .asking import (
    CHAIN,
    HUNDRED,
    LOSS,
    MIXED,
    NUMERIC,
    PARTLY,
    PLANE,
    SPACES,
    answer,
    bowl,
    drawn,
    history,
    pending_from,
    request,
    space_for,
    told,
)

Values: TypeAlias = tuple[float, ...] | None

MODELS = [name for name, entry in ENTRIES.items() if not entry.is_cheap]
MAX = 1.7976931348623157e308

COSTLY = frozenset({"skopt"})
"""Their fits take so long that the larger tables of cases are kept for the slow tests."""


def names_of(names: Iterable[str], *, table: bool = False) -> pytest.MarkDecorator:
    """The mark for suggesters; in a large `table` of cases the costly ones are slow tests."""
    marked = [
        pytest.param(name, marks=pytest.mark.slow) if table and name in COSTLY else name
        for name in names
    ]
    return pytest.mark.parametrize("name", marked)


every = names_of(ENTRIES)
every_in_table = names_of(ENTRIES, table=True)
every_model = names_of(MODELS, table=True)
every_but_grid = names_of([name for name in ENTRIES if name != "grid"], table=True)

ODD: dict[str, Callable[[int, float], float | None]] = {
    "all zero": lambda k, y: 0.0,
    "all huge and equal": lambda k, y: 1e300,
    "three levels": lambda k, y: float(k % 3),
    "best tied": lambda k, y: 0.0 if k % 2 else 1.0 + y,
    "worst tied": lambda k, y: 1.0 if k % 4 else -y,
    "1e300": lambda k, y: 1e300 * (y - 0.5),
    "1e-300": lambda k, y: 1e-300 * y,
    "from 1e-300 to 1e300": lambda k, y: (-1.0) ** k * 10.0 ** (24 * k - 300),
    "largest floats": lambda k, y: MAX if k % 2 else -MAX,
    "smallest floats": lambda k, y: 5e-324 * (k % 4),
    "bad outlier": lambda k, y: 1e12 if k == 4 else y,
    "good outlier": lambda k, y: -1e12 if k == 4 else y,
    "all failed": lambda k, y: None,
    "all but one failed": lambda k, y: y if k == 9 else None,
    "all but two failed": lambda k, y: y if k in (9, 14) else None,
    "infinite": lambda k, y: math.inf if k % 3 == 0 else y,
    "endlessly good": lambda k, y: -math.inf if k % 3 == 0 else y,
    "nan": lambda k, y: math.nan if k % 2 else y,
    "nothing finite": lambda k, y: (math.nan, math.inf, -math.inf)[k % 3],
}
odd = pytest.mark.parametrize("case", list(ODD))


def results(space: Space, n: int, value: Callable[[int, float], Values]) -> tuple[Any, ...]:
    """`n` finished trials at random points; `value` gets the number and the bowl's value."""
    points = [trial.params for trial in history(space, n)]
    return told(points, [value(k, bowl(space, p)) for k, p in enumerate(points, start=1)])


def one(case: str) -> Callable[[int, float], Values]:
    """Values of a single metric."""

    def value(k: int, y: float) -> Values:
        found = ODD[case](k, y)
        return None if found is None else (found,)

    return value


@every_in_table
@odd
def test_odd_values(name: str, case: str) -> None:
    space = space_for(name, CHAIN)
    answer(name, request(space, results(space, 25, one(case)), count=2))


# Several metrics and constraints


def objective(name: str, direction: str = "minimize") -> Metric:
    return Metric(name=name, direction=Direction(direction))


def limit(name: str, threshold: float, direction: str = "minimize") -> Metric:
    return Metric(name=name, direction=Direction(direction), role="constraint", threshold=threshold)


METRICS: dict[str, tuple[Metric, ...]] = {
    "two objectives": (objective("loss"), objective("score", "maximize")),
    "three objectives": (objective("loss"), objective("time"), objective("score", "maximize")),
    "five objectives": tuple(objective(name) for name in "abcde"),
    "a constraint that holds": (objective("loss"), limit("memory", 1e9)),
    "a constraint never held": (objective("loss"), limit("memory", -1e9)),
    "constraints first": (limit("size", 1.0), limit("gain", 1.0, "maximize"), objective("loss")),
    "both": (objective("loss"), limit("size", 0.7), objective("time"), limit("gain", 0.1)),
}


@every_in_table
@pytest.mark.parametrize("label", list(METRICS))
def test_several_metrics(name: str, label: str) -> None:
    metrics = METRICS[label]
    space = space_for(name, MIXED)
    known = results(
        space,
        12,
        lambda k, y: None if k == 5 else tuple(y + math.sin(j * k) for j in range(len(metrics))),
    )
    answer(name, request(space, known, metrics=metrics, count=2))


MANY: dict[str, Callable[[int, float], Values]] = {
    "equal": lambda k, y: (y, y, y, y),
    "constant": lambda k, y: (1.0, 1.0, 1.0, 1.0),
    "opposed": lambda k, y: (y, y, -y, y),
    "tied": lambda k, y: (float(k % 2), 1.0, float(k % 3), 0.0),
    "huge and tiny": lambda k, y: (1e300 * y, -1e300 * y, 1e-300 * y, 1e300),
    "largest floats": lambda k, y: (MAX, -MAX, -MAX if k % 2 else MAX, MAX * (-1) ** k),
    "one outlier": lambda k, y: (y, 1e12 if k == 4 else y, 1e12 if k == 5 else y, y),
    "all failed": lambda k, y: None,
    "one left": lambda k, y: (y, y, y, y) if k == 3 else None,
    "nan in one metric": lambda k, y: (y, math.nan if k % 2 else y, math.inf if k % 3 else y, y),
    "nan in every trial": lambda k, y: (y, y, math.nan, y),
}


@every_in_table
@pytest.mark.parametrize("case", list(MANY))
def test_odd_values_of_several_metrics(name: str, case: str) -> None:
    space = space_for(name, NUMERIC)
    known = results(space, 12, MANY[case])
    answer(name, request(space, known, metrics=METRICS["both"], count=2))


# Repeated and nearly repeated points


def _repeated(space: Space) -> dict[str, list[Params]]:
    """Lists of points that make kernels singular."""
    few = drawn(space, 3, seed=1)
    shifted = [{**p, "x": min(float(p["x"]) + 1e-12, 10.0)} for p in few]
    line = [{**few[0], "x": -5.0 + 1e-9 * k} for k in range(30)]
    return {
        "one point fifty times": [few[0]] * 50,
        "two points by turns": few[:2] * 25,
        "a repeat of everything": drawn(space, 12) * 2,
        "two clusters a hair apart": [*few, *shifted] * 4,
        "thirty points on a short line": [*line],
    }


@every_but_grid
@pytest.mark.parametrize("spread", ["noisy", "equal"])
@pytest.mark.parametrize("case", list(_repeated(NUMERIC)))
def test_repeated_points(name: str, case: str, spread: str) -> None:
    points = _repeated(NUMERIC)[case]
    noise = np.random.default_rng(3).standard_normal(len(points)) * (spread == "noisy")
    known = told(points, [(float(0.5 + v),) for v in noise])
    answer(name, request(NUMERIC, known, count=2))


@every
def test_points_of_the_user_repeat_what_is_pending(name: str) -> None:
    space = space_for(name, MIXED)
    known = history(space, 12)
    twice = [known[0].params, known[0].params, known[1].params]
    answer(name, request(space, known, pending_from([13, 14, 15], twice), count=2))


# The order of things


def _shuffled(items: tuple[Any, ...], seed: int) -> tuple[Any, ...]:
    return tuple(items[k] for k in np.random.default_rng(seed).permutation(len(items)))


@every_in_table
@pytest.mark.parametrize("n", [12, 45])
def test_order_of_arrival_does_not_matter(name: str, n: int) -> None:
    space = space_for(name, MIXED)
    everything = history(space, n + 3, lambda k, p: None if k % 6 == 0 else bowl(space, p))
    records = tuple(_record(t, is_open=t.number > n) for t in everything)
    first = _asked_after(name, space, records)
    for seed in (1, 2):
        begun = tuple(dataclasses.replace(r, state=TrialState.RUNNING) for r in records)
        assert _asked_after(name, space, (*begun, *_shuffled(records, seed))) == first


def _asked_after(name: str, space: Space, records: tuple[TrialRecord, ...]) -> Decision:
    """The answer of a suggester to whom trials were told one after another."""
    known = StudyHistory(_definition(name, space))
    for one_more in records:
        known.apply([one_more])
    return answer(name, known.request(100, 2))


def _definition(name: str, space: Space) -> StudyDefinition:
    return StudyDefinition(
        name="order",
        space=space,
        metrics=LOSS,
        objective=ObjectiveRef(name="none"),
        suggester=SuggesterRef(name=name, seed=11),
    )


def _record(trial: FinishedTrial, *, is_open: bool) -> TrialRecord:
    return TrialRecord(
        id=f"t{trial.number}",
        number=trial.number,
        params=trial.params,
        state=TrialState.RUNNING if is_open else trial.state,
        values=None if is_open else trial.values,
        failure=None if is_open else trial.failure,
    )


@every_in_table
@pytest.mark.parametrize("label", ["mixed", "chain"])
def test_what_a_process_keeps_changes_no_point(name: str, label: str) -> None:
    """Results out of order and a result that is taken back: the same as from a new process."""
    space = space_for(name, SPACES[label])
    everything = history(space, 20, lambda k, p: None if k % 6 == 0 else bowl(space, p))
    told_now = [_record(t, is_open=t.number % 4 == 1) for t in everything]
    told_now += [_record(t, is_open=False) for t in reversed(everything) if t.number % 4 == 1]
    told_now.append(_record(everything[2], is_open=True))
    kept = StudyHistory(_definition(name, space))
    for place, one_more in enumerate(told_now, start=1):
        kept.apply([one_more])
        if place % 5 == 0 or place > len(told_now) - 2:
            new = StudyHistory(_definition(name, space))
            new.apply(told_now[:place])
            warm, cold = (suggest(name, known.request(100, 2)) for known in (kept, new))
            assert warm == cold


@every_in_table
def test_history_imported_in_another_order_is_borne(name: str) -> None:
    space = space_for(name, NUMERIC)
    for seed in (1, 2):
        answer(name, request(space, _renumbered(history(space, 30), seed)))


def _renumbered(known: tuple[FinishedTrial, ...], seed: int) -> tuple[FinishedTrial, ...]:
    """The same results with other numbers, as an import in another order gives them."""
    turned = _shuffled(known, seed)
    return tuple(dataclasses.replace(t, number=k) for k, t in enumerate(turned, start=1))


# Much of everything


@every
@pytest.mark.parametrize("n", [0, 12])
def test_single_values_beside_others(name: str, n: int) -> None:
    space = space_for(name, PARTLY)
    answer(name, request(space, history(space, n), count=3))


@every_in_table
def test_hundred_parameters(name: str) -> None:
    space = space_for(name, HUNDRED)
    answer(name, request(space, count=2))
    known = results(space, 30, lambda k, y: None if k % 7 == 0 else (y,))
    answer(name, request(space, known, options={"n_initial": 5}))


@cache
def _ten_thousand(name: str) -> tuple[FinishedTrial, ...]:
    space = space_for(name, NUMERIC)
    points = drawn(space, 10_000)
    return told(points, [None if k % 50 == 0 else (float(k % 97),) for k in range(len(points))])


@every_in_table
@pytest.mark.timeout(120)
def test_ten_thousand_trials(name: str) -> None:
    known = _ten_thousand("grid" if name == "grid" else "any")
    answer(name, request(space_for(name, NUMERIC), known))


# Fits that fail


@pytest.fixture
def _nothing_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    """No matrix has a Cholesky factor."""

    def refuse(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("not positive definite, for the test")

    def refused(matrix: Any, *_: object, **__: object) -> tuple[Any, int]:
        return matrix, 1

    monkeypatch.setattr(scipy.linalg.lapack, "dpotrf", refused)
    for module in (np.linalg, scipy.linalg):
        monkeypatch.setattr(module, "cholesky", refuse)


@pytest.mark.usefixtures("_nothing_factors")
@every_model
@pytest.mark.parametrize("label", ["two objectives", "both"])
def test_a_fit_that_fails_is_survived(name: str, label: str) -> None:
    metrics = METRICS[label]
    known = results(NUMERIC, 20, lambda k, y: (y,) * len(metrics))
    answer(name, request(NUMERIC, known, metrics=metrics, count=2))


@pytest.mark.usefixtures("_nothing_factors")
@pytest.mark.parametrize("name", ["gp", "auto"])
def test_a_fit_that_fails_falls_back_and_says_so(name: str) -> None:
    known = results(PLANE, 20, lambda k, y: (y,))
    for made in answer(name, request(PLANE, known, count=2)).suggestions:
        assert made.source is TrialSource.FALLBACK
        assert made.provenance["fallback"]
