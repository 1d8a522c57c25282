"""What a suggester may have to learn of a study: the study, and its trials that have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select

from ..domain.study import Study
from ..domain.trial import FailureKind, TrialState
from ..errors import NotFound
from . import studies as study_rows
from .row_types import StudyRow
from .rows import failure_of, study_of
from .tables import studies, trials


@dataclass(frozen=True, slots=True)
class ChangedTrial:
    """What a suggester may see of a trial that has changed."""

    id: str
    number: int
    state: TrialState
    params: Mapping[str, Any]
    values: Mapping[str, float]
    failure: FailureKind | None
    rungs: tuple[tuple[int, float], ...]
    step: int | None


_COLUMNS = (
    trials.c.id,
    trials.c.number,
    trials.c.state,
    trials.c.params,
    trials.c.final_values,
    trials.c.failure,
    trials.c.rungs,
    trials.c.step,
)
_ALL = (
    select(*_COLUMNS).where(trials.c.study_id == bindparam("b_study_id")).order_by(trials.c.number)
)
_SINCE = (
    select(*studies.c, *_COLUMNS)
    .join_from(
        studies,
        trials,
        and_(trials.c.study_id == studies.c.id, trials.c.change_seq > bindparam("b_seq")),
        isouter=True,
    )
    .where(studies.c.id == bindparam("b_study_id"), studies.c.deleted_at.is_(None))
    .order_by(trials.c.number)
)
_STUDY_END = len(studies.c)


def since(conn: Connection, study_id: str, seq: int) -> tuple[Study, list[ChangedTrial]]:
    """A study and its trials that changed after `seq`, by number; all of them with a seq below 0.

    Raises:
        NotFound: there is no such study.
    """
    if seq < 0:  # the study beside each trial would be the most of it
        study = study_rows.get(conn, study_id)
        rows = conn.execute(_ALL, {"b_study_id": study_id})
        return study, [_changed(row) for row in rows]
    found = conn.execute(_SINCE, {"b_study_id": study_id, "b_seq": seq}).all()
    if not found:
        raise NotFound(f"there is no study {study_id}")
    study = study_of(StudyRow._make(found[0][:_STUDY_END]))
    return study, [_changed(row[_STUDY_END:]) for row in found if row[_STUDY_END] is not None]


def _changed(row: Sequence[Any]) -> ChangedTrial:
    trial_id, number, state, params, values, raw, rungs, step = row
    failure = failure_of(raw)
    return ChangedTrial(
        trial_id,
        number,
        TrialState(state),
        params,
        values,
        failure.kind if failure else None,
        rungs,
        step,
    )
