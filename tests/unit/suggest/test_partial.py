"""Values of trials that were not trained to the end, as the models see them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.fidelity import Ladder
from app.domain.space import FloatParameter, Space
from app.domain.study import Direction, Metric
from app.domain.trial import FailureKind, TrialState
from app.suggest.base import FinishedTrial, PendingTrial, SuggestRequest
from app.suggest.partial import with_partial_results
from app.suggest.registry import suggest

SPACE = Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),))
LADDER = Ladder(rungs=(3, 9), max_resource=9)


def done(number: int, early: float, final: float) -> FinishedTrial:
    return FinishedTrial(
        number=number,
        params={"x": number / 40},
        state=TrialState.COMPLETED,
        values=(final,),
        rungs=((3, early), (9, final)),
        step=9,
    )


def stopped(number: int, early: float) -> FinishedTrial:
    return replace(
        done(number, early, early), state=TrialState.STOPPED, rungs=((3, early),), step=3
    )


def request_of(*finished: FinishedTrial, pending: tuple[PendingTrial, ...] = ()) -> SuggestRequest:
    return SuggestRequest(
        space=SPACE,
        metrics=(Metric(name="loss", direction=Direction.MINIMIZE),),
        finished=finished,
        pending=pending,
        index=100,
        ladder=LADDER,
    )


STRAIGHT = tuple(done(k, float(k), 10.0 + k) for k in range(1, 11))


def values(request: SuggestRequest) -> dict[int, float]:
    seen = with_partial_results(request).finished
    return {trial.number: trial.values[0] for trial in seen if trial.values is not None}


def test_a_stopped_value_is_carried_to_the_end_of_the_ladder() -> None:
    assert values(request_of(*STRAIGHT, stopped(11, 5.0)))[11] == pytest.approx(15.0, abs=0.2)


def test_trained_trials_keep_their_own_values() -> None:
    assert {k: v for k, v in values(request_of(*STRAIGHT, stopped(11, 5.0))).items() if k < 11} == {
        k: 10.0 + k for k in range(1, 11)
    }


@pytest.mark.filterwarnings("error")
def test_the_largest_numbers_are_carried_too() -> None:
    unit = 1e307
    trials = (*(done(k, k * unit, 7.0 * unit + k * unit) for k in range(1, 11)),)
    found = values(request_of(*trials, stopped(11, 5.0 * unit)))
    assert found[11] == pytest.approx(12.0 * unit, rel=0.02)
    assert found[3] == 10.0 * unit


def test_a_good_early_value_says_little_where_the_order_early_says_nothing() -> None:
    noise = tuple(done(k, float(k), 10.0 + (k * 7) % 11) for k in range(1, 11))
    found = values(request_of(*noise, stopped(11, 1.0)))[11]
    assert found == pytest.approx(15.0, abs=2.5)


def test_a_trial_under_way_with_an_early_value_has_one_too() -> None:
    pending = (PendingTrial(number=11, params={"x": 0.5}, rungs=((3, 5.0),)),)
    seen = with_partial_results(request_of(*STRAIGHT, pending=pending))
    assert seen.finished[-1].number == 11
    assert seen.pending == ()


def test_a_trial_without_a_finite_value_at_a_rung_counts_as_under_way() -> None:
    nothing = replace(stopped(11, 5.0), rungs=((3, float("nan")),))
    seen = with_partial_results(request_of(*STRAIGHT, nothing))
    assert [trial.number for trial in seen.pending] == [11]


def test_a_failure_stays_one() -> None:
    failed = replace(
        stopped(11, 5.0), state=TrialState.FAILED, values=None, failure=FailureKind.NAN
    )
    assert with_partial_results(request_of(*STRAIGHT, failed)).finished[-1] is failed


def failed(number: int, *rungs: tuple[int, float]) -> FinishedTrial:
    return FinishedTrial(
        number=number,
        params={"x": number / 40},
        state=TrialState.FAILED,
        values=None,
        failure=FailureKind.NAN,
        rungs=rungs,
    )


@pytest.mark.parametrize(
    ("n_failed", "is_believed"), [(0, True), (1, True), (2, False), (5, False)]
)
def test_an_early_value_is_not_believed_before_the_rungs_where_trials_failed(
    n_failed: int, is_believed: bool
) -> None:
    many = tuple(done(k, float(k), 10.0 + k) for k in range(1, 21))
    dead = tuple(failed(20 + k, (3, 1.0)) for k in range(1, n_failed + 1))
    under_way = PendingTrial(number=30, params={"x": 0.9}, rungs=((3, 5.0),))
    request = request_of(*many, *dead, stopped(31, 5.0), pending=(under_way,))
    seen = values(request)
    assert (30 in seen) is is_believed
    assert 31 in seen  # it was stopped, and cannot fail any more
    pending = with_partial_results(request).pending
    assert (under_way.number in {trial.number for trial in pending}) is not is_believed


def test_a_trial_past_the_rungs_where_others_failed_is_believed() -> None:
    dead = tuple(failed(20 + k) for k in range(5))  # before the first rung
    under_way = PendingTrial(number=30, params={"x": 0.9}, rungs=((3, 5.0),))
    assert 30 in values(request_of(*STRAIGHT, *dead, pending=(under_way,)))


def test_with_few_values_at_the_end_all_are_compared_at_the_highest_common_rung() -> None:
    seen = values(request_of(done(1, 4.0, 14.0), stopped(2, 5.0), stopped(3, 6.0)))
    assert seen == {1: 4.0, 2: 5.0, 3: 6.0}


def test_without_a_ladder_nothing_changes() -> None:
    request = replace(request_of(*STRAIGHT, stopped(11, 5.0)), ladder=None)
    assert with_partial_results(request) is request


@pytest.mark.parametrize("name", ["gp", "tpe", "auto"])
def test_a_stopped_value_is_not_taken_for_a_final_one(name: str) -> None:
    """What a rung says of a trial is the same to the suggester however low its number is: here the
    early values lie far below all final ones.
    """
    request = request_of(*STRAIGHT, stopped(11, 5.0))
    ended = done(11, 5.0, with_partial_results(request).finished[-1].values[0])  # type: ignore[index]
    assert (
        suggest(name, request).suggestions[0].params
        == suggest(name, request_of(*STRAIGHT, ended)).suggestions[0].params
    )
