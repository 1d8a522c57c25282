"""Decides whether a study ends now, and whether one that ended may go on; the time is handed in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from .study import (
    OPEN_STUDY_STATES,
    Direction,
    NoProgress,
    StopReason,
    Study,
    StudyDefinition,
    StudyState,
)
from .trial import TrialState

MIN_GAIN_TRIALS = 10
"""Fewest finished trials over which `min_gain_per_h` is judged, and how many of the newest points
say what is expected of the next one.
"""

MIN_GAIN_SHARE = 0.2
"""Share of the finished trials over which `min_gain_per_h` is judged, where that is more."""

MIN_EXPECTATIONS = 3
"""With so many of them the model's expectation is judged; with fewer, what the last trials gained.
"""

HOPELESS_FAILURES = 20
"""So many failed trials, and so many more for each that ended well, end a study without a
`max_failed`.
"""

_WORKED = (TrialState.COMPLETED, TrialState.STOPPED, TrialState.INFEASIBLE)

Finished: TypeAlias = tuple[int, float, datetime]
"""A finished trial: number, value of the first objective metric, end."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a study ends now.

    Attributes:
        state: failed; stopping, while trials run on to their end; completed, when none runs
            (an active or paused study passes through stopping on its way).
        reason: the limit that was reached.
    """

    state: StudyState
    reason: StopReason


def uses_finished(definition: StudyDefinition) -> bool:
    """Whether `verdict` needs the values of the finished trials to judge the study's limits."""
    limits = definition.limits
    if limits.no_progress is not None or limits.min_gain_per_h is not None:
        return True
    return limits.target is not None and len(definition.objectives) > 1


def verdict(
    study: Study,
    *,
    now: datetime,
    open_trials: int,
    finished: Sequence[Finished] = (),
    expected: Sequence[float] = (),
) -> Ending | None:
    """Whether a study ends now, and why; None while it goes on.

    Limits hold in a paused study too, but for those that judge progress. A study that is
    stopping keeps its reason and is completed once no trial runs: pending and paused ones end
    with it. Only `max_trials` and an exhausted space wait for those too.

    Args:
        study: the study with its present counts, places, best value and resource used.
        now: the present instant, by the clock that set `started_at`.
        open_trials: how many of its trials are pending or running; those that pause have been
            passed over.
        finished: finished trials; may be empty unless `uses_finished`.
        expected: what the model expected the newest points to gain, in units of the first objective
            metric; those of the newest `MIN_GAIN_TRIALS` that a model made.
    """
    if study.state not in OPEN_STUDY_STATES:
        return None
    if _has_failed(study):
        return Ending(StudyState.FAILED, StopReason.MAX_FAILED)
    is_running = study.counts.get(TrialState.RUNNING, 0) > 0
    if study.state is StudyState.STOPPING:
        if is_running:
            return None
        return Ending(StudyState.COMPLETED, study.stop_reason or StopReason.USER)
    reason = _reached(study, now, open_trials, _by_end(finished), expected)
    if reason is None:
        return None
    return Ending(StudyState.STOPPING if is_running else StudyState.COMPLETED, reason)


def may_resume(
    study: Study,
    *,
    now: datetime | None = None,
    finished: Sequence[Finished] | None = None,
    expected: Sequence[float] = (),
) -> bool:
    """Whether a completed study may be opened again: the limit that ended it no longer holds.

    A study that a person stopped or whose space is exhausted has no limit to raise.

    Args:
        study: the study with its present limits.
        now: the present instant; the study's end when None.
        finished: finished trials as for `verdict`. When None, a limit on progress counts as
            holding for as long as it is set.
        expected: as for `verdict`.
    """
    if study.state is not StudyState.COMPLETED:
        return False
    limits = study.definition.limits
    if study.stop_reason in (StopReason.USER, StopReason.SPACE_EXHAUSTED, None):
        return False
    if finished is None:
        if study.stop_reason is StopReason.NO_PROGRESS and limits.no_progress is not None:
            return False
        if study.stop_reason is StopReason.LOW_EXPECTED_GAIN and limits.min_gain_per_h is not None:
            return False
    opened = replace(study, state=StudyState.ACTIVE, stop_reason=None)
    at = now or study.ended_at or study.updated_at
    ending = verdict(opened, now=at, open_trials=0, finished=finished or (), expected=expected)
    return ending is None


