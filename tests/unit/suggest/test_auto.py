"""What auto chooses, and that it says why."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
)
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState
from app.suggest.auto import choose, suggest
from app.suggest.base import FinishedTrial, SuggestRequest

METRICS = (Metric(name="y", direction=Direction.MINIMIZE),)


def numeric(p: int) -> tuple[Parameter, ...]:
    return tuple(FloatParameter(name=f"x{k}", low=0.0, high=1.0) for k in range(p))


CATEGORY = CategoricalParameter(name="c", choices=("a", "b"))
CATEGORIES = tuple(CategoricalParameter(name=f"c{k}", choices=tuple("abcde")) for k in range(3))
BRANCH = FloatParameter(name="z", low=0.0, high=1.0, when=Condition(param="c", choices=("a",)))
LIST = (IntParameter(name="n", low=1, high=24),)


def ask(parameters: tuple[Parameter, ...], n: int = 0, **more: Any) -> SuggestRequest:
    trial = FinishedTrial(number=1, params={}, state=TrialState.COMPLETED, values=(1.0,))
    return SuggestRequest(
        space=Space(parameters=parameters), metrics=METRICS, finished=(trial,) * n, **more
    )


@pytest.mark.parametrize(
    ("request_", "name", "words"),
    [
        (ask(LIST, max_trials=24), "grid", "all 24 points"),
        (ask(LIST, max_trials=23), "gp", "parameters and 0 results"),
        (ask(LIST), "gp", "parameters and 0 results"),
        (ask(numeric(20), 300), "gp", "20 parameters"),
        (ask(numeric(21)), "tpe", "21 parameters, more than 20"),
        (ask(numeric(2), 301), "tpe", "301 results, more than 300"),
        (ask((CATEGORY, BRANCH), index=3), "gp", "2 parameters"),
        (ask((CATEGORY, BRANCH), index=4), "gp", "2 parameters"),
        (ask((*CATEGORIES, *numeric(2)), index=8), "gp", "parameters"),
        (ask((CATEGORY, *numeric(1)), index=8), "gp", "parameters and 0 results"),
    ],
)
def test_choice_by_space_and_budget(request_: SuggestRequest, name: str, words: str) -> None:
    choice = choose(request_)
    assert choice.name == name
    assert words in choice.why


def test_provenance_names_the_choice_and_the_reason() -> None:
    decision = suggest(ask(LIST, max_trials=30, count=25))
    assert sorted(int(s.params["n"]) for s in decision.suggestions) == list(range(1, 25))
    assert [s.params["n"] for s in decision.suggestions] != list(range(1, 25))
    assert decision.exhausted
    known = decision.suggestions[3].provenance
    assert known["suggester"] == "auto"
    assert known["chosen"] == "grid"
    assert "budget" in known["why"]
    assert (known["index"], known["n_pending"]) == (4, 3)


def test_n_initial_reaches_the_chosen_suggester() -> None:
    decision = suggest(ask(numeric(2), count=3, options={"n_initial": 9}))
    assert {s.source for s in decision.suggestions} == {"initial"}
