"""What a suggester believes along a parameter is what it makes its points by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Params,
    Space,
)
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState
from app.suggest import gp, tpe
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.registry import ENTRIES
from app.suggest.view import NO_MODEL, PLACES, Line, along, view_of

X = FloatParameter(name="x", low=0.0, high=1.0)
Y = FloatParameter(name="y", low=1e-3, high=1.0, log=True)
KIND = CategoricalParameter(name="kind", choices=("a", "b"))
N = IntParameter(name="n", low=1, high=5, when=Condition(param="kind", choices=("b",)))
LOSS = Metric(name="loss", direction=Direction.MINIMIZE)


def trial(number: int, params: Params, *values: float) -> FinishedTrial:
    return FinishedTrial(
        number=number, params=params, state=TrialState.COMPLETED, values=values or None
    )


def asked(n: int = 20, **more: Any) -> SuggestRequest:
    rng = np.random.default_rng(3)
    points = [{"x": float(x), "y": float(10 ** (3 * y - 3))} for x, y in rng.random((n, 2))]
    finished = tuple(
        trial(k + 1, point, (point["x"] - 0.6) ** 2 + 0.1 * point["y"])
        for k, point in enumerate(points)
    )
    given: dict[str, Any] = {
        "space": Space(parameters=(X, Y)),
        "metrics": (LOSS,),
        "finished": finished,
        "index": n + 1,
        **more,
    }
    return SuggestRequest(**given)


LINE = Line(param="x", point={"x": 0.5, "y": 0.1})


def test_every_suggester_has_a_model_or_a_sentence() -> None:
    for name in ENTRIES:
        found = view_of(name, asked(), LINE)
        assert (found.model is None) == (found.why is not None) == (name in NO_MODEL), name
        assert len(found.x) == (PLACES if found.model else 0), name


@pytest.mark.parametrize("direction", list(Direction))
def test_the_mean_is_in_the_metrics_own_units(direction: Direction) -> None:
    sign = 1.0 if direction is Direction.MINIMIZE else -1.0
    request = asked(40, metrics=(replace(LOSS, direction=direction),))
    turned = tuple(
        replace(t, values=tuple(sign * v for v in t.values or ())) for t in request.finished
    )
    found = view_of("gp", replace(request, finished=turned), LINE)
    x = np.array(found.x, dtype=float)
    near = np.abs(x - 0.6) < 0.3  # the warp keeps the good half in proportion
    truth = (x[near] - 0.6) ** 2 + 0.01
    assert np.abs(sign * np.array(found.mean)[near] - truth).max() < 0.01
    assert found.n_fit == 40


def test_what_is_maximised_is_that_of_the_next_point() -> None:
    request = asked()
    made = gp.suggest(request).suggestions[0]
    at = view_of("gp", request, Line(param="x", point=made.params))
    nearest = int(np.argmin(np.abs(np.array(at.x, dtype=float) - float(made.params["x"]))))
    assert at.acquisition[nearest] == pytest.approx(made.provenance["log_ei"], abs=0.5)
    # No place along that line promises clearly more than the point that was chosen.
    assert max(at.acquisition) < made.provenance["log_ei"] + 0.5


def test_the_ratio_of_the_densities_is_that_of_the_next_point() -> None:
    request = asked()
    made = tpe.suggest(request).suggestions[0]
    found = tpe.densities(request, [made.params])
    assert found is not None
    log_ratio = found.below[0] - found.above[0]
    assert log_ratio == pytest.approx(made.provenance["log_ratio"])
    view = view_of("tpe", request, LINE)
    assert np.mean(view.below) == pytest.approx(1.0)
    assert np.mean(view.above) == pytest.approx(1.0)


def test_a_line_switches_on_what_it_has_to() -> None:
    space = Space(parameters=(X, KIND, N))
    points, values = along(space, Line(param="kind", point={"x": 0.2, "kind": "a"}))
    assert values == ("a", "b")
    assert points == [{"x": 0.2, "kind": "a"}, {"x": 0.2, "kind": "b", "n": 3}]
    points, values = along(space, Line(param="n", point={"x": 0.2, "kind": "b", "n": 1}))
    assert values == (1, 2, 3, 4, 5)
    with pytest.raises(ValueError, match="'n' is not active"):
        along(space, Line(param="n", point={"x": 0.2, "kind": "a"}))


@pytest.mark.parametrize("name", ["gp", "tpe", "auto"])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_trials_are_a_design(name: str, n: int) -> None:
    found = view_of(name, asked(n), LINE)
    assert found.model is None
    assert "design" in (found.why or "")


@pytest.mark.parametrize("name", ["gp", "tpe"])
def test_odd_values_have_a_view(name: str) -> None:
    values = [1e308, -1e308, 5e-324, *([0.5] * 9)]
    finished = tuple(trial(k + 1, {"x": k / 12, "y": 0.1}, value) for k, value in enumerate(values))
    failed = tuple(
        FinishedTrial(
            number=k, params={"x": k / 40, "y": 0.1}, state=TrialState.FAILED, values=None
        )
        for k in range(13, 17)
    )
    for trials in (finished, finished + failed, finished[3:], failed):
        found = view_of(name, asked(finished=trials), LINE)
        assert found.why is not None or len(found.acquisition) == PLACES


def test_several_objectives_show_the_first() -> None:
    request = asked(30)
    both = tuple(
        replace(t, values=(*(t.values or ()), -(t.values or (0.0,))[0])) for t in request.finished
    )
    metrics = (LOSS, Metric(name="size", direction=Direction.MINIMIZE))
    found = view_of("gp", replace(request, metrics=metrics, finished=both), LINE)
    assert found.acquisition_name == "log_ehvi"
    assert min(found.mean) == pytest.approx(0.01, abs=0.02)
