"""What a study was at an earlier moment: its results in their order, its points, its definitions.

All of it follows from rows that live as long as their study: nothing here may ever be purged before
it, or its points can no longer be derived again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select

from ..domain.event import REPLAYED, EventKind
from ..domain.space import Value
from ..domain.study import StudyDefinition
from ..domain.trial import OPEN_TRIAL_STATES, FailureKind, Trial, TrialState
from .definitions import definition_of
from .rows import trial_of
from .tables import events, past_definitions, trials
from .trial_select import SELECT_TRIALS

_STUDY: BindParameter[str] = bindparam("b_study_id")
_STATES = (
    select(events.c.trial_id, events.c.kind, events.c.data)
    .where(events.c.study_id == _STUDY, events.c.kind.in_([kind.value for kind in REPLAYED]))
    .order_by(events.c.seq)
)
_POINTS = (
    select(trials.c.id, trials.c.number, trials.c.params)
    .where(trials.c.study_id == _STUDY)
    .order_by(trials.c.number)
)
_AFTER = (
    SELECT_TRIALS.where(trials.c.study_id == _STUDY, trials.c.number > bindparam("b_after"))
    .order_by(trials.c.number)
    .limit(bindparam("b_limit"))
)
_DEFINITIONS = (
    select(past_definitions.c.last_revision, past_definitions.c.definition)
    .where(past_definitions.c.study_id == _STUDY)
    .order_by(past_definitions.c.last_revision)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One change of what a model can know: a trial ended, or one that had failed is tried again.

    The k-th of a study brought its `results_seq` to k.
    """

    trial_id: str
    number: int
    state: TrialState
    values: Mapping[str, float]
    failure: FailureKind | None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedRung:
    """A trial reached a rung: a result too, counted as those are. NaN for a value not finite."""

    trial_id: str
    step: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenPoint:
    """A trial's id, number and point, none of which ever changes."""

    id: str
    number: int
    params: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDefinition:
    """A definition that held up to a revision of its study."""

    last_revision: int
    definition: StudyDefinition


def results(conn: Connection, study_id: str) -> list[Result | NotedRung]:
    """Every result of a study, in the order in which `results_seq` counted them."""
    rows = conn.execute(_STATES, {"b_study_id": study_id})
    found: list[Result | NotedRung] = []
    for row in rows:
        if row.kind == EventKind.TRIAL_RUNG:
            step, value = row.data["step"], float(row.data["value"])
            found.append(NotedRung(trial_id=row.trial_id, step=step, value=value))
        elif _is_result(row.data):
            found.append(_result(row.trial_id, row.data))
    return found


def points(conn: Connection, study_id: str) -> list[TakenPoint]:
    """The points of all trials of a study, by number."""
    rows = conn.execute(_POINTS, {"b_study_id": study_id})
    return [TakenPoint(id=row.id, number=row.number, params=row.params) for row in rows]


def trials_after(conn: Connection, study_id: str, number: int, limit: int) -> list[Trial]:
    """Trials whose number is above `number`, by number, `limit` at most."""
    rows = conn.execute(_AFTER, {"b_study_id": study_id, "b_after": number, "b_limit": limit})
    return [trial_of(row) for row in rows]


def definitions(conn: Connection, study_id: str) -> list[PastDefinition]:
    """Definitions that were changed since, oldest first."""
    rows = conn.execute(_DEFINITIONS, {"b_study_id": study_id})
    return [
        PastDefinition(last_revision=row.last_revision, definition=definition_of(row.definition))
        for row in rows
    ]


def _is_result(data: Mapping[str, Any]) -> bool:
    """Whether an event counted as a result: see `trials.insert` and `trials.move`."""
    if data["state"] == data["previous"]:  # a field changed, such as the note
        return False
    return data["state"] not in OPEN_TRIAL_STATES or data["previous"] == TrialState.FAILED


def _result(trial_id: str, data: Mapping[str, Any]) -> Result:
    failure = data["failure"]
    return Result(
        trial_id=trial_id,
        number=data["number"],
        state=TrialState(data["state"]),
        values={name: float(value) for name, value in data["values"].items()},
        failure=None if failure is None else FailureKind(failure),
        step=data.get("step"),
    )
