"""What an early-stopping rule has to learn of a study: trials that changed, and their reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from ..domain.fidelity import Directive
from ..domain.trial import TrialState
from .tables import measurements, trials


@dataclass(frozen=True, slots=True)
class RuledTrial:
    """What a rule may see of a trial that has changed."""

    id: str
    number: int
    state: TrialState
    bracket: int | None
    to_step: int | None
    directive: Directive | None
    values: Mapping[str, float]
    step: int | None
    rungs: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class ReportedPoint:
    """One measurement of a trial; `id` counts over all of them."""

    id: int
    number: int
    step: int
    values: Mapping[str, float]


_SINCE = (trials.c.study_id == bindparam("b_study_id"), trials.c.change_seq > bindparam("b_seq"))
_CHANGED = (
    select(
        trials.c.id,
        trials.c.number,
        trials.c.state,
        trials.c.bracket,
        trials.c.to_step,
        trials.c.directive,
        trials.c.final_values,
        trials.c.step,
        trials.c.rungs,
    )
    .where(*_SINCE)
    .order_by(trials.c.number)
)
_POINTS = (
    select(measurements.c.id, trials.c.number, measurements.c.step, measurements.c.reported_values)
    .join_from(trials, measurements, measurements.c.trial_id == trials.c.id)
    .where(*_SINCE, measurements.c.id > bindparam("b_id"))
    .order_by(measurements.c.id)
)


def changed(conn: Connection, study_id: str, seq: int) -> list[RuledTrial]:
    """The trials of a study that changed after `seq` in its sequence, by number."""
    rows = conn.execute(_CHANGED, {"b_study_id": study_id, "b_seq": seq})
    return [_ruled(*row) for row in rows]


def points(conn: Connection, study_id: str, seq: int, last_id: int) -> list[ReportedPoint]:
    """Measurements above `last_id` of the trials that changed after `seq`, as they came."""
    rows = conn.execute(_POINTS, {"b_study_id": study_id, "b_seq": seq, "b_id": last_id})
    return [ReportedPoint(*row) for row in rows]


def _ruled(
    trial_id: str,
    number: int,
    state: str,
    bracket: int | None,
    to_step: int | None,
    directive: str | None,
    values: Any,
    step: int | None,
    rungs: Any,
) -> RuledTrial:
    told = None if directive is None else Directive(directive)
    return RuledTrial(
        trial_id, number, TrialState(state), bracket, to_step, told, values, step, rungs
    )


_UNBEGUN = (
    select(trials.c.id)
    .where(
        trials.c.study_id == bindparam("b_study_id"),
        trials.c.state == TrialState.PENDING,
        trials.c.started_at.is_(None),
    )
    .limit(1)
)


def has_unbegun(conn: Connection, study_id: str) -> bool:
    """Whether a pending trial has never been handed out."""
    return conn.execute(_UNBEGUN, {"b_study_id": study_id}).first() is not None
