"""Records what another library says of the importance of parameters, for the tests to compare with.

    python benchmarks/record_importance.py > tests/unit/analysis/data/optuna_fanova.json

Needs `requirements-peers.txt` and scikit-learn, in an environment of its own. Each case has trials
on a linear space without conditions, and Optuna's fANOVA of them (64 trees, seed 0), which takes
values as they are: with ours it is compared without clipping.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Params = Mapping[str, Any]
DIGITS = 6


def linear(params: Params) -> float:
    """Weights that halve from one parameter to the next."""
    return sum(0.7**j * value for j, value in enumerate(params.values()))


def ridge(params: Params) -> float:
    """A valley along two parameters, a slope along a third, others next to nothing."""
    a, b, c, d, e = params.values()
    return float((a - b) ** 2 + 0.5 * a + 0.2 * c + 0.05 * d + 0.0 * e)


def training(params: Params) -> float:
    """Like a small network: a rate with a best place, a width that saturates, a choice."""
    rate, width, depth, kind, noise = params.values()
    loss = 4 * (rate - 0.35) ** 2 + 0.6 / (1 + width / 40) + 0.05 * abs(depth - 3)
    return float(loss + {"plain": 0.15, "norm": 0.0, "drop": 0.05}[kind] + 0.01 * noise)


CASES: dict[str, tuple[Callable[[Params], float], list[dict[str, Any]], int, bool]] = {
    "linear": (linear, [{"name": f"x{j}"} for j in range(6)], 300, False),
    "ridge": (ridge, [{"name": name} for name in "abcde"], 300, False),
    "training": (
        training,
        [
            {"name": "rate"},
            {"name": "width", "type": "int", "low": 8, "high": 256},
            {"name": "depth", "type": "int", "low": 1, "high": 6},
            {"name": "kind", "type": "categorical", "choices": ["plain", "norm", "drop"]},
            {"name": "noise"},
        ],
        300,
        True,
    ),
}
"""By name: function, parameters, trials, and whether a suggester chose the points."""


def suggested(trial: Any, parameter: Mapping[str, Any]) -> Any:
    """A parameter of a trial, from 0 to 1 unless it says otherwise."""
    name = parameter["name"]
    if parameter.get("type") == "int":
        return trial.suggest_int(name, parameter["low"], parameter["high"])
    if parameter.get("type") == "categorical":
        return trial.suggest_categorical(name, parameter["choices"])
    return round(trial.suggest_float(name, 0.0, 1.0), DIGITS)


def recorded(name: str) -> dict[str, Any]:
    """One case: its space, its trials, and the shares."""
    import optuna

    function, space, n, is_guided = CASES[name]
    samplers = optuna.samplers
    sampler = samplers.TPESampler(seed=1) if is_guided else samplers.RandomSampler(seed=1)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda t: function({p["name"]: suggested(t, p) for p in space}), n_trials=n)
    shares = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
    )
    names = [parameter["name"] for parameter in space]
    trials = [trial for trial in study.trials if trial.value is not None]
    if not all(math.isfinite(trial.value) for trial in trials):
        raise ValueError(f"a value of {name} is not finite")
    return {
        "space": space,
        "points": [[_short(trial.params[name]) for name in names] for trial in trials],
        "values": [_short(trial.value) for trial in trials],
        "shares": {name: _short(share) for name, share in sorted(shares.items())},
    }


def _short(value: Any) -> Any:
    return float(np.format_float_positional(value, 5)) if isinstance(value, float) else value


def main() -> None:
    """Prints all cases."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = {"optuna": optuna.__version__, "cases": {name: recorded(name) for name in CASES}}
    json.dump(found, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
