"""What importance explains, and which trials it learns from."""

from __future__ import annotations

import math

import numpy as np

from app.analysis.explained import Target, explained
from app.analysis.table import Row, TrialTable
from app.domain.space import FloatParameter, Space
from app.domain.study import Direction
from app.domain.trial import TrialState

SPACE = Space(parameters=tuple(FloatParameter(name=n, low=0.0, high=1.0) for n in "abc"))


def table(n: int = 200) -> TrialTable:
    """`a` decides the value, `b` the duration, and with a large `c` a trial fails."""
    rows = []
    for number, (a, b, c) in enumerate(np.random.default_rng(1).random((n, 3)), start=1):
        is_failed = c > 0.93
        rows.append(
            Row(
                number=number,
                id=f"tr_{number}",
                state=TrialState.FAILED if is_failed else TrialState.COMPLETED,
                value=math.nan if is_failed else float(a),
                elapsed_s=float(number),
                duration_s=math.nan if is_failed else float(10 + 5 * b),
                bracket=-1,
                params={"a": float(a), "b": float(b), "c": float(c)},
            )
        )
    stopped = Row(
        number=n + 1,
        id="tr_s",
        state=TrialState.STOPPED,
        value=9.0,
        elapsed_s=0.0,
        bracket=-1,
        params={"a": 0.5, "b": 0.5, "c": 0.5},
    )
    return TrialTable.of([*rows, stopped], change_seq=1, direction=Direction.MINIMIZE)


def test_each_target_has_its_own_first_parameter() -> None:
    made = table()
    n_failed = int(made.is_in(TrialState.FAILED).sum())
    for target, first in zip(Target, "abc", strict=True):
        found = explained(made, SPACE, clip=0.9, seed=1, target=target)
        assert found.columns["param"][0] == first, target
        assert found.more["target"] == target.value
        ended = 201 if target is Target.FAILED else 200 - n_failed
        assert found.n_used == ended
        # Whether a trial failed is one of two values: cut to a quantile there would be one.
        assert found.more["clip"] == (1.0 if target is Target.FAILED else 0.9)
    assert found.excluded == {}


def test_with_fifty_parameters_there_are_pairs_too() -> None:
    space = Space(
        parameters=tuple(FloatParameter(name=f"p{k}", low=0.0, high=1.0) for k in range(60))
    )
    rows = [
        Row(
            number=number,
            id=f"tr_{number}",
            state=TrialState.COMPLETED,
            value=float(x[0] * x[1]),
            elapsed_s=0.0,
            bracket=-1,
            params={f"p{k}": float(x[k]) for k in range(60)},
        )
        for number, x in enumerate(np.random.default_rng(2).random((40, 60)), start=1)
    ]
    made = TrialTable.of(rows, change_seq=1, direction=Direction.MINIMIZE)
    columns = explained(made, space, clip=1.0, seed=1).columns
    n_pairs = sum(pair is not None for pair in columns["pair"])
    assert (len(columns["param"]), n_pairs) == (60, 10)
