"""`gp` with several objectives and with outcome constraints."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from app.domain.space import FloatParameter, IntParameter, Params, Space
from app.domain.study import Direction, Metric
from app.domain.trial import FailureKind, TrialState
from app.suggest import random_search
from app.suggest.acquisition import Acquisition
from app.suggest.base import FinishedTrial, PendingTrial, SuggestRequest
from app.suggest.gp_kernel import Columns
from app.suggest.gp_metrics import chebyshev
from app.suggest.gp_outcomes import (
    LogFeasibility,
    bounded_targets,
    distinct_constraints,
    feasibility,
    unwarped_targets,
)
from app.suggest.gp_several import suggest
from app.suggest.gp_training import MAX_ROWS
from tests.suggesters.asking import BOUNDED, CHAIN, SMALL, assert_in_space, bowl, keys, request

SQUARE = Space(parameters=tuple(FloatParameter(name=n, low=0.0, high=1.0) for n in "ab"))


def _objective(name: str, direction: Direction = Direction.MINIMIZE) -> Metric:
    return Metric(name=name, direction=direction)


def _constraint(name: str, threshold: float, direction: Direction = Direction.MINIMIZE) -> Metric:
    return Metric(name=name, direction=direction, role="constraint", threshold=threshold)


def _trials(
    space: Space, n: int, values: Callable[[Params], Sequence[float] | None], seed: int = 5
) -> tuple[FinishedTrial, ...]:
    made = random_search.suggest(request(space, seed=seed, count=n)).suggestions
    found = []
    for number, one in enumerate(made, start=1):
        y = values(one.params)
        found.append(
            FinishedTrial(
                number=number,
                params=one.params,
                state=TrialState.FAILED if y is None else TrialState.COMPLETED,
                values=None if y is None else tuple(y),
                failure=FailureKind.NAN if y is None else None,
            )
        )
    return tuple(found)


def _two(p: Params) -> tuple[float, float]:
    a, b = float(p["a"]), float(p["b"])
    return a + (b - 0.5) ** 2, (1.0 - a) + (b - 0.5) ** 2


TWO = (_objective("f"), _objective("g"))
FOUR = tuple(_objective(name) for name in "fghi")


def _four(p: Params) -> tuple[float, ...]:
    a, b = float(p["a"]), float(p["b"])
    return a, 1 - a, b, 1 - b + a * a


@pytest.mark.parametrize(
    ("metrics", "values", "kind"),
    [
        (TWO, _two, "log_ehvi"),
        ((*TWO, _objective("h")), lambda p: (*_two(p), float(p["b"])), "log_ehvi"),
        (FOUR, _four, "log_ei of a scalarisation"),
        ((TWO[0], _constraint("c", 0.5)), _two, "log_ei"),
        ((*TWO, _constraint("c", 0.5)), lambda p: (*_two(p), float(p["b"])), "log_ehvi"),
        ((TWO[0], _constraint("c", -9.0)), _two, "feasibility"),
    ],
)
def test_each_kind_of_study_gets_its_acquisition(
    metrics: tuple[Metric, ...], values: Callable[[Params], Sequence[float]], kind: str
) -> None:
    known = _trials(SQUARE, 12, values)
    decision = suggest(request(SQUARE, known, metrics=metrics, count=3))
    assert len(set(keys(decision.suggestions))) == 3
    for made in decision.suggestions:
        assert_in_space(SQUARE, made.params)
        assert made.provenance["acquisition"] == kind
        assert "fallback" not in made.provenance


@pytest.mark.parametrize("space", [BOUNDED, CHAIN, SMALL])
def test_points_are_in_the_space_and_new(space: Space) -> None:
    def values(p: Params) -> tuple[float, float, float]:
        return bowl(space, p), -bowl(space, p) + len(p), float(len(p))

    metrics = (TWO[0], _objective("g", Direction.MAXIMIZE), _constraint("c", 2.5))
    known = _trials(space, 9, values)
    decision = suggest(request(space, known, metrics=metrics, count=4))
    found = keys(decision.suggestions)
    assert len(set(found)) == 4
    for made in decision.suggestions:
        assert_in_space(space, made.params)


def test_the_same_request_gives_the_same_points_in_any_order_of_the_history() -> None:
    known = _trials(SQUARE, 10, _two)
    first = suggest(request(SQUARE, known, metrics=TWO, count=2))
    second = suggest(request(SQUARE, known[::-1], metrics=TWO, count=2))
    assert first == second


def test_a_maximised_objective_is_the_negated_one_minimised() -> None:
    down = _trials(SQUARE, 10, _two)
    up = _trials(SQUARE, 10, lambda p: (-_two(p)[0], _two(p)[1]))
    metrics = (_objective("f", Direction.MAXIMIZE), TWO[1])
    a = suggest(request(SQUARE, down, metrics=TWO)).suggestions[0].params
    b = suggest(request(SQUARE, up, metrics=metrics)).suggestions[0].params
    assert a == b


def test_points_under_way_are_kept_away_from() -> None:
    known = _trials(SQUARE, 10, _two)
    alone = suggest(request(SQUARE, known, metrics=TWO)).suggestions[0].params
    pending = (PendingTrial(number=11, params=alone),)
    asked = SuggestRequest(
        space=SQUARE, metrics=TWO, finished=known, pending=pending, seed=11, index=11
    )
    other = suggest(asked).suggestions[0].params
    assert max(abs(float(alone[n]) - float(other[n])) for n in "ab") > 1e-2


def test_eight_points_of_one_ask_are_spread() -> None:
    known = _trials(SQUARE, 10, _two)
    for metrics in (TWO, (TWO[0], _constraint("c", 0.9)), (TWO[0], _constraint("c", -1.0))):
        made = suggest(request(SQUARE, known, metrics=metrics, count=8)).suggestions
        u = np.array([[float(m.params[n]) for n in "ab"] for m in made])
        gaps = np.abs(u[:, None, :] - u[None, :, :]).max(axis=2) + np.eye(8)
        assert gaps.min() > 1e-3


def test_the_constraint_keeps_points_on_its_side() -> None:
    """The objective pulls to a = 1, the constraint a <= 0.4 holds it back."""
    metrics = (_objective("f"), _constraint("c", 0.4))
    known = _trials(SQUARE, 15, lambda p: (-float(p["a"]), float(p["a"])))
    made = suggest(request(SQUARE, known, metrics=metrics)).suggestions[0]
    best = max(t.values[1] for t in known if t.values and t.values[1] <= 0.4)
    assert best - 0.02 < float(made.params["a"]) < 0.45


def test_while_nothing_is_feasible_the_constraint_alone_leads() -> None:
    metrics = (_objective("f"), _constraint("c", 0.9, Direction.MAXIMIZE))
    known = _trials(
        SQUARE, 15, lambda p: (float(p["a"]), float(p["a"]) * 0.5 + 0.5 * float(p["b"]))
    )
    known = tuple(t for t in known if t.values and t.values[1] < 0.85)
    made = suggest(request(SQUARE, known, metrics=metrics)).suggestions[0]
    assert float(made.params["a"]) + float(made.params["b"]) > 1.8


def test_a_constraint_given_twice_counts_once() -> None:
    once = (_objective("f"), _constraint("c", 0.4))
    twice = (*once, _constraint("d", 40.0))
    a = _trials(SQUARE, 12, lambda p: (-float(p["a"]), float(p["a"])))
    b = _trials(SQUARE, 12, lambda p: (-float(p["a"]), float(p["a"]), 100 * float(p["a"])))
    one = suggest(request(SQUARE, a, metrics=once)).suggestions[0].params
    two = suggest(request(SQUARE, b, metrics=twice)).suggestions[0].params
    assert one == pytest.approx(two, abs=1e-5)


def test_of_the_same_constraint_the_strictest_is_kept() -> None:
    rng = np.random.default_rng(0)
    e = rng.standard_normal(10)
    excess = np.column_stack([e - 1.0, 3.0 * e + 2.0, -e, rng.standard_normal(10), e - 2.0])
    assert distinct_constraints(excess) == [1, 2, 3]
    assert distinct_constraints(np.full((5, 2), np.nan)) == []


def test_the_threshold_is_mapped_with_the_excess() -> None:
    excess = np.array([-1e6, -3.0, -0.1, 0.0, 1e-3, 2.0, 1e9])
    targets = bounded_targets(excess)
    np.testing.assert_array_equal(targets.z <= targets.threshold, excess <= 0.0)
    assert (np.diff(targets.z) > 0).all()
    flat = bounded_targets(np.full(4, 2.5))
    assert flat.threshold < 0.0
    assert not flat.z.any()


def test_far_values_beyond_the_front_are_cut_and_the_front_is_not() -> None:
    y = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 1e12, math.nan])
    z = unwarped_targets(y, np.array([0.0, 4.0]))
    assert np.isfinite(z).all()
    assert (np.diff(z[:5]) > 0.1).all()
    assert z[5] >= z[4]
    assert z[6] > z[5]
    assert np.diff(unwarped_targets(y[:6], y[[0, 5]]))[-1] > 1.0


def _gradient_error(part: Acquisition, x: np.ndarray) -> float:
    value, gradient = part.value_and_gradient(x)
    np.testing.assert_allclose(value, part.value(x), rtol=1e-9)
    worst = 0.0
    for k in range(x.shape[1]):
        shift = np.zeros(x.shape[1])
        shift[k] = 1e-6
        slope = (part.value(x + shift) - part.value(x - shift)) / 2e-6
        worst = max(worst, float(np.max(np.abs(slope - gradient[:, k]) / (1 + np.abs(slope)))))
    return worst


@pytest.mark.parametrize("threshold", [-30.0, -1.0, 0.0, 30.0])
def test_gradient_of_the_feasibility_agrees_with_finite_differences(threshold: float) -> None:
    rng = np.random.default_rng(3)
    x = rng.random((12, 2))
    excess = np.sin(4 * x[:, 0]) + x[:, 1] - 0.5 + 0.1 * rng.standard_normal(12)
    part = feasibility(x, excess, Columns.numeric(2))
    moved = LogFeasibility(gp=part.gp, threshold=part.threshold + threshold)
    assert _gradient_error(moved, rng.random((10, 2))) < 1e-4


def test_scalarisation_is_largest_weighted_distance_and_a_little_of_all() -> None:
    y = np.array([[0.0, 10.0], [1.0, 0.0], [np.nan, np.nan], [2.0, 5.0]])
    s = chebyshev(y, np.array([0, 1]), np.array([0.25, 0.75]))
    np.testing.assert_allclose(s[[0, 1]], [0.75 * 1.05, 0.25 * 1.05])
    assert s[3] == pytest.approx(0.5 + 0.05 * (0.5 + 0.375))
    assert math.isnan(s[2])


@pytest.mark.parametrize("scale", [1e300, 1e-300, 0.0])
def test_odd_values_are_borne(scale: float) -> None:
    metrics = (*TWO, _constraint("c", 0.3 * scale))

    def values(p: Params) -> tuple[float, ...] | None:
        f, g = _two(p)
        return None if f > 1.1 else (scale * f, 1e12 if g > 1 else g, scale * float(p["a"]))

    for metrics_now in (metrics, metrics[::2]):
        known = _trials(SQUARE, 14, values)
        if len(metrics_now) == 2:
            known = _trials(SQUARE, 14, lambda p: None if (v := values(p)) is None else v[::2])
        (made,) = suggest(request(SQUARE, known, metrics=metrics_now)).suggestions
        assert_in_space(SQUARE, made.params)
        assert "fallback" not in made.provenance
        assert all(math.isfinite(v) for v in made.provenance.get("mean", ()))


def test_all_failed_all_equal_and_missing_constraint_values_are_borne() -> None:
    metrics = (*TWO, _constraint("c", 0.0))
    for values in (
        lambda p: None,
        lambda p: (1.0, 1.0, 1.0),
        lambda p: (float(p["a"]), 1.0, math.nan),
        lambda p: (math.inf, 1.0, 0.0),
    ):
        known = _trials(SQUARE, 12, values)
        (made,) = suggest(request(SQUARE, known, metrics=metrics)).suggestions
        assert_in_space(SQUARE, made.params)


def test_a_small_space_is_used_up_and_then_exhausted() -> None:
    space = Space(parameters=(IntParameter(name="a", low=0, high=7),))
    known = _trials(space, 5, lambda p: (float(p["a"]), -float(p["a"])))
    decision = suggest(request(space, known, metrics=TWO, count=4))
    assert decision.exhausted
    assert len({*keys(decision.suggestions)}) == 3


@pytest.mark.slow
def test_a_long_history_is_cut_to_what_a_process_can_bear() -> None:
    known = _trials(SQUARE, MAX_ROWS + 50, _two)
    (made,) = suggest(request(SQUARE, known, metrics=TWO)).suggestions
    assert made.provenance["n"] < MAX_ROWS
    assert "fallback" not in made.provenance
