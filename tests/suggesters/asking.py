"""Spaces, histories and requests for the tests of suggesters."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from app.domain.points import check_point
from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Parameter,
    Params,
    Space,
    Value,
    point_key,
)
from app.domain.study import Direction, Metric
from app.domain.trial import FailureKind, TrialState
from app.suggest.base import Decision, FinishedTrial, PendingTrial, Suggestion, SuggestRequest
from app.suggest.encode import Encoder
from app.suggest.registry import suggest

LOSS = (Metric(name="loss", direction=Direction.MINIMIZE),)
SCORE = (Metric(name="score", direction=Direction.MAXIMIZE),)

NUMERIC = Space(
    parameters=(
        FloatParameter(name="x", low=-5.0, high=10.0),
        FloatParameter(name="rate", low=1e-6, high=0.1, log=True),
        FloatParameter(name="share", low=0.1, high=0.7, step=0.1),
        IntParameter(name="units", low=4, high=512, log=True),
        IntParameter(name="batch", low=16, high=128, step=16),
    )
)
MIXED = Space(
    parameters=(
        CategoricalParameter(name="kind", choices=("relu", "tanh", True, False, 1.5, 3)),
        CategoricalParameter(name="size", choices=("s", "m", "l"), ordered=True),
        CategoricalParameter(name="only", choices=("one",)),
        IntParameter(name="fixed", low=7, high=7),
        IntParameter(name="depth", low=1, high=9),
        FloatParameter(name="x", low=0.0, high=1.0),
    )
)
CHAIN = Space(
    parameters=(
        CategoricalParameter(name="model", choices=("forest", "net", "none")),
        IntParameter(name="layers", low=1, high=4, when=Condition(param="model", choices=("net",))),
        FloatParameter(
            name="dropout", low=0.0, high=0.5, when=Condition(param="layers", low=2, high=3)
        ),
        FloatParameter(
            name="slope",
            low=1e-3,
            high=1.0,
            log=True,
            when=Condition(param="dropout", low=0.25),
        ),
        IntParameter(
            name="trees",
            low=10,
            high=1000,
            log=True,
            when=Condition(param="model", choices=("forest",)),
        ),
    )
)
WIDE = Space(
    parameters=tuple(
        FloatParameter(name=f"x{k}", low=0.0, high=1.0)
        if k % 5
        else CategoricalParameter(name=f"x{k}", choices=("a", "b", "c"))
        for k in range(50)
    )
)
BOUNDED = Space(
    parameters=(
        FloatParameter(name="a", low=0.0, high=1.0),
        FloatParameter(name="b", low=0.0, high=1.0),
        IntParameter(name="n", low=0, high=20),
    ),
    constraints=(
        LinearConstraint(terms={"a": 1.0, "b": 1.0}, op="<=", bound=0.6),
        LinearConstraint(terms={"n": 1.0, "a": -10.0}, op=">=", bound=3.0),
    ),
)
BALANCED = Space(
    parameters=tuple(FloatParameter(name=name, low=0.0, high=1.0) for name in "abc"),
    constraints=(LinearConstraint(terms={"a": 1.0, "b": 1.0, "c": 1.0}, op="==", bound=1.0),),
)
SMALL = Space(
    parameters=(
        CategoricalParameter(name="c", choices=("a", "b")),
        IntParameter(name="n", low=1, high=4),
        FloatParameter(
            name="x", low=0.0, high=1.0, step=0.5, when=Condition(param="c", choices=("b",))
        ),
    )
)
N_SMALL = 4 + 4 * 3
POINT = Space(
    parameters=(
        CategoricalParameter(name="c", choices=("a",)),
        IntParameter(name="n", low=2, high=2),
        FloatParameter(name="x", low=0.5, high=0.5),
    )
)
PARTLY = Space(
    parameters=(
        CategoricalParameter(name="only", choices=("one",)),
        IntParameter(name="fixed", low=7, high=7, when=Condition(param="only", choices=("one",))),
        CategoricalParameter(name="kind", choices=("a", "b")),
        FloatParameter(
            name="still", low=0.5, high=0.5, when=Condition(param="kind", choices=("a",))
        ),
        CategoricalParameter(
            name="lone", choices=(True,), ordered=True, when=Condition(param="kind", choices=("b",))
        ),
        FloatParameter(name="x", low=0.0, high=1.0),
        FloatParameter(name="step", low=2.0, high=2.5, step=1.0),
        IntParameter(name="many", low=1, high=10**9, log=True, when=Condition(param="x", low=0.5)),
    )
)
"""Parameters of a single value beside and under others that vary."""


def _one_of_hundred(k: int) -> Parameter:
    when = Condition(param=f"x{k - 1}", choices=("a", "b")) if k % 5 == 1 else None
    if k % 5 == 0:
        return CategoricalParameter(name=f"x{k}", choices=("a", "b", "c"))
    if k % 5 == 2:
        return IntParameter(name=f"x{k}", low=1, high=64, log=True)
    return FloatParameter(name=f"x{k}", low=0.0, high=1.0, when=when)


HUNDRED = Space(parameters=tuple(_one_of_hundred(k) for k in range(100)))
PLANE = Space(parameters=tuple(FloatParameter(name=name, low=0.0, high=1.0) for name in "ab"))
SPACES: Mapping[str, Space] = {
    "numeric": NUMERIC,
    "mixed": MIXED,
    "chain": CHAIN,
    "bounded": BOUNDED,
    "small": SMALL,
}


def space_for(name: str, space: Space) -> Space:
    """The space, or for `grid` one with steps in place of what is continuous."""
    if name != "grid":
        return space
    stepped = [
        p
        if not isinstance(p, FloatParameter) or p.low == p.high
        else FloatParameter(
            name=p.name, low=p.low, high=p.high, step=p.step or (p.high - p.low) / 20, when=p.when
        )
        for p in space.parameters
    ]
    return Space(parameters=tuple(stepped), constraints=space.constraints)


def request(
    space: Space,
    finished: Sequence[FinishedTrial] = (),
    pending: Sequence[PendingTrial] = (),
    **more: Any,
) -> SuggestRequest:
    """A request whose index follows the trials that are given."""
    index = len(finished) + len(pending) + 1
    fields: dict[str, Any] = {"metrics": LOSS, "seed": 11, "index": index, **more}
    return SuggestRequest(space=space, finished=tuple(finished), pending=tuple(pending), **fields)


def bowl(space: Space, params: Params) -> float:
    """Squared distance from 0.3 in the cube; inactive parameters count nothing."""
    u = Encoder(space).to_unit(params)
    return float(np.nansum((u - 0.3) ** 2))


def history(
    space: Space,
    n: int,
    value: Callable[[int, Params], float | None] | None = None,
    *,
    seed: int = 5,
) -> tuple[FinishedTrial, ...]:
    """`n` finished trials at distinct random points; a value of None or NaN is a failure."""
    decision = suggest("random", request(space, seed=seed, count=n))
    trials = []
    for number, made in enumerate(decision.suggestions, start=1):
        y = bowl(space, made.params) if value is None else value(number, made.params)
        is_valued = y is not None and math.isfinite(y)
        trials.append(
            FinishedTrial(
                number=number,
                params=made.params,
                state=TrialState.COMPLETED if is_valued else TrialState.FAILED,
                values=None if y is None else (y,),
                failure=None if is_valued else FailureKind.USER_ERROR,
            )
        )
    return tuple(trials)


def pending_from(numbers: Sequence[int], points: Sequence[Params]) -> tuple[PendingTrial, ...]:
    """Pending trials at points."""
    return tuple(
        PendingTrial(number=number, params=params)
        for number, params in zip(numbers, points, strict=True)
    )


def keys(suggestions: Sequence[Suggestion]) -> list[str]:
    """The points' keys, in order."""
    return [point_key(suggestion.params) for suggestion in suggestions]


