"""How many steps of training are granted, and how many were used: what `max_resource_total` counts.

A lease is granted the steps between `from_step` and `to_step`. What it reports turns granted steps
into used ones; what it leaves when it ends goes back. Together they never pass the study's limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..domain.ladder import ladder_of
from ..domain.lease import Lease, LeaseEnd
from ..domain.study import StudyDefinition
from ..domain.trial import Failure, Trial
from ..store import leases as lease_rows
from ..store.studies import LockedStudy


def wanted_step(definition: StudyDefinition, to_step: int | None) -> int | None:
    """The step that a trial may be trained to: its rung, else its end; None where nothing says."""
    if to_step is not None:
        return to_step
    ladder = ladder_of(definition)
    return None if ladder is None else ladder.max_resource


def granted_step(study: LockedStudy, from_step: int, to_step: int | None) -> int | None:
    """The step up to which a lease may train now: what is wanted, as far as the limit lets it."""
    wanted, left = wanted_step(study.definition, to_step), study.study.resource_left
    if wanted is None or left is None:
        return wanted
    return min(wanted, from_step + left)


def reserve(study: LockedStudy, lease: Lease) -> Lease:
    """Counts what a new or revived lease is granted."""
    study.add(resource_granted=lease.granted)
    return lease


def advance(study: LockedStudy, lease: Lease, step: int | None) -> None:
    """Counts the steps that a lease has trained since its last report; up to `step`."""
    done = max(0, (step or 0) - lease.reached)
    study.add(resource_used=done, resource_granted=-min(done, lease.granted))


def extend(study: LockedStudy, lease: Lease, to_step: int | None) -> Lease:
    """Grants a lease more steps, as far as the limit lets it; returns it as it is then.

    Args:
        lease: its present progress already counted by `advance`.
        to_step: the step wanted; None: to the end.
    """
    start = max(lease.reached, lease.to_step or 0)
    step = granted_step(study, start, to_step)
    if step is None or step <= (lease.to_step or 0):
        return lease
    longer = lease_rows.extend(study.tx, lease, step)
    study.add(resource_granted=longer.granted - lease.granted)
    return longer


def finish(
    study: LockedStudy,
    lease: Lease,
    end: LeaseEnd,
    *,
    failure: Failure | None = None,
    answer: Mapping[str, Any] | None = None,
) -> Lease:
    """Ends a lease; what it was granted and has not used goes back."""
    study.add(resource_granted=-lease.granted)
    return lease_rows.finish(study.tx, lease, end, failure=failure, answer=answer)


def note_spared(study: LockedStudy, trial: Trial, step: int | None) -> None:
    """Counts what a trial that stopped early was spared, by its own pace so far.

    Args:
        step: the step that it reached.
    """
    full = wanted_step(study.definition, None)
    if full is None or not step or step >= full:
        return
    leases = lease_rows.of_trial(study.tx.conn, trial.id)
    steps = sum(lease.reached - lease.from_step for lease in leases)
    seconds = sum(
        ((lease.ended_at or study.tx.now) - lease.acquired_at).total_seconds() for lease in leases
    )
    spared = full - step
    study.add(resource_saved=spared)
    if steps > 0:
        study.set(saved_s=study.study.saved_s + spared * seconds / steps)
