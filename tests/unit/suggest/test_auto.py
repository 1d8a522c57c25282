"""What auto chooses, and that it says why."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
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
from app.suggest.auto import choose, n_since_best, suggest
from app.suggest.base import FinishedTrial, SuggestRequest

METRICS = (Metric(name="y", direction=Direction.MINIMIZE),)


def numeric(p: int) -> tuple[Parameter, ...]:
    return tuple(FloatParameter(name=f"x{k}", low=0.0, high=1.0) for k in range(p))


CATEGORY = CategoricalParameter(name="c", choices=("a", "b"))
CATEGORIES = tuple(CategoricalParameter(name=f"c{k}", choices=tuple("abcde")) for k in range(3))
BRANCH = FloatParameter(name="z", low=0.0, high=1.0, when=Condition(param="c", choices=("a",)))
LIST = (IntParameter(name="n", low=1, high=24),)


def ask(parameters: tuple[Parameter, ...], n: int = 0, **more: Any) -> SuggestRequest:
    """A request after n results, each better than the one before."""
    return SuggestRequest(
        space=Space(parameters=parameters), metrics=METRICS, finished=falling(n), **more
    )


def falling(n: int) -> tuple[FinishedTrial, ...]:
    return tuple(
        FinishedTrial(
            number=k,
            params={"x0": k / 100, "x1": (k % 7) / 7, "x2": (k % 3) / 3},
            state=TrialState.COMPLETED,
            values=(-float(k),),
        )
        for k in range(1, n + 1)
    )


@pytest.mark.parametrize(
    ("request_", "name", "words"),
    [
        (ask(LIST, max_trials=24), "grid", "all 24 points"),
        (ask(LIST, max_trials=23), "gp", "parameters and 0 results"),
        (ask(numeric(3), 30, time_per_trial_s=1.0), "gp", "3 parameters and 30 results"),
        (ask(numeric(3), 30, time_per_trial_s=0.1), "tpe", "a trial has 0.1 s"),
        (ask(LIST), "gp", "parameters and 0 results"),
        (ask(numeric(100)), "gp", "100 parameters and 0 results"),
        (ask(numeric(3), 300, index=302), "gp", "3 parameters"),
        (ask(numeric(101)), "tpe", "101 parameters, more than 100"),
        (ask(numeric(2), 1_001), "tpe", "1001 results, more than 1000"),
        (ask((CATEGORY, BRANCH), index=3), "gp", "2 parameters"),
        (ask((CATEGORY, BRANCH), index=4), "gp", "2 parameters"),
        (ask((*CATEGORIES, *numeric(2)), index=8), "gp", "parameters"),
        (ask((*CATEGORIES, *numeric(2)), 40, index=41), "tpe", "mostly categories"),
        (ask((*CATEGORIES, *numeric(2)), 40, index=42), "gp", "5 parameters and 40 results"),
        (ask((*CATEGORIES[:2], *numeric(2)), 40, index=42), "gp", "4 parameters"),
        (ask((CATEGORY, *numeric(1)), index=8), "gp", "parameters and 0 results"),
    ],
)
def test_choice_by_space_and_budget(request_: SuggestRequest, name: str, words: str) -> None:
    choice = choose(request_)
    assert choice.name == name
    assert words in choice.why


@pytest.mark.parametrize(
    ("n_since", "index", "name"), [(11, 41, "gp"), (12, 41, "tpe"), (12, 42, "gp"), (30, 43, "tpe")]
)
def test_a_stalled_study_takes_turns(n_since: int, index: int, name: str) -> None:
    worse = tuple(dataclasses.replace(t, values=(0.0,)) for t in falling(40)[40 - n_since :])
    finished = falling(40 - n_since) + worse
    request = dataclasses.replace(ask(numeric(3)), finished=finished, index=index)
    choice = choose(request)
    assert choice.name == name
    assert (f"no better result among the last {n_since}" in choice.why) == (name == "tpe")
    assert choose(dataclasses.replace(request, finished=finished[::-1])) == choice


def test_noise_makes_gp_and_tpe_take_turns() -> None:
    rng = np.random.default_rng(3)

    def request(sd: float, index: int) -> SuggestRequest:
        x = rng.random((40, 2))
        y = (x[:, 0] - 0.4) ** 2 + (x[:, 1] - 0.7) ** 2 + sd * rng.standard_normal(40)
        order = np.append(np.delete(np.arange(40), np.argmin(y)), np.argmin(y))
        x, y = x[order], y[order]  # the best one last, so that nothing is stalled
        finished = tuple(
            FinishedTrial(
                number=k + 1,
                params={"x0": float(x[k, 0]), "x1": float(x[k, 1])},
                state=TrialState.COMPLETED,
                values=(float(y[k]),),
            )
            for k in range(40)
        )
        return dataclasses.replace(ask(numeric(2)), finished=finished, index=index)

    assert choose(request(0.2, 41)).name == "tpe"
    assert "noisy results" in choose(request(0.2, 41)).why
    assert choose(request(0.2, 42)).name == "gp"
    assert choose(request(0.0, 41)).name == "gp"


def test_nothing_is_stalled_without_a_single_best() -> None:
    request = dataclasses.replace(ask(numeric(3)), finished=falling(40)[::-1])
    assert n_since_best(request) == 0
    worse = tuple(dataclasses.replace(t, values=(0.0, 0.0)) for t in falling(40))
    two = (*METRICS, Metric(name="size", direction=Direction.MINIMIZE))
    assert n_since_best(dataclasses.replace(request, metrics=two, finished=worse)) == 0
    failed = tuple(dataclasses.replace(t, values=None) for t in falling(40))
    assert n_since_best(dataclasses.replace(request, finished=failed)) == 0
    equal = tuple(dataclasses.replace(t, values=(1.0,)) for t in falling(40))
    assert n_since_best(dataclasses.replace(request, finished=equal)) == 39


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
