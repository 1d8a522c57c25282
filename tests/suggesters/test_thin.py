"""Spaces of which known constraints leave little: a point is found, and no point twice."""

from __future__ import annotations

import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Params,
    Space,
)
from app.domain.study import Direction, Metric
from app.domain.trial import TrialSource
from app.suggest.registry import ENTRIES, suggest

from .asking import LOSS, answer, request, told

SIX = "abcdef"
TWO = (*LOSS, Metric(name="gain", direction=Direction.MAXIMIZE))
THIN: dict[str, Space] = {
    # 0.14 % of the cube
    "six that share one": Space(
        parameters=tuple(FloatParameter(name=name, low=0.0, high=1.0) for name in SIX),
        constraints=(LinearConstraint(terms=dict.fromkeys(SIX, 1.0), op="<=", bound=1.0),),
    ),
    # Only where the second parameter is active.
    "a branch": Space(
        parameters=(
            FloatParameter(name="p", low=-9.2, high=4.8),
            FloatParameter(name="q", low=-7.8, high=0.5, when=Condition(param="p", high=-2.2)),
        ),
        constraints=(LinearConstraint(terms={"p": -1.0, "q": 1.0}, op="<=", bound=-5.1),),
    ),
    "one choice of two hundred": Space(
        parameters=(
            CategoricalParameter(name="c", choices=tuple(f"c{k}" for k in range(200))),
            FloatParameter(name="x", low=0.0, high=1.0, when=Condition(param="c", choices=("c0",))),
            FloatParameter(name="y", low=0.0, high=1.0),
        ),
        constraints=(LinearConstraint(terms={"x": 1.0}, op=">=", bound=0.9),),
    ),
}

SHARES = Space(
    parameters=THIN["six that share one"].parameters,
    constraints=(LinearConstraint(terms=dict.fromkeys(SIX, 1.0), op="==", bound=1.0),),
)
BALANCED: dict[str, Space] = {
    "six shares of one": SHARES,
    "an integer that real numbers add up to": Space(
        parameters=(
            IntParameter(name="n", low=1, high=6),
            FloatParameter(name="x", low=0.0, high=6.0),
            FloatParameter(name="y", low=0.0, high=6.0),
        ),
        constraints=(LinearConstraint(terms={"x": 1.0, "y": 1.0, "n": -1.0}, op="==", bound=0.0),),
    ),
    "whole numbers": Space(
        parameters=tuple(IntParameter(name=name, low=0, high=60) for name in "abcd"),
        constraints=(LinearConstraint(terms=dict.fromkeys("abcd", 1.0), op="==", bound=60.0),),
    ),
    "shares, one of them in a branch": Space(
        parameters=(
            CategoricalParameter(name="m", choices=("p", "q")),
            FloatParameter(name="a", low=1e-3, high=1.0, log=True),
            FloatParameter(name="b", low=0.0, high=1.0),
            FloatParameter(name="c", low=0.0, high=1.0, when=Condition(param="m", choices=("p",))),
        ),
        constraints=(LinearConstraint(terms=dict.fromkeys("abc", 1.0), op="==", bound=1.0),),
    ),
}


def _distance(params: Params) -> float:
    """From values that fall off with the parameters' order."""
    numbers = [float(v) for v in params.values() if not isinstance(v, str)]
    return sum((v - 0.4 / (k + 1)) ** 2 for k, v in enumerate(numbers))


@pytest.mark.parametrize("space", BALANCED.values(), ids=BALANCED)
@pytest.mark.parametrize("name", ["gp", "tpe", "auto"])
def test_a_model_proposes_on_equalities(name: str, space: Space) -> None:
    """No point is a fallback, or a plain draw, once the design is over; with two metrics too."""
    for metrics in (LOSS, TWO):
        tried: list[Params] = []
        for index in range(1, 16):
            values = [(_distance(p), -_distance(p))[: len(metrics)] for p in tried]
            asked = request(space, told(tried, values), metrics=metrics, index=index)
            (made,) = answer(name, asked).suggestions
            assert made.source in (TrialSource.INITIAL, TrialSource.SUGGESTER)
            assert "uniform draw" not in made.provenance.get("reason", "")
            tried.append(made.params)


def test_gp_finds_the_best_shares() -> None:
    """Which 30 random points come no nearer to than .01, and those of the model within .001."""
    best: dict[str, float] = {}
    for name in ("random", "gp"):
        tried: list[Params] = []
        for index in range(1, 31):
            asked = request(SHARES, told(tried, [(_shares(p),) for p in tried]), index=index)
            (made,) = answer(name, asked).suggestions
            tried.append(made.params)
        best[name] = min(_shares(params) for params in tried)
    assert best["gp"] < 1e-3 < 1e-2 < best["random"]


def _shares(params: Params) -> float:
    wanted = dict(zip(SIX, (0.45, 0.3, 0.15, 0.1, 0.0, 0.0), strict=True))
    return sum((float(params[name]) - share) ** 2 for name, share in wanted.items())


@pytest.mark.parametrize("space", THIN.values(), ids=THIN)
@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "grid"])
def test_every_trial_gets_a_new_point(name: str, space: Space) -> None:
    tried: list[Params] = []
    for _ in range(8):
        asked = request(space, told(tried, [(float(k),) for k in range(len(tried))]))
        (suggestion,) = answer(name, asked).suggestions  # which sees to it that it is new
        tried.append(suggestion.params)


@pytest.mark.parametrize("high", [10**15, 2**53])
def test_a_log_integer_of_very_many_values_has_a_finite_ratio(high: int) -> None:
    space = Space(parameters=(IntParameter(name="n", low=1, high=high, log=True),))
    points = [5, high // 2, high - 3, high - 5, high // 3, high - 100]
    tried = told([{"n": n} for n in points], [(-float(n),) for n in points])
    for index in range(7, 30):
        asked = request(space, tried, index=index, options={"n_candidates": 1})
        (suggestion,) = answer("tpe", asked).suggestions
        assert abs(float(suggestion.provenance["log_ratio"])) < 1e6


def test_a_design_that_scikit_optimize_cannot_make_is_said_to_be_a_fallback() -> None:
    wide = tuple(FloatParameter(name=f"x{k}", low=0.0, high=1.0) for k in range(41))
    (made,) = suggest("skopt", request(Space(parameters=wide))).suggestions
    assert made.source is TrialSource.FALLBACK
    assert "I4_SOBOL" in made.provenance["fallback"]
