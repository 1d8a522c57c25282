"""When a study ends, and when one that ended may be opened again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.limits import (
    HOPELESS_FAILURES,
    Ending,
    Finished,
    detail,
    may_resume,
    uses_finished,
    verdict,
)
from app.domain.study import StopReason, Study, StudyState
from app.domain.trial import TrialState

from .building import METRIC, START, check, raw_study, study_of

ACTIVE, PAUSED, STOPPING = StudyState.ACTIVE, StudyState.PAUSED, StudyState.STOPPING
COMPLETED, FAILED = StudyState.COMPLETED, StudyState.FAILED


def limited(limits: dict[str, Any], *, running: int = 0, **fields: Any) -> Study:
    definition = {"limits": limits} | fields.pop("definition", {})
    counts = {TrialState.RUNNING: running} | fields.pop("counts", {})
    return study_of(definition=definition, counts=counts, **fields)


def ended(*values: float, every_s: float = 60) -> list[Finished]:
    """Finished trials, one `every_s` seconds."""
    return [(k, v, START + timedelta(seconds=every_s * k)) for k, v in enumerate(values, 1)]


def judge(
    study: Study,
    *,
    at_s: float = 0,
    pending: int = 0,
    finished: list[Finished] | None = None,
    expected: tuple[float, ...] = (),
) -> Ending | None:
    running = study.counts.get(TrialState.RUNNING, 0)
    return verdict(
        study,
        now=START + timedelta(seconds=at_s),
        open_trials=running + pending,
        finished=finished or [],
        expected=expected,
    )


def test_a_study_without_limits_goes_on() -> None:
    assert judge(limited({}, places=10**6), at_s=1e9, finished=ended(1.0, 1.0)) is None


def test_max_trials_ends_a_study_once_nothing_is_open() -> None:
    full = {"max_trials": 3}
    assert judge(limited(full, places=3)) == Ending(COMPLETED, StopReason.MAX_TRIALS)
    assert judge(limited(full, places=3, running=1)) is None
    assert judge(limited(full, places=3), pending=1) is None
    assert judge(limited(full, places=2)) is None


def test_an_exhausted_space_ends_a_study_once_nothing_is_open() -> None:
    assert judge(limited({}, exhausted=True)) == Ending(COMPLETED, StopReason.SPACE_EXHAUSTED)
    assert judge(limited({}, exhausted=True, running=1)) is None


@pytest.mark.parametrize(
    ("direction", "best", "is_reached"),
    [
        ("minimize", 0.4, True),
        ("minimize", 0.5, True),
        ("minimize", 0.6, False),
        ("maximize", 0.4, False),
        ("maximize", 0.5, True),
        ("maximize", 0.6, True),
    ],
)
def test_the_target_follows_the_direction(direction: str, best: float, is_reached: bool) -> None:
    definition = {"metrics": [METRIC | {"direction": direction}]}
    study = limited({"target": 0.5}, definition=definition, best_value=best)
    assert (judge(study) is not None) is is_reached


def test_at_the_target_running_trials_may_go_on() -> None:
    running = limited({"target": 0.5}, best_value=0.1, running=2)
    assert judge(running) == Ending(STOPPING, StopReason.TARGET_REACHED)
    pending = limited({"target": 0.5}, best_value=0.1)
    assert judge(pending, pending=2) == Ending(COMPLETED, StopReason.TARGET_REACHED)


def test_with_several_objectives_the_first_one_decides() -> None:
    definition = {"metrics": [METRIC, {"name": "b", "direction": "maximize"}]}
    study = limited({"target": 0.5}, definition=definition)
    assert uses_finished(study.definition)
    assert judge(study, finished=ended(0.9, 0.6)) is None
    assert judge(study, finished=ended(0.9, 0.4)) == Ending(COMPLETED, StopReason.TARGET_REACHED)


def test_the_target_tells_more_than_max_trials() -> None:
    study = limited({"target": 0.5, "max_trials": 3}, best_value=0.1, places=3)
    assert judge(study) == Ending(COMPLETED, StopReason.TARGET_REACHED)


def test_time_ends_a_study_that_has_started() -> None:
    limits = {"max_duration_s": 60}
    assert judge(limited(limits), at_s=59) is None
    assert judge(limited(limits), at_s=60) == Ending(COMPLETED, StopReason.MAX_DURATION)
    assert judge(limited(limits, running=1), at_s=60) == Ending(STOPPING, StopReason.MAX_DURATION)
    assert judge(limited(limits, started_at=None), at_s=99) is None


def test_time_passes_while_a_study_is_paused() -> None:
    study = limited({"max_duration_s": 60}, state=PAUSED)
    assert judge(study, at_s=60) == Ending(COMPLETED, StopReason.MAX_DURATION)


def test_resource_ends_a_study() -> None:
    limits = {"max_resource_total": 10}
    assert judge(limited(limits, resource_used=9)) is None
    reached = judge(limited(limits, resource_used=10))
    assert reached == Ending(COMPLETED, StopReason.MAX_RESOURCE)


@pytest.mark.parametrize("state", [ACTIVE, PAUSED, STOPPING])
def test_too_many_failed_trials_fail_a_study(state: StudyState) -> None:
    definition = {"failure_policy": {"max_failed": 2}}
    one = limited({}, definition=definition, counts={TrialState.FAILED: 1}, state=state, running=1)
    two = limited({}, definition=definition, counts={TrialState.FAILED: 2}, state=state, running=1)
    assert judge(one) is None
    assert judge(two) == Ending(FAILED, StopReason.MAX_FAILED)


def test_a_study_of_which_nothing_works_does_not_go_on_for_ever() -> None:
    hopeless = {TrialState.FAILED: HOPELESS_FAILURES}
    assert judge(limited({}, counts={TrialState.FAILED: HOPELESS_FAILURES - 1})) is None
    assert judge(limited({}, counts=hopeless)) == Ending(FAILED, StopReason.MAX_FAILED)


@pytest.mark.parametrize("state", [TrialState.COMPLETED, TrialState.STOPPED, TrialState.INFEASIBLE])
def test_nor_one_of_which_nothing_works_any_more(state: TrialState) -> None:
    counts = {state: 1, TrialState.FAILED: 2 * HOPELESS_FAILURES}
    assert judge(limited({}, counts=counts)) == Ending(FAILED, StopReason.MAX_FAILED)
    assert judge(limited({}, counts={**counts, state: 2})) is None


def test_a_stopping_study_keeps_its_reason_and_waits_for_running_trials() -> None:
    reason = StopReason.TARGET_REACHED
    assert judge(limited({}, state=STOPPING, stop_reason=reason, running=1)) is None
    done = limited({}, state=STOPPING, stop_reason=reason)
    assert judge(done, pending=3) == Ending(COMPLETED, reason)


@pytest.mark.parametrize("state", [COMPLETED, FAILED, StudyState.CANCELLED])
def test_a_study_that_has_ended_stays_so(state: StudyState) -> None:
    assert judge(limited({"max_trials": 1}, places=1, state=state)) is None


STILL = Ending(COMPLETED, StopReason.NO_PROGRESS)


@pytest.mark.parametrize(
    ("values", "verdict_"),
    [
        ((5, 5, 5), None),  # nothing stands before the window
        ((5, 5, 5, 5), STILL),
        ((5, 6, 7, 8), STILL),
        ((5, 6, 7, 4.9), None),
        ((9, 5, 6, 7), None),  # the gain lies within the window
        ((5, float("nan"), 6, 7), None),  # three usable trials only
    ],
)
def test_no_progress_over_trials(values: tuple[float, ...], verdict_: Ending | None) -> None:
    study = limited({"no_progress": {"trials": 3}})
    assert judge(study, finished=ended(*values)) == verdict_


@pytest.mark.parametrize(("gain", "verdict_"), [(0.0625, STILL), (0.125, None), (0.25, None)])
def test_no_progress_asks_for_a_least_gain(gain: float, verdict_: Ending | None) -> None:
    study = limited({"no_progress": {"trials": 2, "min_gain": 0.125}})
    assert judge(study, finished=ended(1.0, 1.0, 1.0 - gain)) == verdict_


def test_progress_follows_the_direction() -> None:
    definition = {"metrics": [METRIC | {"direction": "maximize"}]}
    study = limited({"no_progress": {"trials": 2}}, definition=definition)
    assert judge(study, finished=ended(5, 4, 6)) is None
    assert judge(study, finished=ended(5, 4, 3)) == STILL


def test_no_progress_over_seconds() -> None:
    study = limited({"no_progress": {"seconds": 100}})
    finished = ended(5, 4, 6)  # the best ended at 120 s
    assert judge(study, at_s=150, finished=finished) is None
    assert judge(study, at_s=219, finished=finished) is None
    assert judge(study, at_s=220, finished=finished) == STILL
    assert judge(study, at_s=1e6) is None


def test_a_paused_study_is_not_blamed_for_standing_still() -> None:
    study = limited({"no_progress": {"seconds": 10}, "min_gain_per_h": 1}, state=PAUSED)
    assert judge(study, at_s=1e6, finished=ended(*[1.0] * 30)) is None


def test_the_order_of_the_finished_trials_does_not_matter() -> None:
    study = limited({"no_progress": {"trials": 2}})
    finished = ended(5, 4, 6)
    assert judge(study, finished=finished) == judge(study, finished=finished[::-1])


LOW = Ending(COMPLETED, StopReason.LOW_EXPECTED_GAIN)


@pytest.mark.parametrize(("gain", "verdict_"), [(0.0, LOW), (0.4, LOW), (0.6, None)])
def test_a_low_gain_per_hour_ends_a_study(gain: float, verdict_: Ending | None) -> None:
    # 11 trials, one each 6 minutes: the window of ten lasts one hour.
    study = limited({"min_gain_per_h": 0.5})
    finished = ended(*[1.0] * 10, 1.0 - gain, every_s=360)
    assert judge(study, finished=finished) == verdict_


def test_gain_is_judged_over_ten_trials_at_least() -> None:
    study = limited({"min_gain_per_h": 0.5})
    assert judge(study, finished=ended(*[1.0] * 9)) is None
    assert judge(study, finished=ended(*[1.0] * 10)) == LOW


def test_gain_is_judged_over_a_fifth_of_many_trials() -> None:
    study = limited({"min_gain_per_h": 1e-6})
    values = [1.0] * 85 + [0.5] * 15  # the gain lies within the last 20, not the last 10
    assert judge(study, finished=ended(*values)) is None


@pytest.mark.parametrize(
    ("expected", "verdict_"),
    [
        ((0.04, 0.05, 0.03), LOW),  # 0.04 a trial, ten trials an hour
        ((0.06, 0.07, 0.05), None),
        ((0.0, 0.0), None),  # too few: what was gained is judged
    ],
)
def test_what_the_model_expects_is_judged_where_it_says_so(
    expected: tuple[float, ...], verdict_: Ending | None
) -> None:
    study = limited({"min_gain_per_h": 0.5})
    finished = ended(*[1.0] * 10, 0.0, every_s=360)  # the last one gained 1 in an hour
    assert judge(study, finished=finished, expected=expected) == verdict_


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ((0.01,) * 5, "the model expects a gain of 0.1 per hour, less than 0.5; the best"),
        ((), "the last trials gained 0 per hour, less than 0.5; the best value is"),
    ],
)
def test_a_low_gain_is_told_with_its_figures(expected: tuple[float, ...], said: str) -> None:
    study = limited({"min_gain_per_h": 0.5})
    finished = ended(*[1.0] * 11, every_s=360)
    told = detail(
        study, StopReason.LOW_EXPECTED_GAIN, now=START, finished=finished, expected=expected
    )
    assert told.startswith(said)


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ({}, False),
        ({"max_trials": 3, "max_duration_s": 3, "target": 1}, False),
        ({"no_progress": {"trials": 3}}, True),
        ({"min_gain_per_h": 1}, True),
    ],
)
def test_values_are_loaded_only_when_a_limit_needs_them(
    limits: dict[str, Any], needed: bool
) -> None:
    assert uses_finished(check(raw_study(limits=limits)).definition) is needed


@pytest.mark.parametrize(
    ("reason", "limits", "fields", "may"),
    [
        (StopReason.MAX_TRIALS, {"max_trials": 3}, {"places": 3}, False),
        (StopReason.MAX_TRIALS, {"max_trials": 4}, {"places": 3}, True),
        (StopReason.MAX_TRIALS, {}, {"places": 3}, True),
        (StopReason.TARGET_REACHED, {"target": 0.5}, {"best_value": 0.4}, False),
        (StopReason.TARGET_REACHED, {"target": 0.3}, {"best_value": 0.4}, True),
        (StopReason.MAX_RESOURCE, {"max_resource_total": 5}, {"resource_used": 6}, False),
        (StopReason.MAX_RESOURCE, {"max_resource_total": 9}, {"resource_used": 6}, True),
        (StopReason.MAX_DURATION, {"max_duration_s": 60}, {}, False),
        (StopReason.MAX_DURATION, {"max_duration_s": 90}, {}, True),
        (StopReason.NO_PROGRESS, {"no_progress": {"trials": 2}}, {}, False),
        (StopReason.NO_PROGRESS, {}, {}, True),
        (StopReason.LOW_EXPECTED_GAIN, {"min_gain_per_h": 2}, {}, False),
        (StopReason.LOW_EXPECTED_GAIN, {}, {}, True),
        (StopReason.USER, {}, {}, False),
        (StopReason.SPACE_EXHAUSTED, {}, {"exhausted": True}, False),
        # One limit was raised, another one holds by now.
        (StopReason.TARGET_REACHED, {"max_trials": 3}, {"places": 3}, False),
    ],
)
def test_a_study_may_go_on_when_its_ending_no_longer_holds(
    reason: StopReason, limits: dict[str, Any], fields: dict[str, Any], may: bool
) -> None:
    end = START + timedelta(seconds=75)
    study = limited(limits, state=COMPLETED, stop_reason=reason, ended_at=end, **fields)
    assert may_resume(study) is may


def test_time_that_has_passed_since_the_end_counts_when_it_is_given() -> None:
    end = START + timedelta(seconds=75)
    fields: dict[str, Any] = {"stop_reason": StopReason.MAX_DURATION, "ended_at": end}
    study = limited({"max_duration_s": 90}, state=COMPLETED, **fields)
    assert not may_resume(study, now=START + timedelta(seconds=90))


def test_a_raised_limit_on_progress_is_judged_by_the_finished_trials() -> None:
    fields: dict[str, Any] = {"stop_reason": StopReason.NO_PROGRESS, "ended_at": START}
    study = limited({"no_progress": {"trials": 5}}, state=COMPLETED, **fields)
    assert may_resume(study, finished=ended(1, 1, 1, 1))
    assert not may_resume(study, finished=ended(1, 1, 1, 1, 1, 1))


@pytest.mark.parametrize("state", [s for s in StudyState if s is not COMPLETED])
def test_only_a_completed_study_is_opened_again(state: StudyState) -> None:
    assert not may_resume(limited({}, state=state, stop_reason=StopReason.MAX_TRIALS))
