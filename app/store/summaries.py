"""What a list of studies shows of each: trials that ended last, and how the best value came."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from ..domain.study import Direction, Study
from ..domain.trial import TrialSource, TrialState
from .tables import trials
from .trial_lists import HAS_VALUE

_ENDED = (
    select(trials.c.state, trials.c.started_at, trials.c.ended_at, trials.c.failure)
    .where(
        trials.c.study_id == bindparam("b_study_id"),
        trials.c.ended_at.is_not(None),
        trials.c.source != TrialSource.IMPORT,
    )
    .order_by(trials.c.change_seq.desc())
    .limit(bindparam("b_limit"))
)
_BEFORE = select(trials.c.number, trials.c.value).where(
    *HAS_VALUE, trials.c.number < bindparam("b_number")
)
_BEST_BEFORE = {
    Direction.MINIMIZE: _BEFORE.order_by(trials.c.value, trials.c.number).limit(1),
    Direction.MAXIMIZE: _BEFORE.order_by(trials.c.value.desc(), trials.c.number).limit(1),
}
_BY_NUMBER = (
    select(trials.c.number, trials.c.value, trials.c.final_values)
    .where(*HAS_VALUE)
    .order_by(trials.c.number)
)
_LAST_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTrial:
    """A trial that has ended; `failure` names the kind of one that failed."""

    state: TrialState
    started_at: datetime | None
    ended_at: datetime
    failure: str | None


def ended_last(conn: Connection, study_id: str, limit: int) -> list[EndedTrial]:
    """The trials of the study's own that ended last, latest first; imported ones are not."""
    rows = conn.execute(_ENDED, {"b_study_id": study_id, "b_limit": limit})
    found = [
        EndedTrial(
            state=TrialState(row.state),
            started_at=row.started_at,
            ended_at=row.ended_at,
            failure=row.failure["kind"] if row.state == TrialState.FAILED else None,
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: one.ended_at, reverse=True)


def improvements(
    conn: Connection, study_id: str, direction: Direction, most: int
) -> list[tuple[int, float]]:
    """Number and value of the last trials that were better than all before them, by number.

    From the best one back, each found through the index of values: it is the first there with a
    lower number.
    """
    found: list[tuple[int, float]] = []
    statement, number = _BEST_BEFORE[direction], _LAST_NUMBER
    while len(found) < most:
        values = {"b_study_id": study_id, "b_number": number}
        row = conn.execute(statement, values).first()
        if row is None:
            break
        number = row.number
        found.append((row.number, row.value))
    return found[::-1]


def feasible_improvements(
    conn: Connection, study: Study, direction: Direction, most: int
) -> list[tuple[int, float]]:
    """The same of a study with constraints, where what breaks one is no best: by a walk."""
    found: list[tuple[int, float]] = []
    sign = 1.0 if direction is Direction.MINIMIZE else -1.0
    for number, value, values in conn.execute(_BY_NUMBER, {"b_study_id": study.id}):
        is_better = not found or sign * value < sign * found[-1][1]
        if is_better and study.definition.is_feasible(values):
            found.append((number, value))
    return found[-most:]
