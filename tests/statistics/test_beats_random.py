"""Each suggester with a model beats random search: on simple functions, seed by seed.

A paired one-sided Wilcoxon test over functions and seeds together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from scipy.stats import wilcoxon

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Params,
    Space,
)
from app.domain.study import Direction, Metric
from app.domain.trial import FailureKind, TrialState
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.registry import ENTRIES, suggest

METRICS = (Metric(name="y", direction=Direction.MINIMIZE),)
N_TRIALS = 30
LONGER = {"cmaes": 100, "evolution": 100}
"""Trials of those that learn from generations, not from every result."""
SEEDS = {"skopt": range(1, 4)}
"""Fewer for the slow one; the others have six."""

BRANIN = Space(
    parameters=(
        FloatParameter(name="a", low=-5.0, high=10.0),
        FloatParameter(name="b", low=0.0, high=15.0),
    )
)
NET = Space(
    parameters=(
        CategoricalParameter(name="kind", choices=("adam", "sgd", "none")),
        FloatParameter(name="rate", low=1e-5, high=1.0, log=True),
        IntParameter(name="units", low=8, high=512, log=True),
        FloatParameter(
            name="momentum", low=0.0, high=1.0, when=Condition(param="kind", choices=("sgd",))
        ),
    )
)
BOWL = Space(parameters=tuple(FloatParameter(name=f"x{k}", low=0.0, high=1.0) for k in range(6)))


def branin(p: Params) -> float:
    """Branin 1972; smallest value 0.398."""
    a, b = float(p["a"]), float(p["b"])
    bend = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def net(p: Params) -> float | None:
    """A stand-in for training: a best rate, more units better, no training fails at times."""
    rate, units = math.log10(float(p["rate"])), math.log2(float(p["units"]))
    if rate > -0.5:
        return None
    kind = {"adam": 0.0, "sgd": 0.3, "none": 2.0}[str(p["kind"])]
    return kind + (rate + 2.7) ** 2 + 0.2 * (8 - units) ** 2 - 0.4 * float(p.get("momentum", 0.0))


def bowl(p: Params) -> float:
    """A sphere off the centre, its axes of unequal weight."""
    return sum((k + 1) * (float(p[f"x{k}"]) - 0.7) ** 2 for k in range(6))


TASKS: tuple[tuple[Space, Callable[[Params], float | None]], ...] = (
    (BRANIN, branin),
    (NET, net),
    (BOWL, bowl),
)


def best_after(
    name: str, space: Space, f: Callable[[Params], float | None], seed: int, n: int = N_TRIALS
) -> float:
    """Best value of a run of `n` trials."""
    known: list[FinishedTrial] = []
    for number in range(1, n + 1):
        asked = SuggestRequest(
            space=space,
            metrics=METRICS,
            finished=tuple(known),
            seed=seed,
            index=number,
            max_trials=n,
        )
        (made,) = suggest(name, asked).suggestions
        y = f(made.params)
        known.append(
            FinishedTrial(
                number=number,
                params=made.params,
                state=TrialState.FAILED if y is None else TrialState.COMPLETED,
                values=None if y is None else (y,),
                failure=FailureKind.NAN if y is None else None,
            )
        )
    return min(trial.values[0] for trial in known if trial.values)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if not entry.is_cheap])
def test_model_beats_random(name: str) -> None:
    gains = []
    for space, f in TASKS:
        for seed in SEEDS.get(name, range(1, 7)):
            n = LONGER.get(name, N_TRIALS)
            chance = best_after("random", space, f, seed, n)
            model = best_after(name, space, f, seed, n)
            # On the scale of the distance from the optimum, so that no task outweighs another.
            gains.append(math.log(max(chance + 1, 1e-9)) - math.log(max(model + 1, 1e-9)))
    assert wilcoxon(gains, alternative="greater").pvalue < 0.01
