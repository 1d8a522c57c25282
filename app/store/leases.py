"""Leases: the right to one attempt at a trial. Each change is one statement with its guard."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Float,
    Update,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)

from ..domain.copies import with_fields
from ..domain.ids import new_id
from ..domain.lease import Lease, LeaseEnd
from ..domain.study import Study
from ..domain.trial import Failure, Trial
from ..errors import NotFound, StaleLease
from .locked import LockedStudy
from .row_types import StudyRow
from .rows import failure_json, lease_of, study_of
from .tables import leases, studies, trials
from .transaction import Tx
from .types import to_micros

_ALL = select(leases)
_BY_ID = _ALL.where(leases.c.id == bindparam("b_id"))
_OF_TRIAL = _ALL.where(leases.c.trial_id == bindparam("b_id")).order_by(
    leases.c.acquired_at, leases.c.id
)
_ACTIVE = _ALL.where(leases.c.ended_at.is_(None)).order_by(leases.c.acquired_at, leases.c.id)
_OF_WORKER = _ACTIVE.where(leases.c.worker_id == bindparam("b_id"))
_NAMED_OF_WORKER = (
    _OF_WORKER.add_columns(trials.c.number, studies.c.name.label("study_name"))
    .join(trials, trials.c.id == leases.c.trial_id)
    .join(studies, studies.c.id == leases.c.study_id)
)
_CLIENT = (
    leases.c.client_id == bindparam("b_client_id"),
    leases.c.token_id.is_not_distinct_from(bindparam("b_token_id")),
)
# Two lookups, each by an index of its own: the planners take an OR for a walk through all trials.
_MAY_BE_OPEN = union_all(
    select(leases.c.id).where(
        leases.c.study_id == bindparam("b_study_id"), *_CLIENT, leases.c.ended_at.is_(None)
    ),
    select(trials.c.lease_id).where(
        trials.c.study_id == bindparam("b_study_id"),
        trials.c.reserved_for == bindparam("b_client_id"),
        trials.c.state == literal_column("'pending'"),
    ),
)
_OPEN_OF_CLIENT = (
    _ALL.join_from(leases, trials, trials.c.id == leases.c.trial_id)
    .where(
        leases.c.id.in_(_MAY_BE_OPEN),
        trials.c.lease_id == leases.c.id,
        *_CLIENT,
        or_(leases.c.ended_at.is_(None), leases.c.outcome == LeaseEnd.EXPIRED),
    )
    .order_by(trials.c.number)
)
_EXPIRED = (
    _ALL.where(leases.c.ended_at.is_(None), leases.c.expires_at < bindparam("b_now"))
    .order_by(leases.c.expires_at, leases.c.id)
    .limit(bindparam("b_limit"))
)
_HELD_SINCE = (
    _ALL.where(
        leases.c.study_id == bindparam("b_study_id"),
        leases.c.ended_at.is_(None),
        leases.c.acquired_at <= bindparam("b_acquired_at"),
    )
    .order_by(leases.c.acquired_at, leases.c.id)
    .limit(bindparam("b_limit"))
)

_SEQ = bindparam("b_seq", type_=BigInteger)
_STEP = bindparam("b_step", type_=BigInteger)
_OPEN_ONE = update(leases).where(leases.c.id == bindparam("b_id"), leases.c.ended_at.is_(None))
_NEW_TIMES: dict[str, Any] = {
    "renewed_at": bindparam("b_now"),
    "expires_at": bindparam("b_expires_at"),
}
_RENEW: Update = _OPEN_ONE.values(
    **_NEW_TIMES,
    # Neither number ever goes back, whatever the writer knew of the lease.
    last_seq=case((leases.c.last_seq < _SEQ, _SEQ), else_=leases.c.last_seq),
    last_step=case(
        (or_(leases.c.last_step.is_(None), leases.c.last_step < _STEP), _STEP),
        else_=leases.c.last_step,
    ),
)
_EXTEND: Update = _OPEN_ONE.values(to_step=bindparam("b_to_step", type_=BigInteger))
_BEAT: Update = _OPEN_ONE.values(**_NEW_TIMES)
_USE: Update = _OPEN_ONE.values(
    memory_bytes=func.coalesce(bindparam("b_memory", type_=BigInteger), leases.c.memory_bytes),
    utilisation=func.coalesce(bindparam("b_utilisation", type_=Float), leases.c.utilisation),
)
_FINISH: Update = _OPEN_ONE.values(
    ended_at=bindparam("b_now"),
    outcome=bindparam("b_outcome"),
    failure=bindparam("b_failure"),
    answer=bindparam("b_answer"),
)
_other = leases.alias()
_REVIVE: Update = (
    update(leases)
    .where(
        leases.c.id == bindparam("b_id"),
        leases.c.outcome == LeaseEnd.EXPIRED,
        ~exists().where(_other.c.trial_id == leases.c.trial_id, _other.c.ended_at.is_(None)),
    )
    .values(**_NEW_TIMES, ended_at=None, outcome=None)
)


def new(
    study: LockedStudy,
    trial_id: str,
    *,
    worker_id: str | None = None,
    slot: int | None = None,
    client_id: str | None = None,
    token_id: str | None = None,
    duration_s: float,
    from_step: int = 0,
    to_step: int | None = None,
) -> Lease:
    """A lease that begins now; `store` stores it.

    Args:
        duration_s: how long it and each renewal last, > 0.
        from_step, to_step: the steps that it is granted: after the one, up to the other.
    """
    now = study.tx.now
    return Lease(
        id=new_id("ls", now_ms=to_micros(now) // 1000),
        trial_id=trial_id,
        study_id=study.id,
        worker_id=worker_id,
        slot=slot,
        client_id=client_id,
        token_id=token_id,
        duration_s=duration_s,
        from_step=from_step,
        to_step=to_step,
        acquired_at=now,
        renewed_at=now,
        expires_at=now + timedelta(seconds=duration_s),
    )


def store(study: LockedStudy, lease: Lease) -> None:
    """Stores a new lease, beside the change that makes its trial run under it.

    Raises:
        Conflict: the trial has an active lease; at the latest before the commit.
    """
    study.tx.insert(leases, [{name: getattr(lease, name) for name in _FIELDS}])


def insert(study: LockedStudy, trial: Trial, **of: Any) -> Lease:
    """Adds an active lease, `of` as for `new`; the caller then moves the trial to running under it.

    Raises:
        Conflict: the trial has an active lease; at the latest before the commit.
    """
    lease = new(study, trial.id, **of)
    store(study, lease)
    return lease


_FIELDS = tuple(name for name in Lease.__dataclass_fields__ if name not in ("end",))


def get(conn: Connection, lease_id: str) -> Lease | None:
    """A lease by its id, or None if there never was one."""
    row = conn.execute(_BY_ID, {"b_id": lease_id}).one_or_none()
    return None if row is None else lease_of(row)


def of_trial(conn: Connection, trial_id: str) -> list[Lease]:
    """All attempts at a trial, oldest first."""
    return [lease_of(row) for row in conn.execute(_OF_TRIAL, {"b_id": trial_id})]


def active_of_worker(conn: Connection, worker_id: str) -> list[Lease]:
    """The leases that a worker holds, oldest first."""
    return [lease_of(row) for row in conn.execute(_OF_WORKER, {"b_id": worker_id})]


def named_of_worker(conn: Connection, worker_id: str) -> list[tuple[Lease, int, str]]:
    """The leases that a worker holds, oldest first: each with its trial's number and its study's
    name.
    """
    rows = conn.execute(_NAMED_OF_WORKER, {"b_id": worker_id})
    return [(lease_of(row), row.number, row.study_name) for row in rows]


def open_of_client(
    conn: Connection, study_id: str, client_id: str, token_id: str | None
) -> list[Lease]:
    """The leases that a client took with this token and that are active, or expired with their
    trial not claimed again; another token's client of the same name is somebody else.
    """
    values = {"b_study_id": study_id, "b_client_id": client_id, "b_token_id": token_id}
    return [lease_of(row) for row in conn.execute(_OPEN_OF_CLIENT, values)]


_HAS_OTHER_OPEN = select(
    _OPEN_OF_CLIENT.where(leases.c.id != bindparam("b_but")).order_by(None).exists()
)


def has_other_open(
    conn: Connection, study_id: str, client_id: str | None, token_id: str | None, but: str
) -> bool:
    """Whether `open_of_client` would find another lease than one."""
    values = {"b_study_id": study_id, "b_client_id": client_id, "b_token_id": token_id}
    return bool(conn.execute(_HAS_OTHER_OPEN, {**values, "b_but": but}).scalar_one())


_STUDY_FOR_CLIENT = select(*studies.c, _OPEN_OF_CLIENT.order_by(None).exists()).where(
    studies.c.id == bindparam("b_study_id"), studies.c.deleted_at.is_(None)
)


def study_for_client(
    conn: Connection, study_id: str, client_id: str | None, token_id: str | None
) -> tuple[Study, bool]:
    """A study, and whether `open_of_client` would find any lease in it.

    Raises:
        NotFound: there is no such study.
    """
    values = {"b_study_id": study_id, "b_client_id": client_id, "b_token_id": token_id}
    row = conn.execute(_STUDY_FOR_CLIENT, values).one_or_none()
    if row is None:
        raise NotFound(f"there is no study {study_id}")
    return study_of(StudyRow._make(row[:-1])), bool(row[-1])


def expired(conn: Connection, now: datetime, limit: int) -> list[Lease]:
    """Active leases whose time is up, those first that have been so for longest."""
    return [lease_of(row) for row in conn.execute(_EXPIRED, {"b_now": now, "b_limit": limit})]


def held_since(conn: Connection, study_id: str, acquired_at: datetime, limit: int) -> list[Lease]:
    """Active leases of a study that were given out at an instant or before it, oldest first."""
    values = {"b_study_id": study_id, "b_acquired_at": acquired_at, "b_limit": limit}
    return [lease_of(row) for row in conn.execute(_HELD_SINCE, values)]


def renew(
    tx: Tx, lease: Lease, *, last_seq: int | None = None, last_step: int | None = None
) -> Lease:
    """Lets a lease last for its duration from now on. The caller holds its study.

    Args:
        last_seq: number of an accepted report; a lower one than before changes nothing.
        last_step: step reached; likewise.

    Raises:
        StaleLease: it has ended.
    """
    changes: dict[str, Any] = {"renewed_at": tx.now, "expires_at": _expiry(tx, lease)}
    statement, values = _BEAT, _times(tx, lease)
    if last_seq is not None or last_step is not None:
        seqs = [lease.last_seq, -1 if last_seq is None else last_seq]
        steps = [step for step in (lease.last_step, last_step) if step is not None]
        changes |= {"last_seq": max(seqs), "last_step": max(steps, default=None)}
        values |= {"b_seq": changes["last_seq"], "b_step": changes["last_step"]}
        statement = _RENEW
    tx.update(statement, values, lambda: _stale(lease))
    return with_fields(lease, **changes)


def note_use(tx: Tx, lease: Lease, *, memory_bytes: int | None, utilisation: float | None) -> None:
    """Notes what a trial uses; None: as it was. The caller has renewed the lease just now.

    Raises:
        StaleLease: it has ended.
    """
    values = {"b_id": lease.id, "b_memory": memory_bytes, "b_utilisation": utilisation}
    tx.update(_USE, values, lambda: _stale(lease))


def extend(tx: Tx, lease: Lease, to_step: int) -> Lease:
    """Grants a lease more steps, up to `to_step`.

    Raises:
        StaleLease: it has ended.
    """
    tx.update(_EXTEND, {"b_id": lease.id, "b_to_step": to_step}, lambda: _stale(lease))
    return with_fields(lease, to_step=to_step)


def revive(tx: Tx, lease: Lease) -> Lease:
    """Makes an expired lease active again, if nobody has claimed its trial since.

    Raises:
        StaleLease: it ended in another way, or the trial is under another lease.
    """
    tx.update(_REVIVE, _times(tx, lease), lambda: _stale(lease))
    return with_fields(
        lease, renewed_at=tx.now, expires_at=_expiry(tx, lease), ended_at=None, end=None
    )


def finish(
    tx: Tx,
    lease: Lease,
    end: LeaseEnd,
    *,
    failure: Failure | None = None,
    answer: Mapping[str, Any] | None = None,
) -> Lease:
    """Ends a lease.

    Args:
        failure: why the attempt failed.
        answer: what the write that ends it is answered; replayed when that write is repeated.

    Raises:
        StaleLease: it has ended already.
    """
    values = {
        "b_id": lease.id,
        "b_now": tx.now,
        "b_outcome": end,
        "b_failure": failure_json(failure),
        "b_answer": None if answer is None else dict(answer),
    }
    tx.update(_FINISH, values, lambda: _stale(lease))
    return with_fields(lease, ended_at=tx.now, end=end, failure=failure, answer=answer)


def _times(tx: Tx, lease: Lease) -> dict[str, Any]:
    return {"b_id": lease.id, "b_now": tx.now, "b_expires_at": _expiry(tx, lease)}


def _expiry(tx: Tx, lease: Lease) -> datetime:
    return tx.now + timedelta(seconds=lease.duration_s)


def _stale(lease: Lease) -> StaleLease:
    return StaleLease(f"lease {lease.id} is no longer the current one of trial {lease.trial_id}")
