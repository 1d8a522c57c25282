"""Early stopping inside a transaction: what a report brings, and who is promoted by it.

The rules decide (`early_stopping`), over a book of curves (`books.py`); here their decisions become
facts of the trials' rows, each with its event, under the lock of the study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..domain.event import EventKind
from ..domain.fidelity import Directive
from ..domain.ladder import ladder_of
from ..domain.lease import Lease
from ..domain.study import Study, StudyState
from ..domain.trial import Trial, TrialSource, TrialState
from ..early_stopping.base import Decision, Promotion
from ..store import leases as lease_rows
from ..store import trial_sets
from ..store import trials as trial_rows
from ..store.measurements import Point
from ..store.studies import LockedStudy
from .books import Ruled, ruled
from .grants import extend, wanted_step

_PROMOTES = frozenset({StudyState.ACTIVE, StudyState.PAUSED})
"""A study that ends promotes nothing more."""


def placed(study: LockedStudy, trial: Trial | None) -> dict[str, Any]:
    """Where a trial begins that is handed out for the first time, as fields of it; else nothing.

    Args:
        trial: the pending trial, or None for a new one.
    """
    if trial is not None and (trial.started_at is not None or trial.to_step is not None):
        return {}
    found = ruled(study)
    if found is None:
        return {}
    place = found.rule.place(found.book)
    return {"bracket": place.bracket, "to_step": place.to_step}


def begun(study: LockedStudy, trial: Trial) -> None:
    """Puts a trial that was just handed out into the book, for the next one's place."""
    found: Ruled | None = study.tx.held.get(("book", study.id))
    if found is not None:
        found.put(trial)


def judged(
    study: LockedStudy, trial: Trial, lease: Lease, points: Sequence[Point]
) -> tuple[Trial, Lease]:
    """Takes in a report whose rows are written: notes rungs, asks the rule, follows it.

    Args:
        lease: renewed, with the report's progress counted.

    Returns:
        The trial and the lease as they are then.
    """
    found = ruled(study)
    if found is not None:
        trial, lease = _by_rule(study, found, trial, lease, points)
    return _within_limit(study, trial, lease)


def _by_rule(
    study: LockedStudy, found: Ruled, trial: Trial, lease: Lease, points: Sequence[Point]
) -> tuple[Trial, Lease]:
    noted = found.observe(trial, points)
    decision = Decision(directive=Directive.CONTINUE, to_step=trial.to_step)
    if trial.directive is None and _is_judged(found, trial, noted, points):
        decision = found.rule.judge(found.book, trial.number)
    changes: dict[str, Any] = {"rungs": (*trial.rungs, *noted)} if noted else {}
    goes_on = decision.directive is Directive.CONTINUE
    if not goes_on:
        changes |= {"directive": decision.directive, "directive_reason": decision.reason}
    elif decision.to_step != trial.to_step:
        changes |= {"to_step": decision.to_step, "directive_reason": decision.reason}
    if not changes:
        return trial, lease
    before = trial
    trial = trial_rows.mark(study, trial, **changes)
    _tell(study, trial, noted, is_news=not goes_on or trial.to_step != before.to_step)
    if goes_on and trial.to_step != before.to_step:
        lease = extend(study, lease, trial.to_step)
    found.put(trial)
    promote(study, found)
    return trial_rows.get(study.tx.conn, trial.id) if not goes_on else trial, lease


def _is_judged(
    found: Ruled, trial: Trial, noted: Sequence[tuple[int, float]], points: Sequence[Point]
) -> bool:
    """Whether the rule decides at this report: one that reads rungs only does so at a rung, and
    where the trial has come to the end of its grant.
    """
    if found.reads_curves or noted:
        return True
    last = max((point.step for point in points), default=0)
    return trial.to_step is not None and last >= trial.to_step


def _tell(
    study: LockedStudy, trial: Trial, noted: Sequence[tuple[int, float]], *, is_news: bool
) -> None:
    """An event for each rung that was reached; one for a decision that came between rungs."""
    told = (trial.directive or Directive.CONTINUE).value
    data = {
        "number": trial.number,
        "bracket": trial.bracket,
        "directive": told,
        "to_step": trial.to_step,
        "reason": trial.directive_reason,
    }
    for step, value in noted:
        shown = value if math.isfinite(value) else "NaN"
        study.emit(
            EventKind.TRIAL_RUNG, trial_id=trial.id, data={**data, "step": step, "value": shown}
        )
    study.add(results_seq=len(noted))
    if is_news and not noted:
        study.emit(EventKind.TRIAL_DIRECTIVE, trial_id=trial.id, data=data)