def _by_end(finished: Sequence[Finished]) -> list[Finished]:
    """Those with a finite value, in order of ending."""
    return sorted((item for item in finished if math.isfinite(item[1])), key=lambda i: i[2])


def _has_failed(study: Study) -> bool:
    """Whether too many trials have failed.

    Failed trials free their places, so a study of which nothing works, or nothing works any more,
    would go on for ever: without `max_failed` it ends after `HOPELESS_FAILURES`, and as many for
    each trial that ended well.
    """
    most = study.definition.failure_policy.max_failed
    failed = study.counts.get(TrialState.FAILED, 0)
    if most is not None:
        return failed >= most
    worked = sum(study.counts.get(state, 0) for state in _WORKED)
    return failed >= HOPELESS_FAILURES * (1 + worked)


def _reached(
    study: Study,
    now: datetime,
    open_trials: int,
    finished: Sequence[Finished],
    expected: Sequence[float],
) -> StopReason | None:
    """The first limit that is reached, the most telling reason first."""
    limits = study.definition.limits
    tests: tuple[tuple[StopReason, Callable[[], bool]], ...] = (
        (StopReason.TARGET_REACHED, lambda: _is_on_target(study, finished)),
        (
            StopReason.MAX_TRIALS,
            lambda: (
                not open_trials
                and limits.max_trials is not None
                and study.places >= limits.max_trials
            ),
        ),
        (StopReason.SPACE_EXHAUSTED, lambda: study.exhausted and not open_trials),
        (StopReason.MAX_DURATION, lambda: _is_over_time(study, now)),
        (
            StopReason.MAX_RESOURCE,
            lambda: (
                limits.max_resource_total is not None
                and study.resource_used >= limits.max_resource_total
            ),
        ),
        (StopReason.NO_PROGRESS, lambda: _stands_still(study, now, finished)),
        (StopReason.LOW_EXPECTED_GAIN, lambda: _gains_little(study, finished, expected)),
    )
    return next((reason for reason, is_reached in tests if is_reached()), None)


def _sign(study: Study) -> float:
    """Factor that turns the first objective's values into ones to be minimised."""
    return -1.0 if study.definition.objectives[0].direction is Direction.MAXIMIZE else 1.0


def _costs(study: Study, finished: Sequence[Finished]) -> list[float]:
    """Values of the first objective, smaller ones better, in order of ending."""
    sign = _sign(study)
    return [sign * value for _, value, _ in finished]


def _is_on_target(study: Study, finished: Sequence[Finished]) -> bool:
    target = study.definition.limits.target
    if target is None:
        return False
    costs = _costs(study, finished)
    if study.best_value is not None and len(study.definition.objectives) == 1:
        costs.append(_sign(study) * study.best_value)
    return bool(costs) and min(costs) <= _sign(study) * target


def _is_over_time(study: Study, now: datetime) -> bool:
    most = study.definition.limits.max_duration_s
    if most is None or study.started_at is None:
        return False
    return (now - study.started_at).total_seconds() >= most


def _stands_still(study: Study, now: datetime, finished: Sequence[Finished]) -> bool:
    """Whether the best value gained too little over the last trials, or over the last seconds."""
    rule = study.definition.limits.no_progress
    if rule is None or study.state is StudyState.PAUSED:
        return False
    costs = _costs(study, finished)
    before = []  # how many trials stand before each window
    if rule.trials is not None:
        before.append(len(costs) - rule.trials)
    if rule.seconds is not None:
        ages = [(now - ended_at).total_seconds() for _, _, ended_at in finished]
        before.append(sum(age >= rule.seconds for age in ages))
    return any(_is_small(_gain(costs, count), rule.min_gain) for count in before if count > 0)


def _gain(costs: Sequence[float], before: int) -> float:
    """How much better the best of all is than the best of the first `before` ones."""
    return min(costs[:before]) - min(costs)


def _is_small(gain: float, least: float) -> bool:
    return gain <= 0.0 or gain < least


