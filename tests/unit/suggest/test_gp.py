"""The gp suggester as a whole: pure, never repeating, at home with odd data, better than random."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Parameter,
    Params,
    Space,
    point_key,
)
from app.domain.study import Direction, Metric
from app.domain.trial import TrialSource, TrialState
from app.suggest import gp, gp_training
from app.suggest.base import FinishedTrial, PendingTrial, SuggestRequest
from app.suggest.design import design_point, first_point, satisfies
from app.suggest.gp_training import anchor_size, refit_size
from app.suggest.row_space import RowSpace

METRICS = (Metric(name="loss", direction=Direction.MINIMIZE),)
MIXED = Space(
    parameters=(
        FloatParameter(name="rate", low=1e-5, high=1.0, log=True),
        IntParameter(name="width", low=4, high=512, log=True),
        CategoricalParameter(name="kind", choices=("a", "b", "c")),
        IntParameter(name="depth", low=1, high=6, when=Condition(param="kind", choices=("b",))),
        FloatParameter(name="drop", low=0.0, high=0.5, step=0.05),
    )
)
PLANE = Space(
    parameters=(
        FloatParameter(name="x0", low=-5.0, high=10.0),
        FloatParameter(name="x1", low=0.0, high=15.0),
    )
)


def _trial(number: int, params: Params, value: float | None) -> FinishedTrial:
    is_ok = value is not None and math.isfinite(value)
    return FinishedTrial(
        number=number,
        params=params,
        state=TrialState.COMPLETED if is_ok else TrialState.FAILED,
        values=(float(value),) if value is not None else None,
    )


def _history(space: Space, n: int, value: Callable[[int], float | None]) -> SuggestRequest:
    points = [design_point(space, 5, k) for k in range(n)]
    finished = tuple(_trial(k + 1, p, value(k)) for k, p in enumerate(points))
    return SuggestRequest(space=space, metrics=METRICS, finished=finished, seed=3, index=n + 1)


def _smooth(k: int) -> float:
    return math.sin(3.0 * k) + 0.1 * k


def _one(request: SuggestRequest) -> Params:
    decision = gp.suggest(request)
    assert len(decision.suggestions) == 1
    return decision.suggestions[0].params


def _branin(params: Params) -> float:
    a, b = float(params["x0"]), float(params["x1"])
    bend = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return bend * bend + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def test_the_same_request_gives_the_same_points() -> None:
    request = replace(_history(MIXED, 15, _smooth), count=3)
    assert gp.suggest(request) == gp.suggest(request)


def test_the_order_of_the_history_does_not_matter() -> None:
    request = _history(MIXED, 15, _smooth)
    turned = replace(request, finished=request.finished[::-1])
    assert gp.suggest(turned) == gp.suggest(request)


def test_the_seed_decides_the_design() -> None:
    request = SuggestRequest(space=MIXED, metrics=METRICS, index=1, count=3)
    first, second = (gp.suggest(replace(request, seed=seed)) for seed in (1, 2))
    assert first.suggestions[0].params == second.suggestions[0].params
    assert first.suggestions[1].params != second.suggestions[1].params


def test_points_asked_together_are_those_asked_one_by_one() -> None:
    request = _history(MIXED, 14, _smooth)
    together = gp.suggest(replace(request, count=3)).suggestions
    pending: tuple[PendingTrial, ...] = ()
    for k, suggestion in enumerate(together):
        one = _one(replace(request, index=request.index + k, pending=pending))
        assert one == suggestion.params
        pending += (PendingTrial(number=request.index + k, params=one),)


def test_maximising_is_minimising_the_negative() -> None:
    low = _history(PLANE, 12, _smooth)
    high = _history(PLANE, 12, lambda k: -_smooth(k))
    up = (Metric(name="loss", direction=Direction.MAXIMIZE),)
    assert _one(replace(high, metrics=up)) == _one(low)


def test_the_design_starts_with_the_defaults_and_counts_pending_trials() -> None:
    request = SuggestRequest(space=MIXED, metrics=METRICS, seed=1, count=9, max_trials=100)
    made = gp.suggest(request).suggestions
    assert made[0].params == first_point(MIXED)
    assert all(s.source is TrialSource.INITIAL for s in made)
    assert len({point_key(s.params) for s in made}) == 9


@pytest.mark.parametrize(
    ("options", "max_trials", "size"),
    [({}, None, 6), ({}, 100, 6), ({}, 15, 3), ({}, 3, 1), ({"n_initial": 2}, 100, 2)],
)
def test_the_design_ends_where_the_rule_says(
    options: dict[str, Any], max_trials: int | None, size: int
) -> None:
    request = replace(_history(MIXED, max(size, 2), _smooth), options=options)
    request = replace(request, max_trials=max_trials)
    assert gp.suggest(request).suggestions[0].source is TrialSource.SUGGESTER
    if size > 2:
        short = replace(request, finished=request.finished[: size - 1])
        assert gp.suggest(short).suggestions[0].source is TrialSource.INITIAL


def test_provenance_is_json_and_says_what_the_model_knew() -> None:
    request = replace(_history(MIXED, 15, _smooth), count=2)
    for k, suggestion in enumerate(gp.suggest(request).suggestions):
        told = json.loads(json.dumps(suggestion.provenance, allow_nan=False))
        assert told["model"] == "gp"
        assert told["n"] == 15
        assert told["n_pending"] == k
        assert set(told["length_scales"]) == set(MIXED.names)
        assert {"noise_variance", "mean", "sd", "log_ei", "warp"} <= set(told)
        assert "fallback" not in told


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize("factor", [1.0, 1e-6, 1e6])
def test_the_expected_gain_is_in_the_units_of_the_metric(
    direction: Direction, factor: float
) -> None:
    """Scaled values make the same point, and its gain scaled with them."""
    sign = 1.0 if direction is Direction.MINIMIZE else -1.0
    for n in (14, 16):  # points of two kinds of targets
        plain = _history(PLANE, n, _smooth)
        scaled = _history(PLANE, n, lambda k: sign * factor * _smooth(k) + 3.0)
        scaled = replace(scaled, metrics=(replace(scaled.metrics[0], direction=direction),))
        (first,), (other,) = gp.suggest(plain).suggestions, gp.suggest(scaled).suggestions
        told = first.provenance
        assert other.provenance["expected_gain"] == pytest.approx(
            factor * told["expected_gain"], rel=1e-3
        )
        assert told["expected_gain"] > 0.0
        assert other.provenance["predicted"] == pytest.approx(
            sign * factor * told["predicted"] + 3.0, rel=1e-3, abs=1e-9
        )
        assert other.provenance["predicted_sd"] == pytest.approx(
            factor * told["predicted_sd"], rel=1e-2, abs=1e-9
        )


@pytest.mark.parametrize("kind", ["plain", "half-rank", "soft"])
def test_a_unit_of_the_targets_is_what_the_good_values_say(kind: str) -> None:
    space = gp_training.RowSpace(PLANE)
    points = space.encode([design_point(PLANE, 0, k) for k in range(12)])
    y = 3.0 + 7.0 * np.linspace(0.0, 1.0, 12)  # no far value: none is cut or bent
    model = gp_training.train(space, gp_training.History(points=points, y=y), kind)
    good = np.flatnonzero(y <= np.median(y))
    units = np.diff(y[good]) / np.diff(model.z[good])
    assert model.unit == pytest.approx(units, rel=1e-9)
    if kind == "plain":
        assert model.unit == pytest.approx(np.std(y))


def test_equal_values_have_no_unit_and_no_expected_gain() -> None:
    told = gp.suggest(_history(PLANE, 14, lambda _: 1.0)).suggestions[0].provenance
    assert "expected_gain" not in told


def test_values_are_plain_python_ones() -> None:
    for suggestion in gp.suggest(replace(_history(MIXED, 15, _smooth), count=4)).suggestions:
        assert all(type(v) in (int, float, str, bool) for v in suggestion.params.values())


def test_a_fit_that_is_kept_is_not_that_of_a_space_with_other_conditions() -> None:
    """All points are on the branch where both spaces have the same features."""

    def space(when: Condition | None) -> RowSpace:
        numbers = (FloatParameter(name=n, low=0.0, high=1.0, when=when) for n in "xyz")
        kind = CategoricalParameter(name="kind", choices=("a", "b", "c", "d"))
        return RowSpace(Space(parameters=(kind, *numbers)))

    rng = np.random.default_rng(0)
    points = np.column_stack([np.full(12, 0.125), rng.random((12, 3))])
    history = gp_training.History(points=points, y=np.sin(4.0 * points[:, 1]) + points[:, 2])
    conditional = space(Condition(param="kind", choices=("a",)))
    gp_training._KEPT.clear()
    alone = gp_training.train(conditional, history).gp.hyper
    gp_training._KEPT.clear()
    other = gp_training.train(space(None), history).gp.hyper
    after = gp_training.train(conditional, history).gp.hyper
    assert not np.array_equal(other.length, alone.length)
    np.testing.assert_array_equal(after.length, alone.length)


def test_pending_points_are_kept_away_from() -> None:
    request = _history(PLANE, 12, _smooth)
    first = _one(request)
    pending = (PendingTrial(number=13, params=first),)
    second = _one(replace(request, index=13, pending=pending))
    gaps = [abs(float(first[name]) - float(second[name])) for name in PLANE.names]
    assert sum(gaps) > 1e-2


def _cases() -> dict[str, Callable[[int], float | None]]:
    return {
        "constant": lambda _: 1.0,
        "all failed": lambda _: None,
        "all but one failed": lambda k: 1.0 if k == 7 else None,
        "every third failed": lambda k: None if k % 3 == 0 else _smooth(k),
        "not a number": lambda k: math.nan if k % 4 == 0 else _smooth(k),
        "infinite": lambda k: math.inf if k % 4 == 0 else _smooth(k),
        "huge": lambda k: _smooth(k) * 1e300,
        "tiny": lambda k: _smooth(k) * 1e-300,
        "huge and tiny": lambda k: 1e300 if k % 2 else 1e-300 * k,
        "one outlier": lambda k: 1e12 if k == 3 else _smooth(k),
        "two levels": lambda k: float(k % 2),
        "best is a plateau": lambda k: 0.0 if k % 3 else 1.0,
    }


@pytest.mark.parametrize("case", _cases())
@pytest.mark.parametrize("n", [3, 25])
def test_odd_data_give_new_points_in_the_space(case: str, n: int) -> None:
    request = replace(_history(MIXED, n, _cases()[case]), count=3)
    decision = gp.suggest(request)
    keys = {point_key(t.params) for t in request.finished}
    assert len(decision.suggestions) == 3
    for suggestion in decision.suggestions:
        assert point_key(suggestion.params) not in keys
        assert "fallback" not in suggestion.provenance
        keys.add(point_key(suggestion.params))


def test_one_point_measured_fifty_times_is_borne() -> None:
    point = design_point(PLANE, 0, 3)
    finished = tuple(_trial(k, point, _smooth(k)) for k in range(1, 51))
    request = SuggestRequest(space=PLANE, metrics=METRICS, finished=finished, index=51)
    assert _one(request) != point


def test_a_finite_space_is_used_up_without_repeats_and_then_exhausted() -> None:
    space = Space(
        parameters=(
            CategoricalParameter(name="kind", choices=("a", "b")),
            IntParameter(name="k", low=1, high=4, when=Condition(param="kind", choices=("a",))),
            FloatParameter(name="x", low=0.0, high=1.0, step=0.5),
        )
    )
    finished: list[FinishedTrial] = []
    for number in range(1, 16):
        request = SuggestRequest(
            space=space, metrics=METRICS, finished=tuple(finished), seed=2, index=number
        )
        finished.append(_trial(number, _one(request), _smooth(number)))
    assert len({point_key(t.params) for t in finished}) == 15
    end = gp.suggest(replace(request, finished=tuple(finished), index=16, count=2))
    assert end.exhausted
    assert end.suggestions == ()


def test_a_large_discrete_space_does_not_repeat() -> None:
    space = Space(
        parameters=tuple(IntParameter(name=f"n{j}", low=0, high=40) for j in range(3)),
    )
    finished: list[FinishedTrial] = []
    for number in range(1, 31):
        request = SuggestRequest(
            space=space, metrics=METRICS, finished=tuple(finished), seed=2, index=number
        )
        params = _one(request)
        value = sum((float(v) - 20.0) ** 2 for v in params.values())
        finished.append(_trial(number, params, value))
    assert len({point_key(t.params) for t in finished}) == 30
    assert min(t.values[0] for t in finished if t.values) <= 2.0


def test_a_space_of_one_point_gives_it_once() -> None:
    space = Space(parameters=(FloatParameter(name="x", low=1.0, high=1.0),))
    request = SuggestRequest(space=space, metrics=METRICS, count=3)
    decision = gp.suggest(request)
    assert [s.params for s in decision.suggestions] == [{"x": 1.0}]
    assert decision.exhausted


def test_known_constraints_are_kept() -> None:
    bound = LinearConstraint(terms={"x0": 1.0, "x1": 1.0}, op="<=", bound=3.0)
    space = replace(PLANE, constraints=(bound,))
    finished = tuple(
        _trial(k + 1, p, _branin(p))
        for k, p in enumerate(
            q for q in (design_point(space, 0, j) for j in range(40)) if satisfies(space, q)
        )
    )
    request = SuggestRequest(
        space=space, metrics=METRICS, finished=finished, index=len(finished) + 1, count=4
    )
    for suggestion in gp.suggest(request).suggestions:
        assert suggestion.source is TrialSource.SUGGESTER
        assert satisfies(space, suggestion.params)


def test_failures_are_avoided_where_they_cluster() -> None:
    points = [design_point(PLANE, 1, k) for k in range(24)]
    finished = tuple(
        _trial(k + 1, p, None if float(p["x0"]) > 2.5 else -float(p["x0"]))
        for k, p in enumerate(points)
    )
    request = SuggestRequest(space=PLANE, metrics=METRICS, finished=finished, index=25, count=4)
    suggestions = gp.suggest(request).suggestions
    assert all(s.provenance["models_failures"] for s in suggestions)
    assert sum(float(s.params["x0"]) < 5.0 for s in suggestions) >= 3


def test_under_noise_targets_are_soft_and_no_step_is_local() -> None:
    rng = np.random.default_rng(4)
    points = [design_point(PLANE, 5, k) for k in range(40)]
    finished = tuple(
        _trial(k + 1, p, _branin(p) + 25.0 * rng.standard_normal()) for k, p in enumerate(points)
    )
    for index in (41, 42):
        request = SuggestRequest(space=PLANE, metrics=METRICS, finished=finished, index=index)
        assert gp.sees_noise(request)
        known = gp.suggest(request).suggestions[0].provenance
        assert (known["warp"], known["is_noisy"], known["region"]) == ("soft", True, "global")
    quiet = tuple(_trial(t.number, t.params, _branin(t.params)) for t in finished)
    request = SuggestRequest(space=PLANE, metrics=METRICS, finished=quiet, index=41)
    assert not gp.sees_noise(request)
    assert gp.suggest(request).suggestions[0].provenance["region"] == "local"


def test_a_design_or_a_history_that_cannot_be_fitted_shows_no_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not gp.sees_noise(_history(PLANE, 2, _smooth))

    def broken(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr(gp, "train", broken)
    assert not gp.sees_noise(_history(PLANE, 30, _smooth))


def test_a_model_that_cannot_be_made_gives_a_design_point_and_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> None:
        raise np.linalg.LinAlgError("not positive definite")

    monkeypatch.setattr(gp, "train", broken)
    (suggestion,) = gp.suggest(_history(PLANE, 12, _smooth)).suggestions
    assert suggestion.source is TrialSource.FALLBACK
    assert "not positive definite" in suggestion.provenance["fallback"]


def test_a_fit_that_fails_falls_back_to_default_hyper_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("no start")

    monkeypatch.setattr(gp_training, "_fitted", broken)
    (suggestion,) = gp.suggest(_history(PLANE, 12, _smooth)).suggestions
    assert suggestion.source is TrialSource.SUGGESTER
    assert "no start" in suggestion.provenance["fallback"]


def test_the_plan_of_fits_depends_on_the_number_of_trials_alone() -> None:
    assert [refit_size(n) for n in (5, 60, 61, 62, 63, 200, 209, 1000)] == [
        5, 60, 60, 60, 63, 198, 200, 1000,
    ]  # fmt: skip
    assert [anchor_size(m) for m in (5, 10, 11, 20, 21, 40, 41, 320, 321)] == [
        0, 0, 10, 10, 20, 20, 40, 160, 320,
    ]  # fmt: skip


def test_many_parameters_and_many_trials_are_borne() -> None:
    wide: tuple[Parameter, ...] = tuple(
        FloatParameter(name=f"x{j}", low=0.0, high=1.0) for j in range(50)
    )
    rng = np.random.default_rng(0)
    finished = tuple(
        _trial(
            k + 1, {f"x{j}": float(v) for j, v in enumerate(row)}, float(((row - 0.4) ** 2).sum())
        )
        for k, row in enumerate(rng.random((900, 50)))
    )
    short = SuggestRequest(
        space=Space(parameters=wide), metrics=METRICS, finished=finished[:60], index=61
    )
    assert len(_one(short)) == 50
    space = Space(parameters=wide[:4])
    long = tuple(
        replace(t, params={f"x{j}": t.params[f"x{j}"] for j in range(4)}) for t in finished
    )
    request = SuggestRequest(space=space, metrics=METRICS, finished=long, index=901)
    (suggestion,) = gp.suggest(request).suggestions
    assert suggestion.provenance["n"] == gp_training.SUBSET_ROWS


@pytest.mark.parametrize("seed", [0, 1])
def test_thirty_asks_on_branin_end_close_to_the_optimum(seed: int) -> None:
    finished: list[FinishedTrial] = []
    for number in range(1, 31):
        request = SuggestRequest(
            space=PLANE,
            metrics=METRICS,
            finished=tuple(finished),
            seed=seed,
            index=number,
            max_trials=30,
        )
        params = _one(request)
        finished.append(_trial(number, params, _branin(params)))
    rng = np.random.default_rng(seed)
    drawn = [_branin({"x0": a, "x1": b}) for a, b in rng.random((30, 2)) * 15 - [5, 0]]
    best = min(t.values[0] for t in finished if t.values)
    assert best < 0.3979 + 1e-2
    assert best < min(drawn)
