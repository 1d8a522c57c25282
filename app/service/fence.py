"""The fence of the lease protocol: a write under another than the trial's current lease changes
nothing.

All functions run inside one transaction, with the study locked first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ..domain.fidelity import Directive
from ..domain.lease import OVERTIME_GRACE_S, Lease, LeaseEnd
from ..domain.token import Role
from ..domain.trial import Failure, FailureKind, Trial, TrialState
from ..errors import Denied, NotFound, StaleLease
from ..store import held as held_rows
from ..store import leases as lease_rows
from ..store import studies as study_rows
from ..store import trials as trial_rows
from ..store import workers as worker_rows
from ..store.studies import LockedStudy
from ..store.transaction import Tx
from .failures import judge_worker, overran, overtime_s, use_attempt
from .grants import finish, reserve
from .settle import settle, stop, wake
from .views import Caller


@dataclass(slots=True)
class Held:
    """A trial with the lease that the caller writes under, its study locked."""

    study: LockedStudy
    trial: Trial
    lease: Lease


def hold(
    tx: Tx, lease_id: str, trial_id: str | None, caller: Caller, *, replays: str | None = None
) -> Held:
    """Locks the study and checks the fence; an expired lease that nobody has re-claimed is revived.

    Args:
        tx: the transaction.
        lease_id: the lease that the caller writes under.
        trial_id: the trial that it must belong to, or None.
        caller: must be the token that got the lease, or an admin.
        replays: name of the write; an ended lease is let through when the same write ended it
            (its `answer` then holds the first answer), or always for "report".

    Raises:
        NotFound: no such lease of this trial.
        Denied: the lease was given to another token.
        StaleLease: the lease is not the trial's current one.
    """
    found = held_rows.find(tx, lease_id)
    if found is None or (trial_id is not None and found.trial.id != trial_id):
        raise NotFound(
            f"there is no lease {lease_id}" + (f" of trial {trial_id}" if trial_id else "")
        )
    study, trial, lease = found.study, found.trial, found.lease
    check_token(lease, caller)
    if lease.end in (None, LeaseEnd.EXPIRED):
        held = revived(study, trial, lease)
        if held is not None:
            return held
    is_replay = lease.answer is not None and lease.answer.get("write") == replays
    if lease.end is not None and (is_replay or replays == "report"):
        return Held(study, trial, lease)
    raise stale(lease)


def check_token(lease: Lease, caller: Caller) -> None:
    """Sees to it that the caller is the token that got the lease, or an admin.

    Raises:
        Denied: it is another one.
    """
    if caller.role is not Role.ADMIN and lease.token_id != caller.token_id:
        raise Denied("the lease was given to another token")


def revived(study: LockedStudy, trial: Trial, lease: Lease) -> Held | None:
    """The trial under its lease when that is active, or expired and not re-claimed; None for a
    stale one.
    """
    tx = study.tx
    if trial.lease_id != lease.id:
        return None
    if lease.end is None:
        return Held(study, trial, lease)
    if lease.end is not LeaseEnd.EXPIRED or trial.state is not TrialState.PENDING:
        return None
    left = study.study.resource_left
    if left is not None and lease.granted > left:
        return None  # its steps have been granted to others since
    lease = reserve(study, lease_rows.revive(tx, lease))
    trial = trial_rows.move(
        study,
        trial,
        TrialState.RUNNING,
        losses=max(0, trial.losses - 1),
        lease_expires_at=lease.expires_at,
        worker_id=lease.worker_id,
        client_id=lease.client_id,
        reserved_for=None,
        reserved_until=None,
    )
    wake(study)
    return Held(study, trial, lease)


def renewed(held: Held, *, last_seq: int | None = None, last_step: int | None = None) -> Lease:
    return lease_rows.renew(held.study.tx, held.lease, last_seq=last_seq, last_step=last_step)


def directive_of(held: Held) -> Directive:
    """What the holder is to do: what its early-stopping rule has said for good, `abort` past the
    trial's time limit, else `continue`.

    A worker keeps the limit itself and is given the grace that the sweep gives.
    """
    if held.trial.directive is not None:
        return held.trial.directive
    over_s = overtime_s(held.study, held.lease)
    grace_s = OVERTIME_GRACE_S if held.lease.worker_id else 0.0
    return Directive.CONTINUE if over_s is None or over_s < grace_s else Directive.ABORT


def stale(lease: Lease) -> StaleLease:
    how = lease.end.value if lease.end else "replaced"
    return StaleLease(f"lease {lease.id} is no longer the trial's current one ({how})")


def lose(study: LockedStudy, trial: Trial, failure: Failure, **pending: Any) -> Trial:
    """A loss: the trial is pending again, or ends as `infrastructure` past `max_losses`.

    One that has been told to pause or stop has nothing left to train for now: it does so.
    """
    losses = trial.losses + 1
    if trial.directive is not None:
        return obeyed(study, trial, losses=losses)
    if losses > study.study.definition.failure_policy.max_losses:
        ended = Failure(
            kind=FailureKind.INFRASTRUCTURE,
            message=failure.message,
            traceback=failure.traceback,
        )
        return trial_rows.move(study, trial, TrialState.FAILED, losses=losses, failure=ended)
    changes: dict[str, Any] = {"lease_id": None, "not_before": None, **pending}
    return trial_rows.move(study, trial, TrialState.PENDING, losses=losses, **changes)


def obeyed(study: LockedStudy, trial: Trial, **changes: Any) -> Trial:
    """A trial that has been told to pause or stop, once nobody holds it any more."""
    if trial.directive is Directive.STOP:
        return stop(study, trial)
    return trial_rows.move(study, trial, TrialState.PAUSED, lease_id=None, **changes)


def loss(how: str) -> Failure:
    return Failure(kind=FailureKind.INFRASTRUCTURE, message=f"the trial was {how}")


def expire(tx: Tx, lease_id: str) -> str | None:
    """Takes an expired lease back: its trial is pending again. Returns the study's id, None when it
    lives on.

    One that expires past the trial's time limit has timed out instead. The trial keeps the lease's
    id until somebody claims it, so that a late beat can revive the lease; for one lease time it is
    kept for the client that had it.
    """
    found = held_rows.find(tx, lease_id)
    if found is None or found.lease.end is not None or found.lease.expires_at > tx.now:
        return None
    study, trial, lease = found.study, found.trial, found.lease
    if (overtime_s(study, lease) or -1.0) >= 0.0:
        return _time_out(study, trial, lease)
    finish(study, lease, LeaseEnd.EXPIRED)
    _judge_silence(tx, lease)
    if trial.state is TrialState.RUNNING and trial.lease_id == lease.id:
        kept_until = tx.now + timedelta(seconds=lease.duration_s) if lease.client_id else None
        lose(
            study,
            trial,
            loss("lost with its worker too often (its leases expired)"),
            lease_id=lease.id,
            reserved_for=lease.client_id,
            reserved_until=kept_until,
        )
    after(study)
    return study.study.id


def _judge_silence(tx: Tx, lease: Lease) -> None:
    """An expired lease speaks against a worker that was heard of in the second half of its time:
    the worker lives, the trial was lost on it. One that fell silent altogether may be cut off.
    """
    if lease.worker_id is None:
        return
    worker = worker_rows.find(tx.conn, lease.worker_id)
    half = timedelta(seconds=lease.duration_s / 2)
    if worker is not None and worker.last_seen_at >= lease.renewed_at + half:
        judge_worker(tx, lease, loss("lost: its lease expired while its worker lived"))


def overrun(tx: Tx, lease_id: str) -> str | None:
    """Fails an attempt that is past the trial's time limit and the grace. Returns the study's id,
    None when it lives on.
    """
    found = held_rows.find(tx, lease_id)
    if found is None or found.lease.end is not None:
        return None
    over_s = overtime_s(found.study, found.lease)
    if over_s is None or over_s < OVERTIME_GRACE_S:
        return None
    return _time_out(found.study, found.trial, found.lease)


def _time_out(study: LockedStudy, trial: Trial, lease: Lease) -> str:
    failure = overran(study)
    finish(study, lease, LeaseEnd.FAILED, failure=failure)
    if trial.state is TrialState.RUNNING and trial.lease_id == lease.id:
        use_attempt(study, trial, failure, worker_id=lease.worker_id)
    after(study)
    return study.study.id


def supersede(tx: Tx, lease: Lease) -> str:
    """Ends a lease whose worker came back as a new process: its trial is pending again at once.

    One that has ended by now, e.g. with its study by the loss of another, stays as it is.
    """
    study = study_rows.lock(tx, lease.study_id, deleted=True)
    known = lease_rows.get(tx.conn, lease.id)
    if known is None or known.end is not None:
        return study.study.id
    trial = trial_rows.get(tx.conn, lease.trial_id)
    finish(study, lease, LeaseEnd.SUPERSEDED)
    if trial.state is TrialState.RUNNING and trial.lease_id == lease.id:
        lose(study, trial, loss("lost too often (its worker started anew)"))
    after(study)
    return study.study.id


def after(study: LockedStudy) -> None:
    settle(study)
    wake(study)
