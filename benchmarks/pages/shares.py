"""Importance against what is known: Sobol's G, Ishigami's function, and Optuna's own fANOVA."""

from __future__ import annotations

import json
import math
import random
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.browser.seeding import bring, create, real

G_WEIGHTS = (0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0)
"""`a` of each parameter of Sobol's G; the larger, the less it matters."""


def sobol_g(x: Sequence[float]) -> float:
    """Sobol's G on the unit cube."""
    return math.prod(
        (abs(4 * v - 2) + a) / (1 + a) for v, a in zip(x, G_WEIGHTS[: len(x)], strict=True)
    )


def g_shares() -> list[float]:
    """First-order Sobol indices of G: V_i = 1 / (3 (1 + a_i)^2), V = prod(1 + V_i) - 1."""
    parts = [1 / (3 * (1 + a) ** 2) for a in G_WEIGHTS]
    return [part / (math.prod(1 + one for one in parts) - 1) for part in parts]


def ishigami(x: Sequence[float]) -> float:
    """Ishigami's function with a = 7, b = 0.1; `x` in [-pi, pi]."""
    return math.sin(x[0]) + 7 * math.sin(x[1]) ** 2 + 0.1 * x[2] ** 4 * math.sin(x[0])


def ishigami_shares() -> list[float]:
    """First-order Sobol indices of Ishigami's function."""
    first = 0.5 * (1 + 0.1 * math.pi**4 / 5) ** 2
    second = 7**2 / 8
    total = 7**2 / 8 + 0.1 * math.pi**4 / 5 + 0.1**2 * math.pi**8 / 18 + 0.5
    return [first / total, second / total, 0.0]


def trials_of(
    function: Callable[[Sequence[float]], float], dims: int, low: float, high: float, n: int
) -> Iterator[dict[str, Any]]:
    """Random points and their values, as finished trials."""
    draw = random.Random(11)
    for _ in range(n):
        x = [draw.uniform(low, high) for _ in range(dims)]
        yield {
            "params": {f"x{d}": v for d, v in enumerate(x)},
            "values": {"value": function(x)},
        }


def fill(call: Any, name: str, low: float, high: float, trials: Sequence[dict[str, Any]]) -> str:
    """A study of such trials; returns its id."""
    space = [real(param, low, high) for param in trials[0]["params"]]
    study_id = create(call, name, space)
    bring(call, study_id, trials)
    return study_id


def of_params(envelope: Any) -> dict[str, float]:
    """The share of each single parameter, from the columns of `importance`."""
    columns = envelope["columns"]
    pairs = columns.get("pair") or [None] * len(columns["param"])
    rows = zip(columns["param"], pairs, columns["share"], strict=True)
    return {param: share for param, pair, share in rows if pair is None}


_OPTUNA = """
import json, sys, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
given = json.load(sys.stdin)
float_of = optuna.distributions.FloatDistribution
dists = {name: float_of(*given["bounds"]) for name in given["trials"][0]["params"]}
study = optuna.create_study()
study.add_trials([
    optuna.trial.create_trial(
        params=t["params"], distributions=dists, value=t["values"]["value"])
    for t in given["trials"]
])
evaluator = optuna.importance.FanovaImportanceEvaluator(seed=1)
print(json.dumps(optuna.importance.get_param_importances(study, evaluator=evaluator)))
"""


def by_optuna(python: str, low: float, high: float, trials: Sequence[Any]) -> dict[str, float]:
    """Optuna's fANOVA of the same trials, in an interpreter that has Optuna."""
    sent = json.dumps({"bounds": [low, high], "trials": list(trials)})
    said = subprocess.run(
        [python, "-c", _OPTUNA], input=sent, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(said.stdout)
    return found


def rank_correlation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Spearman's, over the names of the first."""
    from scipy.stats import spearmanr

    names = sorted(one)
    found = spearmanr([one[name] for name in names], [other[name] for name in names])
    return float(found.statistic)
