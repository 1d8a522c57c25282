"""Trials: creation and every change, each one guarded statement under the lock of the study.

Whoever calls holds the study (`studies.lock`); counters and events go into it, and both reach the
database with the same commit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Update, bindparam
from sqlalchemy import update as update_of

from ..domain.copies import with_fields
from ..domain.event import EventKind
from ..domain.ids import new_id
from ..domain.lease import Lease
from ..domain.space import Params
from ..domain.study import OPEN_STUDY_STATES
from ..domain.trial import (
    OPEN_TRIAL_STATES,
    PLACE_FREEING_STATES,
    TRIAL_TRANSITIONS,
    Failure,
    Trial,
    TrialSource,
    TrialState,
    tells_of_point,
)
from ..errors import NotFound
from . import measurements
from .locked import LockedStudy, illegal
from .measurements import Point
from .rows import trial_columns, trial_of
from .tables import trials
from .trial_lists import (
    TrialFilter,
    best,
    changed_since,
    finished_values,
    newest_provenances,
    page,
)
from .trial_select import SELECT_TRIALS, first_metric
from .types import to_micros

__all__ = [
    "Finished",
    "TrialFilter",
    "best",
    "changed_since",
    "finished_values",
    "get",
    "get_many",
    "insert",
    "insert_running",
    "mark",
    "move",
    "new_trial_id",
    "newest_provenances",
    "page",
    "update",
]

_KEPT_STATEMENTS = 256
_CHUNK = 500

_AHEAD, _IN_TURN = 0, 1
"""Ranks in the queue: points of the user's and trials that come back run before suggested ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How an imported trial ended. Times are those of its real run; None: now."""

    values: Mapping[str, float] = field(default_factory=dict)
    step: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    failure: Failure | None = None
    measurements: Sequence[Point] = ()


_BY_ID = SELECT_TRIALS.where(trials.c.id == bindparam("b_id"))
_BY_IDS = SELECT_TRIALS.where(trials.c.id.in_(bindparam("b_ids", expanding=True)))


def insert(
    study: LockedStudy,
    *,
    params: Params,
    source: TrialSource,
    state: TrialState = TrialState.PENDING,
    provenance: Mapping[str, Any] = MappingProxyType({}),
    ended: Finished | None = None,
    requested: Mapping[str, Any] | None = None,
) -> Trial:
    """Adds a trial under the study's next number and emits its `trial.state`.

    Args:
        params: the active parameters.
        state: "pending", or the state in which an imported trial ended.
        ended: how it ended, with an ended `state`.
        requested: what the user asked for, where `params` were completed; kept in the provenance.
    """
    if requested is not None:
        provenance = {**provenance, "requested": dict(requested)}
    trial = _new_trial(study, params, source, state, provenance, new_trial_id(study))
    if state not in OPEN_TRIAL_STATES:
        trial = _ended_trial(trial, ended or Finished(), study.tx.now)
    study.tx.insert(trials, [_new_row(study, trial, ended)])
    if ended is not None and ended.measurements:
        measurements.store(study, trial.id, None, 0, ended.measurements)
    study.count(state, 1)
    study.add(
        next_number=1,
        places=_place(trial),
        results_seq=int(state not in OPEN_TRIAL_STATES),
    )
    _emit(study, trial, None)
    return trial


def insert_running(
    study: LockedStudy,
    lease: Lease,
    *,
    params: Params,
    source: TrialSource,
    provenance: Mapping[str, Any],
    bracket: int | None = None,
    to_step: int | None = None,
) -> Trial:
    """Adds a trial that runs from the start, under a lease of its id that the caller stores.

    Watchers see what they see of a trial that was pending first: both of its `trial.state`.
    """
    pending = _new_trial(study, params, source, TrialState.PENDING, provenance, lease.trial_id)
    _emit(study, pending, None)
    running = with_fields(
        pending,
        state=TrialState.RUNNING,
        lease_id=lease.id,
        lease_expires_at=lease.expires_at,
        worker_id=lease.worker_id,
        client_id=lease.client_id,
        started_at=study.tx.now,
        bracket=bracket,
        to_step=to_step,
        change_seq=study.next_seq,
        revision=pending.revision + 1,
    )
    study.tx.insert(trials, [_new_row(study, running, None)])
    study.count(TrialState.RUNNING, 1)
    study.add(next_number=1, places=_place(running))
    _note_start(study)
    _emit(study, running, TrialState.PENDING)
    return running


