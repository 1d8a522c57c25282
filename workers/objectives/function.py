"""Test functions with noise, steps and failures on demand: for trying out and for load. No torch,
no numpy.

Domains (minimum): sphere, rastrigin [-5.12, 5.12]^d (0 at 0); rosenbrock [-5, 10]^d (0 at 1);
ackley [-32.768, 32.768]^d (0 at 0); branin x0 in [-5, 10], x1 in [0, 15] (0.397887);
hartmann6 [0, 1]^6 (-3.32237). Formulas: Surjanovic and Bingham, Virtual Library of Simulation
Experiments.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunewell.objective import Trial

_STOP_LOOK_S = 0.05
"""How often a waiting step looks whether it should stop."""

_HARTMANN_ALPHA = (1.0, 1.2, 3.0, 3.2)
_HARTMANN_A = (
    (10.0, 3.0, 17.0, 3.5, 1.7, 8.0),
    (0.05, 10.0, 17.0, 0.1, 8.0, 14.0),
    (3.0, 3.5, 1.7, 10.0, 17.0, 8.0),
    (17.0, 8.0, 0.05, 10.0, 0.1, 14.0),
)
_HARTMANN_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def sphere(x: Sequence[float]) -> float:
    """Sum of squares."""
    return sum(v * v for v in x)


def branin(x: Sequence[float]) -> float:
    """Branin's function of two numbers: three equal minima."""
    a, b = x
    valley = b - 5.1 / (4 * math.pi**2) * a * a + 5 / math.pi * a - 6
    return valley * valley + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


def hartmann6(x: Sequence[float]) -> float:
    """Hartmann's function of six numbers: six local minima."""
    return -sum(
        alpha * math.exp(-sum(w * (v - p) ** 2 for w, v, p in zip(a_row, x, p_row, strict=True)))
        for alpha, a_row, p_row in zip(_HARTMANN_ALPHA, _HARTMANN_A, _HARTMANN_P, strict=True)
    )


def rosenbrock(x: Sequence[float]) -> float:
    """A long curved valley."""
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def ackley(x: Sequence[float]) -> float:
    """A funnel with ripples."""
    n = len(x)
    radius = math.sqrt(sum(v * v for v in x) / n)
    ripples = sum(math.cos(2 * math.pi * v) for v in x) / n
    return 20 + math.e - 20 * math.exp(-0.2 * radius) - math.exp(ripples)


def rastrigin(x: Sequence[float]) -> float:
    """A bowl with a regular grid of local minima."""
    return sum(v * v - 10 * math.cos(2 * math.pi * v) + 10 for v in x)


FUNCTIONS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sphere": sphere,
    "branin": branin,
    "hartmann6": hartmann6,
    "rosenbrock": rosenbrock,
    "ackley": ackley,
    "rastrigin": rastrigin,
}
_FIXED_SIZES = {"branin": 2, "hartmann6": 6}


def point(name: str, params: Mapping[str, Any]) -> list[float]:
    """The arguments x0, x1, ... in order.

    Raises:
        ValueError: one is missing, or the function takes another number of them.
    """
    size = _FIXED_SIZES.get(name, len(params))
    expected = [f"x{index}" for index in range(size)]
    if not params or set(params) != set(expected):
        raise ValueError(
            f"{name} takes {', '.join(expected) or 'at least x0'}, not {', '.join(sorted(params))}"
        )
    return [float(params[each]) for each in expected]


def evaluate(trial: Trial) -> dict[str, float]:
    """The function's value; a curve that falls towards it when there are several steps."""
    options = trial.options
    name = options.get("function", "sphere")
    exact = FUNCTIONS[name](point(name, trial.params))
    rng = random.Random(f"{trial.seed} {json.dumps(dict(trial.params), sort_keys=True)}")
    value = exact
    state = trial.checkpoint_dir / "state"
    if state.exists():
        value = _restore(rng, state.read_bytes())
    else:
        _fail_on_demand(rng, options)
    noise_sd = options.get("noise_sd", 0.0)
    n_steps = options.get("steps", 1)
    for step in range(trial.last_step + 1, n_steps + 1):
        _wait(trial, options.get("step_s", 0.0))
        excess = (1 + abs(exact)) * 0.1 * (n_steps / step - 1)
        value = exact + excess + rng.gauss(0.0, noise_sd)
        trial.report(step, value=value)
        if trial.should_checkpoint:
            state.write_text(json.dumps([rng.getstate(), value]))
            trial.save()
        if trial.should_stop:
            break
    return {"value": value}


def _restore(rng: random.Random, content: bytes) -> float:
    """Sets the generator to where it was when a checkpoint was saved; the value then."""
    (version, internal, gauss_next), value = json.loads(content)
    rng.setstate((version, tuple(internal), gauss_next))
    return float(value)


def _fail_on_demand(rng: random.Random, options: Mapping[str, Any]) -> None:
    if rng.random() < options.get("oom_rate", 0.0):
        raise MemoryError("out of memory, as the option oom_rate asks for")
    if rng.random() < options.get("fail_rate", 0.0):
        raise RuntimeError("failed, as the option fail_rate asks for")


def _wait(trial: Trial, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while not trial.should_stop and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(left, _STOP_LOOK_S))
