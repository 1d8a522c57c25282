"""Checkpoints: the rows that say which content is whole, and of which trial it is the last.

The content lies elsewhere (`app/blobs`). A row is there before its content and is marked deleted
before the content goes, so a crash leaves at most something to clear away.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy import insert as insert_into

from ..domain.checkpoint import Checkpoint, CheckpointState
from ..domain.ids import new_id
from ..domain.lease import Lease
from ..domain.trial import OPEN_TRIAL_STATES, Trial
from ..errors import NotFound
from . import trials as trial_rows
from .locked import LockedStudy
from .rows import AnyRow
from .tables import checkpoints as table
from .tables import studies, trials
from .transaction import Tx
from .types import to_micros

BATCH = 500
"""How many are cleared away in one transaction."""

_ALL = select(table)
_BY_ID = _ALL.where(table.c.id == bindparam("b_id"))
_SAME = _ALL.where(
    table.c.lease_id == bindparam("b_lease_id"),
    table.c.step == bindparam("b_step"),
    table.c.sha256 == bindparam("b_sha256"),
    table.c.state != CheckpointState.DELETED,
)
_KEPT = table.c.state != CheckpointState.DELETED
_USED = select(func.coalesce(func.sum(table.c.size_bytes), 0)).where(_KEPT)
_USED_BY_STUDY = _USED.where(table.c.study_id == bindparam("b_study_id"))
_INSERT = insert_into(table)
_COMMIT = (
    update(table)
    .where(table.c.id == bindparam("b_id"), table.c.state == CheckpointState.UPLOADING)
    .values(state=CheckpointState.COMMITTED, committed_at=bindparam("b_now"))
)
_NOW: BindParameter[Any] = bindparam("b_now")
_FORGET = delete(table).where(
    table.c.id.in_(bindparam("b_ids", expanding=True)), table.c.state == CheckpointState.DELETED
)
_KNOWN = select(table.c.id).where(table.c.id.in_(bindparam("b_ids", expanding=True)))
_DELETED = select(table.c.id).where(table.c.state == CheckpointState.DELETED).limit(BATCH)


def insert(
    study: LockedStudy, trial: Trial, lease: Lease, *, step: int, size_bytes: int, sha256: str
) -> Checkpoint:
    """Adds a checkpoint that is about to be uploaded."""
    now = study.tx.now
    made = Checkpoint(
        id=new_id("ck", now_ms=to_micros(now) // 1000),
        trial_id=trial.id,
        study_id=study.id,
        lease_id=lease.id,
        step=step,
        size_bytes=size_bytes,
        sha256=sha256,
        state=CheckpointState.UPLOADING,
        created_at=now,
    )
    study.tx.conn.execute(_INSERT, {name: getattr(made, name) for name in _FIELDS})
    return made


_FIELDS = tuple(Checkpoint.__dataclass_fields__)


def get(conn: Connection, checkpoint_id: str) -> Checkpoint:
    """A checkpoint by its id.

    Raises:
        NotFound: there is none, or no longer.
    """
    row = conn.execute(_BY_ID, {"b_id": checkpoint_id}).one_or_none()
    if row is None or row.state == CheckpointState.DELETED:
        raise NotFound(f"there is no checkpoint {checkpoint_id}")
    return _checkpoint(row)


def last_of(conn: Connection, trial: Trial) -> Checkpoint | None:
    """The committed checkpoint that the trial's next attempt goes on from, or None."""
    if trial.checkpoint_id is None:
        return None
    row = conn.execute(_BY_ID, {"b_id": trial.checkpoint_id}).one_or_none()
    return None if row is None or row.state != CheckpointState.COMMITTED else _checkpoint(row)


def same(conn: Connection, lease_id: str, step: int, sha256: str) -> Checkpoint | None:
    """The checkpoint that the same call made before, or None."""
    values = {"b_lease_id": lease_id, "b_step": step, "b_sha256": sha256}
    row = conn.execute(_SAME, values).first()
    return None if row is None else _checkpoint(row)


def used_bytes(conn: Connection, study_id: str) -> tuple[int, int]:
    """Announced sizes in bytes of what is kept: of a study, and of all."""
    of_study = conn.execute(_USED_BY_STUDY, {"b_study_id": study_id}).scalar_one()
    return int(of_study), int(conn.execute(_USED).scalar_one())