def new_trial_id(study: LockedStudy) -> str:
    """The id of a trial that is made now."""
    return new_id("tr", now_ms=to_micros(study.tx.now) // 1000)


def _new_trial(
    study: LockedStudy,
    params: Params,
    source: TrialSource,
    state: TrialState,
    provenance: Mapping[str, Any],
    trial_id: str,
) -> Trial:
    now = study.tx.now
    return Trial(
        id=trial_id,
        study_id=study.id,
        number=study.next_number,
        state=state,
        source=source,
        params=dict(params),
        provenance=dict(provenance),
        created_at=now,
        updated_at=now,
        change_seq=study.next_seq,
    )


def _ended_trial(trial: Trial, ended: Finished, now: datetime) -> Trial:
    return with_fields(
        trial,
        values={name: float(value) for name, value in ended.values.items()},
        step=ended.step,
        started_at=ended.started_at,
        ended_at=ended.ended_at or now,
        failure=ended.failure,
    )


def _new_row(study: LockedStudy, trial: Trial, ended: Finished | None) -> dict[str, Any]:
    fields = {name: getattr(trial, name) for name in _FIELDS}
    points = ended.measurements if ended is not None else ()
    return {
        **trial_columns(fields, first_metric(study.definition).name),
        "queue_rank": _AHEAD if trial.source is TrialSource.USER else _IN_TURN,
        "n_measurements": len(points),
        "last_step": points[-1].step if points else None,
        "last_values": points[-1].values if points else None,
    }


_FIELDS = tuple(Trial.__dataclass_fields__)


def move(
    study: LockedStudy, trial: Trial, to: TrialState, *, rank: int = _AHEAD, **changes: Any
) -> Trial:
    """Changes a trial's state, if it still is in the state and under the lease of `trial`.

    Counts it in the study, gives its place back or takes one again, and emits `trial.state`.

    Args:
        rank: its place in the queue when it becomes pending; lower ones first.
        changes: further fields of the trial, e.g. `lease_id`, `values`, `failure`.

    Returns:
        The trial as it is now.

    Raises:
        Conflict: illegal-transition, with `current_state` and `allowed`; nothing was changed.
    """
    allowed = TRIAL_TRANSITIONS[trial.state]
    if to not in allowed:
        raise illegal("trial", trial.id, trial.state, to, allowed, study_id=trial.study_id)
    now, has_ended = study.tx.now, to not in OPEN_TRIAL_STATES
    changes.setdefault("ended_at", now if has_ended else None)
    if to is TrialState.RUNNING:
        changes.setdefault("started_at", trial.started_at or now)
    extra = {"queue_rank": rank} if to is TrialState.PENDING else {}
    changes |= {"state": to, "revision": trial.revision + 1}
    moved = _change(study, trial, to, changes, extra)
    study.count(trial.state, -1)
    study.count(to, 1)
    is_result = has_ended or trial.state is TrialState.FAILED
    study.add(places=_place(moved) - _place(trial), results_seq=int(is_result))
    if to is TrialState.RUNNING:
        _note_start(study)
    if has_ended and study.study.exhausted:
        _open_point(study, moved)
    _emit(study, moved, trial.state)
    return moved


def _note_start(study: LockedStudy) -> None:
    if study.study.started_at is None:
        study.set(started_at=study.tx.now)


def _open_point(study: LockedStudy, trial: Trial) -> None:
    """A suggester that had no point left has one again: the point of a trial that told nothing."""
    failure = trial.failure.kind if trial.failure else None
    is_open = study.study.state in OPEN_STUDY_STATES
    if is_open and not tells_of_point(trial.state, failure):
        study.set(exhausted=False)


def update(study: LockedStudy, trial: Trial, **changes: Any) -> Trial:
    """Changes fields of a trial but not its state, if it still is in that state and lease.

    Emits a `trial.state` whose `previous` is the same state. A new note counts up the revision.

    Raises:
        Conflict: illegal-transition, when the trial has moved on; nothing was changed.
    """
    if "note" in changes:
        changes.setdefault("revision", trial.revision + 1)
    updated = _change(study, trial, trial.state, changes, {})
    _emit(study, updated, trial.state)
    return updated


def mark(study: LockedStudy, trial: Trial, **changes: Any) -> Trial:
    """Changes what the early-stopping rule has to say of a trial, if it still is in its state and
    lease. The caller emits the event.

    Raises:
        Conflict: illegal-transition, when the trial has moved on; nothing was changed.
    """
    return _change(study, trial, trial.state, changes, {})


def _change(
    study: LockedStudy,
    trial: Trial,
    to: TrialState,
    changes: dict[str, Any],
    extra: Mapping[str, Any],
) -> Trial:
    """The one guarded statement behind every change; `extra` are columns that are no fields."""
    changes = {**changes, "updated_at": study.tx.now, "change_seq": study.next_seq}
    columns = {**trial_columns(changes, first_metric(study.definition).name), **extra}
    values = {f"b_to_{name}": value for name, value in columns.items()}
    guards = {"b_id": trial.id, "b_state": trial.state, "b_lease_id": trial.lease_id}

    def moved_on() -> Exception:
        current = get(study.tx.conn, trial.id).state
        allowed = TRIAL_TRANSITIONS[current]
        return illegal("trial", trial.id, current, to, allowed, study_id=trial.study_id)

    study.tx.update(_update(frozenset(columns)), {**values, **guards}, moved_on)
    return with_fields(trial, **changes)


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _update(columns: frozenset[str]) -> Update:
    return (
        update_of(trials)
        .where(
            trials.c.id == bindparam("b_id"),
            trials.c.state == bindparam("b_state"),
            trials.c.lease_id.is_not_distinct_from(bindparam("b_lease_id")),
        )
        .values({name: bindparam(f"b_to_{name}") for name in sorted(columns)})
    )


def _place(trial: Trial) -> int:
    is_held = trial.source is not TrialSource.IMPORT and trial.state not in PLACE_FREEING_STATES
    return int(is_held)


def _emit(study: LockedStudy, trial: Trial, previous: TrialState | None) -> None:
    """Emits what a page needs to show the trial in place: under 1 kB with a few metrics."""
    study.emit(
        EventKind.TRIAL_STATE,
        trial_id=trial.id,
        data={
            "number": trial.number,
            "state": trial.state.value,
            "previous": previous.value if previous else None,
            "source": trial.source.value,
            "values": dict(trial.values),
            "step": trial.step,
            "failure": trial.failure.kind.value if trial.failure else None,
            "worker_id": trial.worker_id,
            "client_id": trial.client_id,
            "started_at": _shown(trial.started_at),
            "ended_at": _shown(trial.ended_at),
        },
    )


def _shown(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def get(conn: Connection, trial_id: str) -> Trial:
    """A trial by its id.

    Raises:
        NotFound: there is none.
    """
    row = conn.execute(_BY_ID, {"b_id": trial_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no trial {trial_id}")
    return trial_of(row)


def get_many(conn: Connection, ids: Sequence[str]) -> list[Trial]:
    """The trials of these ids, in their order; ids that there are not are left out."""
    found: dict[str, Trial] = {}
    for start in range(0, len(ids), _CHUNK):
        rows = conn.execute(_BY_IDS, {"b_ids": list(ids[start : start + _CHUNK])})
        found |= {row.id: trial_of(row) for row in rows}
    return [found[one] for one in ids if one in found]