def assert_in_space(space: Space, params: Mapping[str, Value]) -> None:
    """The point is one of the space as it stands: names, order, types and values."""
    point, faults = check_point(space, params, partial=False, pointer="")
    assert not faults
    assert list(params) == list(point)
    for name, value in params.items():
        assert type(value) is type(point[name])
        assert value == point[name]


def answer(name: str, asked: SuggestRequest) -> Decision:
    """Asks for points and checks what holds of every answer.

    As many distinct points as asked for, in the space, none of them known before; provenance that
    is plain JSON without infinity or NaN.
    """
    decision = suggest(name, asked)
    assert len(decision.suggestions) == asked.count
    taken = {point_key(trial.params) for trial in (*asked.finished, *asked.pending)}
    made = keys(decision.suggestions)
    assert len({*taken, *made}) == len(taken) + len(made)
    for suggestion in decision.suggestions:
        assert_in_space(asked.space, suggestion.params)
        plain = json.loads(json.dumps([suggestion.params, suggestion.provenance], allow_nan=False))
        assert plain == [suggestion.params, suggestion.provenance]
    return decision


def drawn(space: Space, n: int, *, seed: int = 5) -> list[dict[str, Value]]:
    """`n` random points, by a quicker way than `history` has, and perhaps not distinct."""
    encoder = Encoder(space)
    return [encoder.from_unit(u) for u in np.random.default_rng(seed).random((n, encoder.d))]


def told(
    points: Sequence[Params], values: Sequence[tuple[float, ...] | None], *, first: int = 1
) -> tuple[FinishedTrial, ...]:
    """Finished trials at points, numbered from `first`; None for a failure.

    Values that are not finite stay as given.
    """
    return tuple(
        FinishedTrial(
            number=number,
            params=params,
            state=TrialState.FAILED if y is None else TrialState.COMPLETED,
            values=y,
            failure=FailureKind.USER_ERROR if y is None else None,
        )
        for number, (params, y) in enumerate(zip(points, values, strict=True), start=first)
    )