def commit(study: LockedStudy, trial: Trial, checkpoint: Checkpoint) -> Checkpoint:
    """Makes a checkpoint, its content whole, the one that the trial goes on from.

    Raises:
        NotFound: it was cleared away meanwhile.
    """
    conn = study.tx.conn
    if conn.execute(_COMMIT, {"b_id": checkpoint.id, "b_now": study.tx.now}).rowcount != 1:
        raise NotFound(f"there is no checkpoint {checkpoint.id} that is being uploaded")
    trial_rows.update(study, trial, checkpoint_id=checkpoint.id)
    return get(conn, checkpoint.id)


def give_up_others(
    study: LockedStudy, checkpoint: Checkpoint, states: Sequence[CheckpointState]
) -> list[str]:
    """Gives up a trial's other checkpoints in some states; their ids, whose content may go after
    the commit.
    """
    statement = (
        update(table)
        .where(
            table.c.trial_id == checkpoint.trial_id,
            table.c.id != checkpoint.id,
            table.c.state.in_([state.value for state in states]),
        )
        .values(state=CheckpointState.DELETED, deleted_at=study.tx.now)
        .returning(table.c.id)
    )
    return list(study.tx.conn.execute(statement).scalars())


def needless(
    conn: Connection, *, ended_before: datetime, uploads_before: datetime, now: datetime
) -> list[str]:
    """Ids of checkpoints that nothing will go on from, `BATCH` at most.

    Args:
        ended_before: the checkpoints of trials that ended before are needless.
        uploads_before: and so are uploads from before that were never committed.
        now: deleted studies whose time to be restored is over by now lose theirs.
    """
    has_ended = trials.c.state.not_in([state.value for state in OPEN_TRIAL_STATES])
    is_unused: ColumnElement[bool] = or_(
        and_(has_ended, trials.c.ended_at <= bindparam("b_ended_before")),
        and_(
            table.c.state == CheckpointState.UPLOADING,
            or_(table.c.created_at <= bindparam("b_uploads_before"), has_ended),
        ),
        and_(
            table.c.state == CheckpointState.COMMITTED,
            trials.c.checkpoint_id.is_distinct_from(table.c.id),
        ),
        studies.c.purge_at <= _NOW,
    )
    statement = (
        select(table.c.id)
        .join_from(table, trials, trials.c.id == table.c.trial_id)
        .join(studies, studies.c.id == table.c.study_id)
        .where(_KEPT, is_unused)
        .limit(BATCH)
    )
    values = {"b_ended_before": ended_before, "b_uploads_before": uploads_before, "b_now": now}
    return list(conn.execute(statement, values).scalars())


def mark_deleted(tx: Tx, ids: Sequence[str]) -> int:
    """Gives checkpoints up, unless a trial has come to need one since; their content may go then.

    Returns:
        How many.
    """
    is_needed = (
        select(trials.c.id)
        .where(
            trials.c.checkpoint_id == table.c.id,
            trials.c.state.in_([state.value for state in OPEN_TRIAL_STATES]),
            ~_is_purged(),
        )
        .exists()
    )
    statement = (
        update(table)
        .where(table.c.id.in_(ids), _KEPT, ~is_needed)
        .values(state=CheckpointState.DELETED, deleted_at=tx.now)
    )
    return tx.conn.execute(statement, {"b_now": tx.now}).rowcount


def _is_purged() -> ColumnElement[bool]:
    return (
        select(studies.c.id)
        .where(studies.c.id == trials.c.study_id, studies.c.purge_at <= _NOW)
        .exists()
    )


def deleted(conn: Connection) -> list[str]:
    """Ids of checkpoints that were given up, `BATCH` at most; their content may still be there."""
    return list(conn.execute(_DELETED).scalars())


def forget(tx: Tx, ids: Sequence[str]) -> None:
    """Removes the rows of checkpoints whose content is gone."""
    tx.conn.execute(_FORGET, {"b_ids": list(ids)})


def known(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those of the ids that have a row."""
    return set(conn.execute(_KNOWN, {"b_ids": list(ids)}).scalars())


def _checkpoint(row: AnyRow) -> Checkpoint:
    values = {name: getattr(row, name) for name in _FIELDS}
    return Checkpoint(**{**values, "state": CheckpointState(row.state)})
