"""scikit-optimize behind the common interface: translation, subsampling, fallback."""

from __future__ import annotations

import subprocess
import sys
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
from app.domain.trial import TrialSource, TrialState
from app.suggest import skopt
from app.suggest.base import FinishedTrial, SuggestRequest

METRICS = (Metric(name="y", direction=Direction.MINIMIZE),)
SPACE = Space(
    parameters=(
        CategoricalParameter(name="c", choices=("a", "b", True)),
        FloatParameter(name="x", low=0.0, high=1.0),
        IntParameter(
            name="n", low=1, high=100, log=True, when=Condition(param="c", choices=("a",))
        ),
        FloatParameter(name="s", low=0.0, high=1.0, step=0.25),
        IntParameter(name="one", low=4, high=4),
    )
)


def ask(finished: tuple[FinishedTrial, ...] = (), **more: Any) -> SuggestRequest:
    return SuggestRequest(
        space=SPACE, metrics=METRICS, finished=finished, index=len(finished) + 1, **more
    )


def trials(n: int) -> tuple[FinishedTrial, ...]:
    rng = np.random.default_rng(3)
    made = []
    for number in range(1, n + 1):
        params: Params = {"c": "b", "x": float(rng.random()), "s": 0.5, "one": 4}
        y = (float(params["x"]) - 0.3) ** 2
        made.append(
            FinishedTrial(number=number, params=params, state=TrialState.COMPLETED, values=(y,))
        )
    return tuple(made)


def test_importing_the_module_does_not_load_the_library() -> None:
    code = "import sys, app.suggest.skopt; print('skopt' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("kind", ["sobol", "lhs", "halton", "hammersly", "random"])
def test_every_sampler_makes_a_design(kind: str) -> None:
    options = {"initial_point_generator": kind, "n_initial": 6}
    made = skopt.suggest(ask(options=options, count=6)).suggestions
    assert {s.provenance["design"] for s in made} == {kind}
    assert {s.source for s in made} == {TrialSource.INITIAL}


@pytest.mark.parametrize(
    ("estimator", "acquisition"), [("gp", "pi"), ("rf", "ei"), ("et", "lcb"), ("gp", "gp_hedge")]
)
def test_every_model_and_acquisition_proposes(estimator: str, acquisition: str) -> None:
    options = {"base_estimator": estimator, "acq_func": acquisition}
    (made,) = skopt.suggest(ask(trials(8), options=options)).suggestions
    assert made.provenance["phase"] == "model"
    assert made.source is TrialSource.SUGGESTER


def test_the_model_closes_in_on_the_optimum() -> None:
    (made,) = skopt.suggest(ask(trials(25))).suggestions
    assert made.params["c"] != "b" or abs(float(made.params["x"]) - 0.3) < 0.2


def test_an_error_of_the_library_leaves_a_design_point_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise FloatingPointError("no luck")

    monkeypatch.setattr("skopt.Optimizer.tell", broken)
    (made,) = skopt.suggest(ask(trials(8))).suggestions
    assert made.source is TrialSource.FALLBACK
    assert made.provenance["fallback"] == "FloatingPointError: no luck"


def test_only_a_share_of_many_trials_is_told() -> None:
    y = np.random.default_rng(1).random(1_000)
    y[::7] = np.nan
    rows = skopt._told_rows(y)
    assert len(rows) == skopt.MAX_TOLD
    assert rows == sorted(set(rows))
    best = set(np.argsort(np.where(np.isnan(y), 9.0, y))[: skopt.MAX_TOLD // 3].tolist())
    assert best <= set(rows)
    assert np.isnan(y[rows]).any()


def test_failures_count_as_the_worst_value() -> None:
    z = skopt._standardised(np.array([1e300, -1e300, np.nan, 0.0]))
    assert np.isfinite(z).all()
    assert z[2] == z[0] == z.max()
    assert skopt._standardised(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]
