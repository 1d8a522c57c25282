"""Grid: each point once, in turn or shuffled, lazily."""

from __future__ import annotations

import dataclasses
from typing import Any

from app.domain.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Space,
    point_key,
)
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState
from app.suggest.base import FinishedTrial, PendingTrial, SuggestRequest
from app.suggest.grid import suggest

METRICS = (Metric(name="y", direction=Direction.MINIMIZE),)
SPACE = Space(
    parameters=(
        CategoricalParameter(name="c", choices=("a", "b")),
        FloatParameter(name="x", low=0.0, high=1.0, step=0.25),
    )
)


def ask(space: Space = SPACE, **more: Any) -> SuggestRequest:
    return dataclasses.replace(SuggestRequest(space=space, metrics=METRICS), **more)


def test_points_come_in_turn() -> None:
    decision = suggest(ask(count=3))
    assert [tuple(s.params.values()) for s in decision.suggestions] == [
        ("a", 0.0),
        ("a", 0.25),
        ("a", 0.5),
    ]
    assert not decision.exhausted
    assert decision.suggestions[2].provenance["grid_index"] == 2
    assert decision.suggestions[2].provenance["grid_size"] == 10


def test_shuffled_order_is_complete_and_drawn_from_the_seed() -> None:
    orders = [
        [
            point_key(s.params)
            for s in suggest(ask(count=11, seed=seed, options=shuffle)).suggestions
        ]
        for seed, shuffle in ((1, {"shuffle": True}), (2, {"shuffle": True}), (1, {}))
    ]
    assert {tuple(sorted(order)) for order in orders} == {tuple(sorted(orders[2]))}
    assert len({tuple(order) for order in orders}) == 3


def test_a_failed_point_counts_as_done_a_cancelled_one_comes_again() -> None:
    failed = FinishedTrial(
        number=1, params={"c": "a", "x": 0.0}, state=TrialState.FAILED, values=None
    )
    busy = PendingTrial(number=3, params={"c": "a", "x": 0.5})
    first = suggest(ask(finished=(failed,), pending=(busy,), index=4, count=2)).suggestions
    assert [s.params["x"] for s in first] == [0.25, 0.75]


def test_constraints_leave_points_out() -> None:
    space = Space(
        parameters=tuple(IntParameter(name=name, low=0, high=3) for name in "ab"),
        constraints=(LinearConstraint(terms={"a": 1.0, "b": 1.0}, op="<=", bound=2.0),),
    )
    decision = suggest(ask(space, count=100))
    assert len(decision.suggestions) == 6
    assert decision.exhausted


def test_a_huge_grid_is_not_listed() -> None:
    space = Space(parameters=tuple(IntParameter(name=f"i{k}", low=0, high=9) for k in range(30)))
    for options in ({}, {"shuffle": True}):
        decision = suggest(ask(space, count=5, options=options))
        assert len({point_key(s.params) for s in decision.suggestions}) == 5
