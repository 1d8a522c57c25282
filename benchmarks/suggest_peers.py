"""One ask and tell of other libraries' suggesters, for `suggest.py`.

Each keeps its own state, so the history is told beforehand, untimed. Those that are not installed
are left out.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

from app.domain.space import CategoricalParameter, IntParameter, Params, Space

NEEDS = {
    "optuna-tpe": ("optuna",),
    "optuna-gp": ("optuna", "torch"),
    "scikit-optimize": ("skopt",),
}
"""The peers and what each needs."""

Step = Callable[[], object]
"""One ask with its tell, ready to be timed."""


def is_installed(name: str) -> bool:
    """Whether the packages of a peer are here."""
    return all(importlib.util.find_spec(module) for module in NEEDS[name])


def prepare(
    name: str, space: Space, points: Sequence[Params], values: Sequence[float], seed: int
) -> Step:
    """Tells a peer a history; what is left is one ask and one tell."""
    if name == "scikit-optimize":
        return _scikit_optimize(space, points, values, seed)
    return _optuna(name.partition("-")[2], space, points, values, seed)


def _optuna(
    kind: str, space: Space, points: Sequence[Params], values: Sequence[float], seed: int
) -> Step:
    """Optuna's joint TPE, or its GP, with documented defaults."""
    optuna = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = optuna.samplers
    sampler = samplers.GPSampler(seed=seed) if kind == "gp" else samplers.TPESampler(seed=seed)
    study = optuna.create_study(direction="minimize", sampler=sampler)
    dists = {p.name: _optuna_distribution(p) for p in space.parameters}
    for params, value in zip(points, values, strict=True):
        study.add_trial(optuna.trial.create_trial(params=params, distributions=dists, value=value))

    def step() -> object:
        trial = study.ask(dists)
        study.tell(trial, 1.0)
        return trial

    return step


def _optuna_distribution(parameter: Any) -> Any:
    optuna = importlib.import_module("optuna")
    if isinstance(parameter, CategoricalParameter):
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    if isinstance(parameter, IntParameter):
        return optuna.distributions.IntDistribution(
            parameter.low, parameter.high, log=parameter.log
        )
    return optuna.distributions.FloatDistribution(
        parameter.low, parameter.high, log=parameter.log, step=parameter.step
    )


def _scikit_optimize(
    space: Space, points: Sequence[Params], values: Sequence[float], seed: int
) -> Step:
    """scikit-optimize's own Optimizer: its tell fits the model, its ask hands out what it found."""
    from skopt import Optimizer
    from skopt.space import Categorical, Integer, Real

    def dimension(p: Any) -> Any:
        if isinstance(p, CategoricalParameter):
            return Categorical(list(p.choices), name=p.name)
        kind = Integer if isinstance(p, IntParameter) else Real
        return kind(p.low, p.high, prior="log-uniform" if p.log else "uniform", name=p.name)

    def row(params: Params) -> list[Any]:
        return [params[name] for name in space.names]

    optimizer = Optimizer(
        [dimension(p) for p in space.parameters],
        base_estimator="GP",
        acq_func="EI",
        random_state=seed,
    )
    optimizer.tell([row(p) for p in points[:-1]], list(values[:-1]), fit=False)

    def step() -> object:
        optimizer.tell(row(points[-1]), values[-1])
        return optimizer.ask()

    return step