def _within_limit(study: LockedStudy, trial: Trial, lease: Lease) -> tuple[Trial, Lease]:
    """Stops a trial that has used up the steps that the study's limit leaves for it."""
    total = study.definition.limits.max_resource_total
    if total is None or trial.directive is not None:
        return trial, lease
    wanted = wanted_step(study.definition, trial.to_step)
    if lease.to_step is None:
        is_over = study.study.resource_used >= total
    elif lease.reached < lease.to_step or (wanted is not None and lease.to_step >= wanted):
        return trial, lease
    else:
        lease, before = extend(study, lease, trial.to_step), lease
        is_over = lease.to_step == before.to_step
    if not is_over:
        return trial, lease
    trial = trial_rows.mark(
        study,
        trial,
        directive=Directive.STOP,
        directive_reason=f"the study's {total:,} steps of training are used up or granted",
    )
    _tell(study, trial, (), is_news=True)
    return trial, lease


def promote(study: LockedStudy, found: Ruled | None = None) -> bool:
    """Has those trials go on that the rule promotes by now; whether there was any."""
    if study.study.state not in _PROMOTES:
        return False
    found = found or ruled(study)
    if found is None:
        return False
    has_promoted = False
    while promotions := found.rule.promotions(found.book):
        for one in promotions:
            _promote(study, found, one)
        has_promoted = True
    if not has_promoted and (last := _last_one(study)) is not None:
        _promote(study, found, last)
        has_promoted = True
    return has_promoted


def _promote(study: LockedStudy, found: Ruled, one: Promotion) -> None:
    trial = trial_rows.get(study.tx.conn, found.ids[one.number])
    changes: dict[str, Any] = {
        "source": TrialSource.PROMOTION,
        "to_step": one.to_step,
        "directive": None,
        "directive_reason": one.reason,
    }
    if trial.state is TrialState.PAUSED:
        trial = trial_rows.move(
            study, trial, TrialState.PENDING, rank=-len(trial.rungs), lease_id=None, **changes
        )
    else:  # its holder has been told to pause, and may not have heard of it
        trial = trial_rows.mark(study, trial, **changes)
        lease = lease_rows.get(study.tx.conn, trial.lease_id) if trial.lease_id else None
        if lease is not None and lease.end is None:
            extend(study, lease, one.to_step)
    _tell(study, trial, (), is_news=True)
    found.put(trial)


def _last_one(study: LockedStudy) -> Promotion | None:
    """The best of the paused trials, where nothing else would ever be trained in full."""
    present, ladder = study.study, ladder_of(study.definition)
    if present.may_start_more or not _only_pauses(present) or ladder is None:
        return None
    if present.counts.get(TrialState.COMPLETED, 0) or ladder.max_resource is None:
        return None
    if present.resource_left == 0:
        return None
    metric = (study.definition.objectives or study.definition.metrics)[0]
    sign = 1.0 if metric.direction.value == "minimize" else -1.0
    paused = [
        ((-step, sign * value, trial.number), trial)
        for trial in trial_sets.open_of(study.tx.conn, study.id)
        if trial.state is TrialState.PAUSED and trial.rungs
        for step, value in trial.rungs[-1:]
        if math.isfinite(value)
    ]
    if not paused:
        return None
    trial = min(paused, key=lambda item: item[0])[1]
    reason = "the best of those that pause; without it no trial would be trained in full"
    return Promotion(number=trial.number, to_step=ladder.max_resource, reason=reason)


def _only_pauses(study: Study) -> bool:
    """Whether some trials pause, and none runs or is to run."""
    counts = study.counts
    is_quiet = not counts.get(TrialState.PENDING, 0) and not counts.get(TrialState.RUNNING, 0)
    return is_quiet and counts.get(TrialState.PAUSED, 0) > 0


def may_pause(trial: Trial, lease: Lease) -> bool:
    """Whether a lease may be released as paused: its trial was told to, or has been promoted since
    and its holder may not have heard.
    """
    if trial.directive is Directive.PAUSE:
        return True
    if not trial.rungs or trial.to_step is None or trial.directive is not None:
        return False
    rung = trial.rungs[-1][0]
    return rung < trial.to_step and lease.last_step == rung
