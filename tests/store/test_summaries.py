"""How the best value came, found through the index, against a walk over all trials."""

from __future__ import annotations

import numpy as np
import pytest

from app.domain.study import Direction
from app.domain.trial import TrialState
from app.store import summaries
from app.store.engine import Store
from app.store.trials import Finished

from . import making


@pytest.mark.parametrize("direction", list(Direction))
def test_the_improvements_are_those_of_a_walk(store: Store, direction: Direction) -> None:
    made = making.study(store)
    values = np.round(np.random.default_rng(3).random(60), 1).tolist()
    for value in [*values, None]:
        making.finished(store, made.id, value)
    sign = 1 if direction is Direction.MINIMIZE else -1
    walked: list[tuple[int, float]] = []
    for number, value in enumerate(values, start=1):
        if not walked or sign * value < sign * walked[-1][1]:
            walked.append((number, value))

    def found(most: int) -> list[tuple[int, float]]:
        return store.read(lambda conn: summaries.improvements(conn, made.id, direction, most))

    assert found(32) == walked
    assert found(2) == walked[-2:]


def test_those_that_ended_last_come_first(store: Store) -> None:
    made = making.study(store)
    for value in (1.0, 2.0, 3.0):
        ended = Finished(values={"loss": value})
        making.trial(store, made.id, state=TrialState.COMPLETED, ended=ended)
    making.trial(store, made.id)
    making.finished(store, made.id, 4.0)  # an imported one
    found = store.read(lambda conn: summaries.ended_last(conn, made.id, 2))
    assert len(store.read(lambda conn: summaries.ended_last(conn, made.id, 9))) == 3
    assert len(found) == 2
    assert found[0].ended_at >= found[1].ended_at
    assert [one.failure for one in found] == [None, None]
