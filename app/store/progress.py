"""How a study goes, read from few rows whatever its size: where its best value improved, and the
trials that ended last.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, bindparam, func, or_, select

from ..domain.study import Direction
from ..domain.trial import FailureKind, TrialSource, TrialState
from .tables import trials

_OF_STUDY = trials.c.study_id == bindparam("b_study_id")
_ENDED = (
    select(trials.c.state, trials.c.started_at, trials.c.ended_at, trials.c.failure)
    .where(_OF_STUDY, trials.c.ended_at.is_not(None), trials.c.source != TrialSource.IMPORT)
    .order_by(trials.c.change_seq.desc())
    .limit(bindparam("b_limit"))
)


def _improvements(direction: Direction) -> Select[tuple[int, float]]:
    best = func.min if direction is Direction.MINIMIZE else func.max
    value = trials.c.value
    before = best(value).over(order_by=trials.c.number, rows=(None, -1)).label("before")
    walk = (
        select(trials.c.number, value, before)
        .where(_OF_STUDY, value.is_not(None), trials.c.state == TrialState.COMPLETED)
        .subquery()
    )
    better = (
        walk.c.value < walk.c.before
        if direction is Direction.MINIMIZE
        else walk.c.value > walk.c.before
    )
    return (
        select(walk.c.number, walk.c.value)
        .where(or_(walk.c.before.is_(None), better))
        .order_by(walk.c.number.desc())
        .limit(bindparam("b_limit"))
    )


_IMPROVEMENTS = {direction: _improvements(direction) for direction in Direction}


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedTrial:
    """How a trial ended, and when."""

    state: TrialState
    started_at: datetime | None
    ended_at: datetime
    failure_kind: FailureKind | None


def improvements(
    conn: Connection, study_id: str, direction: Direction, limit: int
) -> tuple[tuple[int, float], ...]:
    """Number and value of the completed trials that were better than all before, by number; the
    last `limit` of them.
    """
    values = {"b_study_id": study_id, "b_limit": limit}
    rows = conn.execute(_IMPROVEMENTS[direction], values).all()
    return tuple((row.number, row.value) for row in reversed(rows))


def last_ended(conn: Connection, study_id: str, limit: int) -> list[EndedTrial]:
    """The study's own trials that ended last, latest first; imported ones are left out."""
    rows = conn.execute(_ENDED, {"b_study_id": study_id, "b_limit": limit})
    return [
        EndedTrial(
            state=TrialState(row.state),
            started_at=row.started_at,
            ended_at=row.ended_at,
            failure_kind=FailureKind(row.failure["kind"]) if row.failure else None,
        )
        for row in rows
    ]
