"""What becomes of a trial when an attempt at it ends: its values, a failure, a loss, a pause."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..domain.trial import Failure, FailureKind, Trial, TrialState
from ..errors import Conflict, Fault, InvalidInput
from ..store import trials as trial_rows
from ..store.studies import LockedStudy
from .failures import use_attempt
from .fence import Held, lose, loss, obeyed
from .settle import last_values
from .stopping import may_pause

_COUNTS_AS_LOSS = frozenset({FailureKind.PREEMPTED})
"""Failures that count as a loss, not as an attempt."""


def final_values(held: Held, state: TrialState, values: Mapping[str, float]) -> dict[str, float]:
    """The values to keep; for a stopped trial without any, those of its last measurement."""
    final = dict(values)
    if not final and state is TrialState.STOPPED:
        final = last_values(held.study, held.trial)
    faults = [
        Fault(
            pointer=f"/values/{_escape(name)}",
            code="not-finite",
            detail=f"{name} is {value}; report such a trial by :fail with kind nan",
        )
        for name, value in final.items()
        if not math.isfinite(value)
    ]
    if state is TrialState.COMPLETED:
        faults += [
            Fault(
                pointer=f"/values/{_escape(metric.name)}",
                code="missing-metric",
                detail=f"the study declares the metric {metric.name!r}; a completed trial needs it",
            )
            for metric in held.study.study.definition.metrics
            if metric.name not in final
        ]
    if faults:
        raise InvalidInput("the trial's final values are not complete", faults=faults)
    return final


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def pin_data(study: LockedStudy, trial: Trial) -> None:
    """The first completed trial pins the data set that all others must use."""
    digest = (trial.data or {}).get("digest")
    if digest and study.study.data_digest is None and trial.state is TrialState.COMPLETED:
        study.set(data_digest=str(digest))


def failed(held: Held, failure: Failure, needed_bytes: int | None) -> Trial:
    """A trial after an attempt that failed; one that had been told to pause or stop does that."""
    if held.trial.directive is not None:
        return obeyed(held.study, held.trial, failure=failure)
    if failure.kind in _COUNTS_AS_LOSS:
        return lose(held.study, held.trial, failure)
    return use_attempt(
        held.study,
        held.trial,
        failure,
        worker_id=held.lease.worker_id,
        needed_bytes=needed_bytes,
    )


def given_back(held: Held) -> Trial:
    """A trial whose holder gives it back: it runs again, and counts a loss."""
    return lose(held.study, held.trial, loss("released too often"))


def paused(held: Held) -> Trial:
    """A trial that pauses at its rung; pending at once if it has been promoted meanwhile."""
    trial = held.trial
    if not may_pause(trial, held.lease):
        raise Conflict(
            "a trial pauses at a rung only, when its early-stopping rule says so",
            members={
                "current_state": trial.state.value,
                "allowed": ["pending"],
                "study_id": trial.study_id,
            },
        )
    if trial.directive is not None:
        return obeyed(held.study, trial)
    rank = -len(trial.rungs)
    return trial_rows.move(held.study, trial, TrialState.PENDING, rank=rank, lease_id=None)
