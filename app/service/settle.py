"""What follows from a change of a study: a new best, an ending. Runs inside the transaction of
the change.
"""

from __future__ import annotations

import math
from datetime import datetime

from ..domain import limits
from ..domain.event import EventKind
from ..domain.lease import LeaseEnd
from ..domain.study import OPEN_STUDY_STATES, Direction, StopReason, StudyState
from ..domain.trial import EXPECTED_GAIN, Trial, TrialState
from ..store import leases as lease_rows
from ..store import measurements as measurement_rows
from ..store import trial_sets
from ..store import trials as trial_rows
from ..store.studies import LockedStudy
from . import stopping
from .grants import finish, note_spared
from .wake import WORK, study_topic, work_topic

_TO_COME = (TrialState.PENDING, TrialState.RUNNING)

_RANKED = frozenset({TrialState.COMPLETED, TrialState.STOPPED})
"""States whose values may be a best."""


def wake(study: LockedStudy) -> None:
    """Tells everything that waits for work or for the study, once the transaction has committed."""
    study.tx.signal(study_topic(study.study.id), work_topic(study.study.id), WORK)


def note_best(study: LockedStudy, trial: Trial) -> None:
    """Makes a trial the best when it is: has a value, feasible, better than the one before."""
    definition = study.study.definition
    if len(definition.objectives) != 1 or trial.state not in _RANKED:
        return
    metric = definition.objectives[0]
    value = trial.values.get(metric.name)
    if value is None or not math.isfinite(value) or not definition.is_feasible(trial.values):
        return
    if not _ranks_above(study, trial, value, metric.direction):
        return
    study.set(
        best_trial_id=trial.id,
        best_value=value,
        best_number=trial.number,
        best_at=trial.ended_at or study.tx.now,
    )
    study.emit(
        EventKind.STUDY_BEST, trial_id=trial.id, data={"number": trial.number, "value": value}
    )


def _ranks_above(study: LockedStudy, trial: Trial, value: float, direction: Direction) -> bool:
    """Whether a trial is better than the best so far.

    Where trials are stopped early, one that was trained in full ranks above all that were not:
    their values are those of shorter trainings.
    """
    present = study.study
    is_better = _is_better(value, present.best_value, direction)
    if present.definition.early_stopping.name == "none" or present.best_trial_id is None:
        return is_better
    best = trial_rows.get(study.tx.conn, present.best_trial_id)
    if (best.state is TrialState.COMPLETED) == (trial.state is TrialState.COMPLETED):
        return is_better
    return trial.state is TrialState.COMPLETED


def settle(study: LockedStudy) -> None:
    """Ends the study when its limits say so; what is left open then ends with it."""
    if study.study.state not in OPEN_STUDY_STATES:
        return
    if stopping.promote(study):
        wake(study)
    finished, expected = finished_of(study), expected_of(study)
    ending = limits.verdict(
        study.study,
        now=study.tx.now,
        # One that pauses has been passed over: what is to go on has just been promoted.
        open_trials=sum(study.study.counts.get(state, 0) for state in _TO_COME),
        finished=finished,
        expected=expected,
    )
    if ending is None or ending.state is study.study.state:
        return
    if study.study.state is not StudyState.STOPPING:
        said = limits.detail(
            study.study, ending.reason, now=study.tx.now, finished=finished, expected=expected
        )
        study.set(stop_detail=said)
    end(study, ending.state, ending.reason)


def finished_of(study: LockedStudy) -> list[tuple[int, float, datetime]]:
    """Number, first objective and end of the finished trials, where the limits need them: of those
    that keep the thresholds, for no other can be a best.
    """
    definition = study.study.definition
    if not limits.uses_finished(definition):
        return []
    name = definition.objectives[0].name
    rows = trial_rows.finished_values(study.tx.conn, study.study.id)
    return [
        (number, values[name], at)
        for _, number, values, at in rows
        if definition.is_feasible(values)
    ]


def expected_of(study: LockedStudy) -> list[float]:
    """What a model expected the newest points to gain, where the limits need it."""
    if study.study.definition.limits.min_gain_per_h is None:
        return []
    newest = trial_rows.newest_provenances(study.tx.conn, study.study.id, limits.MIN_GAIN_TRIALS)
    gains = (provenance.get(EXPECTED_GAIN) for provenance in newest)
    return [float(gain) for gain in gains if gain is not None]


def end(study: LockedStudy, state: StudyState, reason: StopReason) -> None:
    """Moves the study to `stopping` or to an end; at an end its pending and paused trials end
    too.
    """
    present = study.study.state
    if state is StudyState.COMPLETED and present is not StudyState.STOPPING:
        study.move(StudyState.STOPPING, reason)
    study.move(state, reason)
    if state in OPEN_STUDY_STATES:
        return
    for trial in trial_sets.open_of(study.tx.conn, study.study.id):
        if trial.state is TrialState.RUNNING:
            abort(study, trial)
        elif trial.state is TrialState.PAUSED or trial.rungs:
            stop(study, trial)
        else:
            trial_rows.move(study, trial, TrialState.CANCELLED)


def stop(study: LockedStudy, trial: Trial) -> Trial:
    """Ends a trial early, with the values of its last measurement."""
    summary = measurement_rows.summary(study.tx.conn, [trial.id]).get(trial.id)
    step = summary.last_step if summary else None
    stopped = trial_rows.move(
        study, trial, TrialState.STOPPED, values=last_values(study, trial), step=step
    )
    note_spared(study, trial, step)
    note_best(study, stopped)
    return stopped


def abort(study: LockedStudy, trial: Trial) -> Trial:
    """Cancels a trial; a lease on it ends, so that its holder is told to abort."""
    end_lease(study, trial, LeaseEnd.CANCELLED)
    return trial_rows.move(study, trial, TrialState.CANCELLED)


def end_lease(study: LockedStudy, trial: Trial, how: LeaseEnd) -> None:
    """Ends the trial's current lease, if it has one that is active."""
    lease = lease_rows.get(study.tx.conn, trial.lease_id) if trial.lease_id else None
    if lease is not None and lease.end is None:
        finish(study, lease, how)


def last_values(study: LockedStudy, trial: Trial) -> dict[str, float]:
    """The finite values of the trial's last measurement, empty without one."""
    summary = measurement_rows.summary(study.tx.conn, [trial.id]).get(trial.id)
    values = summary.last_values if summary else {}
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _is_better(value: float, best: float | None, direction: Direction) -> bool:
    if best is None:
        return True
    return value < best if direction is Direction.MINIMIZE else value > best
