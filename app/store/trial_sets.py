"""Sets of a study's trials that use cases work on as a whole; they are read in full."""

from __future__ import annotations

import heapq
from collections.abc import Container, Sequence

from sqlalchemy import JSON, Connection, bindparam, cast, func, literal_column, or_, select, true

from ..domain.trial import OPEN_TRIAL_STATES, Trial, TrialSource, TrialState
from .rows import trial_of
from .tables import trials
from .trial_select import SELECT_TRIALS

_OF_STUDY = SELECT_TRIALS.where(trials.c.study_id == bindparam("b_study_id"))
_OPEN = _OF_STUDY.where(
    trials.c.state.in_(sorted(str(state) for state in OPEN_TRIAL_STATES))
).order_by(trials.c.number)
_FROM = _OF_STUDY.where(trials.c.number >= bindparam("b_number")).order_by(trials.c.number)
_NUMBERED = _OF_STUDY.where(trials.c.number.in_(bindparam("b_numbers", expanding=True)))
_ENDED_AS = _OF_STUDY.where(trials.c.state == bindparam("b_state"))
_LAST = _ENDED_AS.order_by(trials.c.ended_at.desc()).limit(bindparam("b_limit"))
_BEGUN_TO_END = _OF_STUDY.where(
    trials.c.source != TrialSource.IMPORT,
    or_(
        trials.c.failure.is_not(None),
        trials.c.state.in_([TrialState.COMPLETED, TrialState.STOPPED, TrialState.INFEASIBLE]),
    ),
).limit(bindparam("b_limit"))
_EQUAL = (
    _OF_STUDY.where(
        trials.c.equivalent == bindparam("b_equivalent"),
        trials.c.state == literal_column("'completed'"),
    )
    .order_by(trials.c.number)
    .limit(1)
)
_BY_NUMBER = _ENDED_AS.order_by(trials.c.number)
_ITEM = func.json_each(trials.c.final_values).table_valued("key", name="item")
_IS_OF_STUDY = trials.c.study_id == bindparam("b_study_id")
_REPORTED = {
    "sqlite": select(_ITEM.c.key).select_from(trials).join(_ITEM, true()),
    "postgresql": select(func.json_object_keys(cast(trials.c.final_values, JSON))),
}


def open_of(conn: Connection, study_id: str) -> list[Trial]:
    """The trials that have not ended, by number."""
    return [trial_of(row) for row in conn.execute(_OPEN, {"b_study_id": study_id})]


def numbered_from(conn: Connection, study_id: str, number: int) -> list[Trial]:
    """The trials with this number or a higher one, by number."""
    rows = conn.execute(_FROM, {"b_study_id": study_id, "b_number": number})
    return [trial_of(row) for row in rows]


def numbered(conn: Connection, study_id: str, numbers: Sequence[int]) -> list[Trial]:
    """The trials with these numbers, in their order; numbers that there are not are left out."""
    rows = conn.execute(_NUMBERED, {"b_study_id": study_id, "b_numbers": list(numbers)})
    found = {row.number: trial_of(row) for row in rows}
    return [found[number] for number in numbers if number in found]


def completed_of(conn: Connection, study_id: str) -> list[Trial]:
    """The completed trials, by number."""
    values = {"b_study_id": study_id, "b_state": TrialState.COMPLETED}
    return [trial_of(row) for row in conn.execute(_BY_NUMBER, values)]


def completed_equal(conn: Connection, study_id: str, equivalent: str) -> Trial | None:
    """The first completed trial whose result stands for a canonical point, by its digest."""
    values = {"b_study_id": study_id, "b_equivalent": equivalent}
    row = conn.execute(_EQUAL, values).one_or_none()
    return None if row is None else trial_of(row)


def last_failed(conn: Connection, study_id: str, limit: int) -> list[Trial]:
    """The trials that failed last, latest first."""
    values = {"b_study_id": study_id, "b_state": TrialState.FAILED, "b_limit": limit}
    return [trial_of(row) for row in conn.execute(_LAST, values)]


def with_an_outcome(conn: Connection, study_id: str, limit: int) -> list[Trial]:
    """Trials of this study's own that ended well or of which an attempt has failed, `limit` at
    most, in no order.
    """
    values = {"b_study_id": study_id, "b_limit": limit}
    return [trial_of(row) for row in conn.execute(_BEGUN_TO_END, values)]


def reported_metrics(
    conn: Connection, study_id: str, declared: Container[str], limit: int
) -> list[str]:
    """Names of the metrics beside those declared of which some trial has a final value, in the
    order of their code points, the first `limit` of them.
    """
    statement = _REPORTED[conn.dialect.name].where(_IS_OF_STUDY).distinct()
    names = conn.execute(statement, {"b_study_id": study_id}).scalars()
    return heapq.nsmallest(limit, (name for name in names if name not in declared))