def _gains_little(study: Study, finished: Sequence[Finished], expected: Sequence[float]) -> bool:
    """Whether a further hour promises less than `min_gain_per_h`."""
    least = study.definition.limits.min_gain_per_h
    if least is None or study.state is StudyState.PAUSED:
        return False
    gain = gain_per_h(study, finished, expected)
    return gain is not None and gain < least


def gain_per_h(
    study: Study, finished: Sequence[Finished], expected: Sequence[float]
) -> float | None:
    """What a further hour is expected to gain of the best value; None while too little is known.

    The mean of what the model expects of a point, times the trials that ended per hour lately.
    Without a model: what the best value gained per hour over the last trials.

    Args:
        study: the study.
        finished: finished trials with finite values, in order of ending.
        expected: as for `verdict`.
    """
    count = len(finished)
    window = max(MIN_GAIN_TRIALS, math.ceil(MIN_GAIN_SHARE * count))
    if count < window:
        return None
    # Without a trial before the window its first one is what the gain is measured from.
    before = max(1, count - window)
    hours = (finished[-1][2] - finished[before - 1][2]).total_seconds() / 3600.0
    if hours <= 0.0:
        return None
    if has_expectation(expected):
        return math.fsum(expected) / len(expected) * (count - before) / hours
    return _gain(_costs(study, finished), before) / hours


def has_expectation(expected: Sequence[float]) -> bool:
    """Whether enough of the newest points came from a model that says what it expects of them."""
    return len(expected) >= MIN_EXPECTATIONS


def detail(
    study: Study,
    reason: StopReason,
    *,
    now: datetime,
    finished: Sequence[Finished] = (),
    expected: Sequence[float] = (),
) -> str:
    """Why a study ends, in a sentence with the figures.

    Args:
        study: as it was judged.
        now: the instant by which it was.
        finished, expected: as for `verdict`.
    """
    limits, n_failed = study.definition.limits, study.counts.get(TrialState.FAILED, 0)
    best = "nothing yet" if study.best_value is None else f"{study.best_value:.6g}"
    at = "" if study.best_number is None else f" of trial {study.best_number}"
    rule = limits.no_progress
    passed_s = (now - study.started_at).total_seconds() if study.started_at else 0.0
    said = {
        StopReason.TARGET_REACHED: f"the best value {best}{at} has reached the target "
        f"{limits.target}",
        StopReason.MAX_TRIALS: f"all {limits.max_trials} trials of the budget have ended",
        StopReason.SPACE_EXHAUSTED: "the suggester has no further point",
        StopReason.MAX_DURATION: f"{passed_s:.0f} s have passed of {limits.max_duration_s} s",
        StopReason.MAX_RESOURCE: f"{study.resource_used:,} steps were trained of "
        f"{limits.max_resource_total or 0:,}",
        StopReason.LOW_EXPECTED_GAIN: _low_gain_said(study, finished, expected)
        + f"; the best value is {best}{at}",
        StopReason.MAX_FAILED: f"{n_failed} trials have failed",
        StopReason.USER: "a person stopped it",
        StopReason.NO_PROGRESS: _no_progress_said(rule, best + at),
    }
    return said[reason]


def _low_gain_said(study: Study, finished: Sequence[Finished], expected: Sequence[float]) -> str:
    least = study.definition.limits.min_gain_per_h or 0.0
    gain = gain_per_h(study, _by_end(finished), expected)
    said = "less" if gain is None else f"{gain:.3g} per hour, less"
    if has_expectation(expected):
        return f"the model expects a gain of {said} than {least:g}"
    return f"the last trials gained {said} than {least:g}"


def _no_progress_said(rule: NoProgress | None, best: str) -> str:
    if rule is None:
        return f"no progress; the best value is {best}"
    spans = [
        span
        for span, is_set in (
            (f"{rule.trials} trials", rule.trials is not None),
            (f"{rule.seconds} s", rule.seconds is not None),
        )
        if is_set
    ]
    return (
        f"no gain of {rule.min_gain:g} or more over the last {' or '.join(spans)}; "
        f"the best value is {best}"
    )
