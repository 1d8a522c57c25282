"""Eight workers with late results find what one worker finds, trial for trial, or nearly.

Regret after as many trials, as a mean over seeds; results come back 1 to 20 asks late.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest

from app.domain.space import FloatParameter, Params, Space

from ..suggesters.fleet import run

N_TRIALS = 100
N_WORKERS = 8
RELATIVE = 0.15
"""So much of the sequential regret may be lost."""
ABSOLUTE = 0.01
"""Or so much of the regret of a random point: both may be at the optimum."""

SQUARE = Space(parameters=tuple(FloatParameter(name=n, low=-5.0, high=5.0) for n in "ab"))
BRANIN = Space(
    parameters=(
        FloatParameter(name="a", low=-5.0, high=10.0),
        FloatParameter(name="b", low=0.0, high=15.0),
    )
)


def branin(p: Params) -> float:
    """Branin 1972 less its smallest value; a random point has about 40."""
    a, b = float(p["a"]), float(p["b"])
    bend = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return (bend**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10 - 0.397887) / 40.0


def ackley(p: Params) -> float:
    """Ackley 1987 off the centre: one funnel, many dents; a random point has about 10."""
    a, b = float(p["a"]) - 0.7, float(p["b"]) + 1.3
    funnel = 20 - 20 * math.exp(-0.2 * math.sqrt((a * a + b * b) / 2))
    dents = math.e - math.exp((math.cos(2 * math.pi * a) + math.cos(2 * math.pi * b)) / 2)
    return (funnel + dents) / 10.0


def regret(
    name: str, space: Space, f: Callable[[Params], float], seed: int, n_workers: int
) -> float:
    """Best value found, as a share of what a random point has."""
    done = run(name, space, f, n_trials=N_TRIALS, n_workers=n_workers, seed=seed)
    return min(trial.values[0] for trial in done if trial.values)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "space", "f", "n_seeds"),
    [
        ("gp", BRANIN, branin, 2),
        ("auto", SQUARE, ackley, 1),
        ("tpe", BRANIN, branin, 10),
        ("tpe", SQUARE, ackley, 10),
    ],
)
def test_regret_with_eight_workers_is_close_to_that_with_one(
    name: str, space: Space, f: Callable[[Params], float], n_seeds: int
) -> None:
    alone, together = (
        statistics.fmean(regret(name, space, f, seed, n) for seed in range(1, n_seeds + 1))
        for n in (1, N_WORKERS)
    )
    assert together <= alone * (1.0 + RELATIVE) + ABSOLUTE
