"""Which suggesters have to be told of the earlier points."""

from __future__ import annotations

import pytest

from app.domain.space import CategoricalParameter, Condition, FloatParameter, IntParameter, Space
from app.domain.study import Direction, Metric
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.registry import needs_history, suggest

WIDE = FloatParameter(name="x", low=0.0, high=1.0)
KIND = CategoricalParameter(name="k", choices=("a", "b"))


@pytest.mark.parametrize("name", ["random", "sobol"])
@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ((WIDE,), False),
        ((KIND, WIDE), False),
        ((KIND,), True),
        ((IntParameter(name="n", low=1, high=9),), True),
        ((FloatParameter(name="x", low=0.0, high=1.0, step=0.1),), True),
        ((FloatParameter(name="x", low=1.0, high=1.0 + 1e-9),), True),
        (
            (
                KIND,
                FloatParameter(
                    name="x", low=0.0, high=1.0, when=Condition(param="k", choices=("a",))
                ),
            ),
            True,
        ),
    ],
)
def test_only_a_wide_continuous_parameter_that_is_always_active_does_without(
    name: str, parameters: tuple[FloatParameter, ...], expected: bool
) -> None:
    assert needs_history(name, Space(parameters=parameters)) is expected


@pytest.mark.parametrize("name", ["grid", "tpe", "gp", "cmaes", "evolution", "auto"])
def test_all_others_are_told(name: str) -> None:
    assert needs_history(name, Space(parameters=(WIDE,)))


@pytest.mark.parametrize("name", ["random", "sobol"])
def test_their_points_are_the_same_with_and_without_a_history(name: str) -> None:
    from app.domain.trial import TrialState

    space = Space(parameters=(WIDE, KIND))
    metrics = (Metric(name="value", direction=Direction.MINIMIZE),)
    bare = SuggestRequest(space=space, metrics=metrics, seed=7, index=40, count=3)
    finished = tuple(
        FinishedTrial(
            number=k, params={"x": k / 40, "k": "a"}, state=TrialState.COMPLETED, values=(1.0,)
        )
        for k in range(1, 40)
    )
    told = SuggestRequest(
        space=space, metrics=metrics, finished=finished, seed=7, index=40, count=3
    )
    points = [[s.params for s in suggest(name, one).suggestions] for one in (bare, told)]
    assert points[0] == points[1]
