"""Requests, targets and the registry."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from app.domain.space import IntParameter, Space
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState
from app.suggest.base import (
    FinishedTrial,
    PendingTrial,
    SuggestRequest,
    constraint_excess,
    rng_of,
    taken_keys,
    targets,
)
from app.suggest.ranking import ranks_of
from app.suggest.registry import ENTRIES, suggest

SPACE = Space(parameters=(IntParameter(name="n", low=1, high=9),))
DOWN = Metric(name="loss", direction=Direction.MINIMIZE)
UP = Metric(name="score", direction=Direction.MAXIMIZE)
LIMIT = Metric(name="memory", direction=Direction.MINIMIZE, role="constraint", threshold=1.0)


def finished(*values: tuple[float, ...] | None) -> tuple[FinishedTrial, ...]:
    return tuple(
        FinishedTrial(number=k + 1, params={"n": k + 1}, state=TrialState.COMPLETED, values=v)
        for k, v in enumerate(values)
    )


def test_targets_are_minimised_and_nan_where_there_is_none() -> None:
    trials = finished((2.0,), None, (math.nan,), (-math.inf,), (3.0,))
    down = targets(SuggestRequest(space=SPACE, metrics=(DOWN,), finished=trials))
    np.testing.assert_array_equal(down, [2.0, math.nan, math.nan, math.nan, 3.0])
    up = targets(SuggestRequest(space=SPACE, metrics=(UP,), finished=trials))
    np.testing.assert_array_equal(up, -down)
    assert targets(SuggestRequest(space=SPACE, metrics=(UP,))).shape == (0,)


def test_constraint_metrics_are_passed_over() -> None:
    asked = SuggestRequest(space=SPACE, metrics=(LIMIT, UP), finished=finished((5.0, 2.0)))
    assert targets(asked).tolist() == [-2.0]


@pytest.mark.filterwarnings("error")
def test_an_excess_beyond_all_numbers_is_the_largest_one() -> None:
    limit = replace(LIMIT, threshold=-1e308)
    trials = finished((1.5e308, 1.0), (-1.5e308, 1.0), (math.nan, 1.0), (0.0, 1.0))
    asked = SuggestRequest(space=SPACE, metrics=(limit, UP), finished=trials)
    largest = np.finfo(np.float64).max
    excess = constraint_excess(asked)[:, 0]
    np.testing.assert_array_equal(excess, [largest, -1.5e308 + 1e308, math.nan, 1e308])
    assert ranks_of(asked).tolist() == [2.0, 0.0, math.inf, 1.0]


def test_finished_and_pending_points_are_taken() -> None:
    asked = SuggestRequest(
        space=SPACE,
        metrics=(DOWN,),
        finished=finished((1.0,)),
        pending=(PendingTrial(number=2, params={"n": 7}),),
    )
    assert taken_keys(asked) == {"n=1.0", "n=7.0"}


def test_random_numbers_depend_on_seed_name_and_number() -> None:
    asked = SuggestRequest(space=SPACE, metrics=(DOWN,), seed=4)
    other = SuggestRequest(space=SPACE, metrics=(DOWN,), seed=5)
    draws = {
        rng_of(*args).random()
        for args in ((asked, "gp", 1), (asked, "gp", 2), (asked, "tpe", 1), (other, "gp", 1))
    }
    assert len(draws) == 4
    assert rng_of(asked, "gp", 1).random() in draws


def test_an_unknown_suggester_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        suggest("nonsense", SuggestRequest(space=SPACE, metrics=(DOWN,)))


def test_cheap_suggesters_are_those_without_a_model() -> None:
    assert {name for name, entry in ENTRIES.items() if entry.is_cheap} == {
        "random",
        "grid",
        "sobol",
    }
