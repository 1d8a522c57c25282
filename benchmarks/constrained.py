"""Regret within known linear constraints: equalities, narrow corners, whole numbers, branches.

Runs in process, without a service. Regret is how far the best value found is above the best known
one, after 10, 20 and 40 trials: a mean over seeds, as a share of what ten random points have.

Run: python benchmarks/constrained.py [--suggesters gp,tpe,cmaes,evolution,random] [--seeds 5]
     [--tasks shares] [--out benchmarks/results/constrained.jsonl]
"""

from __future__ import annotations

import os

# Read when numpy is loaded, so they come before every other import.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from machine import machine

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
from app.domain.trial import TrialSource, TrialState
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.memory import SuggestMemory
from app.suggest.registry import suggest

STEPS = (10, 20, 40)
METRICS = (Metric(name="loss", direction=Direction.MINIMIZE),)
SIX = "abcdef"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A space with constraints, a function of its points, and the function's least known value,
    from 200 starts of scipy's SLSQP where it is not plain.
    """

    space: Space
    function: Callable[[Params], float]
    least: float = 0.0


def _floats(names: str, low: float = 0.0, high: float = 1.0) -> tuple[FloatParameter, ...]:
    return tuple(FloatParameter(name=name, low=low, high=high) for name in names)


def _sum(names: str, op: str, bound: float) -> LinearConstraint:
    return LinearConstraint(terms=dict.fromkeys(names, 1.0), op=op, bound=bound)


def _numbers(params: Params, names: str) -> Any:
    return np.array([float(params[name]) for name in names])


def _shares(params: Params) -> float:
    """Distance from sparse shares, with a kink at the best."""
    gaps = _numbers(params, SIX) - np.array([0.45, 0.3, 0.15, 0.1, 0.0, 0.0])
    return float(np.abs(gaps).sum() + 3.0 * (gaps**2).sum())


def _log_shares(params: Params) -> float:
    return float(((np.log(_numbers(params, "abcd")) - np.log([0.6, 0.25, 0.1, 0.05])) ** 2).sum())


def _corner(params: Params) -> float:
    """A bowl whose lowest place lies outside; the nearest within is (.3, .2, .1, 0, 0, 0) + .1."""
    return float(((_numbers(params, SIX) - np.array([0.5, 0.4, 0.3, 0.2, 0.0, 0.0])) ** 2).sum())


def _whole(params: Params) -> float:
    return float(np.sqrt(((_numbers(params, "abcd") - np.array([30, 17, 3, 10])) ** 2).sum()))


def _mixed(params: Params) -> float:
    part = {"u": 0.0, "v": 0.5, "w": 1.0}[str(params["c"])]
    gap = abs(float(params["x"]) - 1.3)
    return 0.2 * (float(params["n"]) - 4.0) ** 2 + gap + part * (1.0 + float(params["y"]))


def _branch(params: Params) -> float:
    gap = abs(float(params["a"]) - 0.2) + 4.0 * (float(params["b"]) - 0.5) ** 2
    return gap + abs(float(params.get("c", 0.0)) - 0.25) + (0.3 if params["m"] == "q" else 0.0)


def _valley(names: str) -> Callable[[Params], float]:
    """Rosenbrock's function."""

    def valley(params: Params) -> float:
        x = _numbers(params, names)
        return float((100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum())

    return valley


def _branin(params: Params) -> float:
    a, b = _numbers(params, "ab")
    bowl = (b - 5.1 / (4.0 * math.pi**2) * a**2 + 5.0 / math.pi * a - 6.0) ** 2
    return float(bowl + 10.0 * (1.0 - 1.0 / (8.0 * math.pi)) * math.cos(a) + 10.0)


TASKS: dict[str, Task] = {
    "shares": Task(
        space=Space(parameters=_floats(SIX), constraints=(_sum(SIX, "==", 1.0),)), function=_shares
    ),
    "log-shares": Task(
        space=Space(
            parameters=tuple(FloatParameter(name=n, low=1e-4, high=1.0, log=True) for n in "abcd"),
            constraints=(_sum("abcd", "==", 1.0),),
        ),
        function=_log_shares,
    ),
    "whole-numbers": Task(
        space=Space(
            parameters=tuple(IntParameter(name=name, low=0, high=60) for name in "abcd"),
            constraints=(_sum("abcd", "==", 60.0),),
        ),
        function=_whole,
    ),
    "integer-and-real": Task(
        space=Space(
            parameters=(
                IntParameter(name="n", low=1, high=6),
                *_floats("xy", 0.0, 6.0),
                CategoricalParameter(name="c", choices=("u", "v", "w")),
            ),
            constraints=(
                LinearConstraint(terms={"x": 1.0, "y": 1.0, "n": -1.0}, op="==", bound=0.0),
            ),
        ),
        function=_mixed,
    ),
    "two-equalities": Task(
        space=Space(
            parameters=_floats("abcde", -2.0, 2.0),
            constraints=(
                LinearConstraint(terms={"a": 1.0, "b": 2.0, "c": -1.0}, op="==", bound=0.5),
                LinearConstraint(terms={"c": 1.0, "d": 1.0, "e": 3.0}, op="==", bound=-1.0),
            ),
        ),
        function=_valley("abcde"),
        least=13.244833856712715,
    ),
    "branch": Task(
        space=Space(
            parameters=(
                CategoricalParameter(name="m", choices=("p", "q")),
                *_floats("ab"),
                FloatParameter(
                    name="c", low=0.0, high=1.0, when=Condition(param="m", choices=("p",))
                ),
                *_floats("d"),
            ),
            constraints=(_sum("abcd", "==", 1.0),),
        ),
        function=_branch,
    ),
    "corner": Task(
        space=Space(parameters=_floats(SIX), constraints=(_sum(SIX, "<=", 1.0),)),
        function=_corner,
        least=0.04,
    ),
    "half-plane": Task(
        space=Space(parameters=_floats("ab", -5.0, 10.0), constraints=(_sum("ab", "<=", 2.0),)),
        function=_branin,
        least=11.972061501191716,
    ),
    "narrow-bands": Task(
        space=Space(
            parameters=_floats("abcd", -2.0, 2.0),
            constraints=(
                _sum("ab", "<=", 0.1),
                _sum("ab", ">=", 0.0),
                LinearConstraint(terms={"c": 1.0, "d": -1.0}, op="<=", bound=0.05),
                LinearConstraint(terms={"c": 1.0, "d": -1.0}, op=">=", bound=-0.05),
            ),
        ),
        function=_valley("abcd"),
        least=2.798350739661667,
    ),
}


def run(name: str, task: Task, seed: int) -> tuple[list[float], int, float]:
    """One study: the best values after each of `STEPS`, fallbacks, CPU seconds a point."""
    memory, finished, values = SuggestMemory(), list[FinishedTrial](), list[float]()
    fallbacks = 0
    began = time.process_time()
    for index in range(1, STEPS[-1] + 1):
        request = SuggestRequest(
            space=task.space,
            metrics=METRICS,
            finished=tuple(finished),
            seed=seed,
            index=index,
            max_trials=STEPS[-1],
            memory=memory,
        )
        (made,) = suggest(name, request).suggestions
        fallbacks += made.source is TrialSource.FALLBACK
        value = task.function(made.params)
        values.append(value)
        finished.append(
            FinishedTrial(
                number=index, params=made.params, state=TrialState.COMPLETED, values=(value,)
            )
        )
    seconds = (time.process_time() - began) / STEPS[-1]
    return [min(values[:n]) for n in STEPS], fallbacks, seconds


def row(name: str, task: Task, n_seeds: int) -> dict[str, Any]:
    """Regrets (not yet a share), fallbacks of all seeds, and milliseconds of one point."""
    found = [run(name, task, seed) for seed in range(n_seeds)]
    regrets = np.mean([best for best, _, _ in found], axis=0) - task.least
    return {
        "suggester": name,
        "regret": [float(regret) for regret in regrets],
        "fallbacks": sum(count for _, count, _ in found),
        "points": n_seeds * STEPS[-1],
        "cpu_ms": 1e3 * float(np.mean([seconds for _, _, seconds in found])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--suggesters", default="gp,tpe,cmaes,evolution,random")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    for name in given.tasks.split(","):
        unit = row("random", TASKS[name], given.seeds)["regret"][0]
        print(f"{name}: a share of {unit:.4g}")
        for suggester in given.suggesters.split(","):
            line = row(suggester, TASKS[name], given.seeds)
            line["regret"] = [regret / unit for regret in line["regret"]]
            shares = " / ".join(f"{regret:.4f}" for regret in line["regret"])
            fallbacks = f"{line['fallbacks']} fallbacks of {line['points']}"
            print(f"  {suggester:10} {shares}   {fallbacks}   {line['cpu_ms']:.1f} ms", flush=True)
            if given.out is not None:
                about = {**machine(("numpy", "scipy", "cmaes")), "task": name, "seeds": given.seeds}
                with given.out.open("a") as lines:
                    lines.write(json.dumps({**about, "at": STEPS, **line}) + "\n")


if __name__ == "__main__":
    main()
