"""What a failed attempt brings: another one, the trial's end, a paused study, a drained worker.

All functions run inside one transaction, with the study locked first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from ..domain.lease import Lease
from ..domain.retry import backoff_s, is_retried
from ..domain.study import PauseReason, StudyState
from ..domain.trial import Failure, FailureKind, Trial, TrialState
from ..domain.worker import Worker
from ..store import trial_sets
from ..store import trials as trial_rows
from ..store import workers as worker_rows
from ..store.studies import LockedStudy
from ..store.transaction import Tx
from .placement import could_run, is_alive, memory_of

MOST_INFRASTRUCTURE_FAILURES = 3
"""Trials in a row that fail on a worker's infrastructure before it is drained, if not all of them
ran at the same time.
"""

_MESSAGE_CHARS = 300
"""How much of a failure's message is told where it is one of several facts."""


def use_attempt(
    study: LockedStudy,
    trial: Trial,
    failure: Failure,
    *,
    worker_id: str | None,
    needed_bytes: int | None = None,
) -> Trial:
    """A failure that uses up an attempt: the trial runs again after a wait, or ends.

    Args:
        worker_id: whose attempt it was; None for a client's.
        needed_bytes: memory that the next attempt needs after it ran out of it, as the worker
            says; None: more than its device has.
    """
    policy = study.study.definition.failure_policy
    attempts = trial.attempts + 1
    ended: dict[str, Any] = {"attempts": attempts, "failure": failure}
    if attempts >= policy.max_attempts or not is_retried(policy, failure.kind):
        return trial_rows.move(study, trial, TrialState.FAILED, **ended)
    min_memory_bytes = trial.min_memory_bytes
    if failure.kind is FailureKind.OOM:
        min_memory_bytes = needed_bytes or _more_memory(study, worker_id)
        if not _is_there(study, min_memory_bytes):
            return trial_rows.move(
                study, trial, TrialState.FAILED, attempts=attempts, failure=_without_room(failure)
            )
    wait_s = backoff_s(policy, trial.id, attempts)
    return trial_rows.move(
        study,
        trial,
        TrialState.PENDING,
        attempts=attempts,
        failure=failure,
        lease_id=None,
        not_before=study.tx.now + timedelta(seconds=wait_s) if wait_s > 0 else None,
        min_memory_bytes=min_memory_bytes,
    )


def _more_memory(study: LockedStudy, worker_id: str | None) -> int | None:
    """One byte more than the device has that an attempt failed on; None where that is unknown."""
    worker = worker_rows.find(study.tx.conn, worker_id) if worker_id else None
    memory_bytes = memory_of(worker) if worker else None
    return None if memory_bytes is None else memory_bytes + 1


def _is_there(study: LockedStudy, min_memory_bytes: int | None) -> bool:
    """Whether a worker is registered that could run a trial of the study in that much memory.

    It need not live: after an outage of the service none does. The sweep looks again later.
    """
    return min_memory_bytes is not None and bool(_fit(study, min_memory_bytes))


def _fit(study: LockedStudy, min_memory_bytes: int) -> list[Worker]:
    """The workers that could run a trial of the study in that much memory."""
    return [
        worker
        for worker in worker_rows.all_of(study.tx.conn)
        if could_run(worker, study.study, min_memory_bytes=min_memory_bytes)
    ]


def _without_room(failure: Failure) -> Failure:
    said = f"{failure.message}; " if failure.message else ""
    return replace(
        failure, message=f"{said}not tried again: no worker is known to have a larger device"
    )


def fail_without_room(tx: Tx, study: LockedStudy, trial_id: str) -> bool:
    """Fails a pending trial that needs more memory than any live worker has; whether it did."""
    trial = trial_rows.get(tx.conn, trial_id)
    if trial.state is not TrialState.PENDING or trial.min_memory_bytes is None:
        return False
    if any(is_alive(worker, tx.now) for worker in _fit(study, trial.min_memory_bytes)):
        return False
    failure = trial.failure or Failure(kind=FailureKind.OOM)
    trial_rows.move(study, trial, TrialState.FAILED, failure=_without_room(failure))
    return True


def pause_when_broken(study: LockedStudy, before: Trial, failure: Failure) -> None:
    """Pauses the study when its first `pause_after` trials have all failed with `user_error`.

    A trial counts from its first failed attempt on, whether it is retried or not. This is judged
    when a trial fails for the first time, so a study that was resumed is not paused again.

    Args:
        before: the trial as it was before it failed.
        failure: how it failed.
    """
    first = study.study.definition.failure_policy.pause_after
    is_news = failure.kind is FailureKind.USER_ERROR and before.failure is None
    if not is_news or not first or study.study.state is not StudyState.ACTIVE:
        return
    trials = trial_sets.with_an_outcome(study.tx.conn, study.id, first + 1)
    if len(trials) != first or not all(_is_broken(trial) for trial in trials):
        return
    study.move(
        StudyState.PAUSED,
        pause=PauseReason.FAILURES,
        pause_detail=f"the first {first} trials all failed with user_error; "
        f"the last one said: {_short(failure.message)}",
    )


def _is_broken(trial: Trial) -> bool:
    is_well = trial.state in (TrialState.COMPLETED, TrialState.STOPPED, TrialState.INFEASIBLE)
    return not is_well and trial.failure is not None and trial.failure.kind == "user_error"


def judge_worker(tx: Tx, lease: Lease, failure: Failure | None) -> None:
    """Counts a trial that failed on its worker's infrastructure; any other end counts anew.

    Args:
        failure: how the trial failed under this lease; None: it ended well.
    """
    if lease.worker_id is None or (failure and failure.kind is FailureKind.PREEMPTED):
        return
    if failure is None or failure.kind is not FailureKind.INFRASTRUCTURE:
        worker_rows.served_well(tx, lease.worker_id)
        return
    most = MOST_INFRASTRUCTURE_FAILURES
    worker_rows.failed_on_infrastructure(
        tx,
        lease.worker_id,
        acquired_at=lease.acquired_at,
        most=most,
        reason=f"its last {most} trials failed on its infrastructure; "
        f"the last one said: {_short(failure.message)}",
    )


def _short(message: str) -> str:
    text = " ".join(message.split())
    if not text:
        return "nothing"
    return text if len(text) <= _MESSAGE_CHARS else text[: _MESSAGE_CHARS - 3] + "..."


def overtime_s(study: LockedStudy, lease: Lease) -> float | None:
    """Seconds that an attempt has run past `max_trial_duration_s`, below 0 while it has not; None
    without that limit.
    """
    limit_s = study.study.definition.limits.max_trial_duration_s
    if limit_s is None:
        return None
    return (study.tx.now - lease.acquired_at).total_seconds() - limit_s


def overran(study: LockedStudy) -> Failure:
    """The failure of an attempt that the service ended for its length."""
    limit_s = study.study.definition.limits.max_trial_duration_s
    return Failure(kind=FailureKind.TIMEOUT, message=f"the attempt took longer than {limit_s:g} s")
