"""What one ask and one tell cost: CPU and wall time by the number of finished trials.

A space of eight parameters (real, logarithmic, stepped, integer, categorical). Every round draws
histories of random points and asks every suggester at every size in turn, so that a busy machine
slows all alike; the table gives medians. Ours are pure functions of the history, so that each ask
is a cold one: nothing is kept from the ask before. Peers keep their own state: their history is
told beforehand, and one ask with its tell is timed. BLAS has one thread.

Run: python benchmarks/suggest.py [--suggesters gp,tpe,skopt] [--n 10,100,300,1000] [--rounds 5]
     [--limit-s 20] [--out benchmarks/results/suggest.jsonl]
"""

from __future__ import annotations

import os

# Read when numpy is loaded, so they come before every other import.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import importlib
import importlib.util
import json
import math
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from app.domain.space import CategoricalParameter, FloatParameter, IntParameter, Params, Space
from app.domain.study import Direction, Metric
from app.domain.trial import TrialState
from app.suggest.base import FinishedTrial, SuggestRequest
from app.suggest.encode import Encoder
from app.suggest.registry import ENTRIES, suggest

SPACE = Space(
    parameters=(
        FloatParameter(name="learning_rate", low=1e-5, high=1.0, log=True),
        FloatParameter(name="weight_decay", low=1e-8, high=1e-1, log=True),
        FloatParameter(name="momentum", low=0.0, high=0.99),
        FloatParameter(name="dropout", low=0.0, high=0.6, step=0.05),
        IntParameter(name="units", low=8, high=1024, log=True),
        IntParameter(name="layers", low=1, high=8),
        CategoricalParameter(name="activation", choices=("relu", "tanh", "gelu")),
        CategoricalParameter(name="optimizer", choices=("sgd", "adam", "rmsprop", "lion")),
    )
)
METRICS = (Metric(name="loss", direction=Direction.MINIMIZE),)
OURS, PEERS = ("gp", "tpe", "skopt"), ("optuna-tpe", "optuna-gp", "scikit-optimize")
PACKAGES = ("numpy", "scipy", "scikit-optimize", "scikit-learn", "optuna", "torch")

Step = Callable[[], object]
"""One ask with its tell, ready to be timed."""


@dataclass(frozen=True, slots=True)
class History:
    """Random points with the values of a smooth, slightly noisy function of them."""

    points: tuple[dict[str, Any], ...]
    values: tuple[float, ...]
    seed: int

    @classmethod
    def of(cls, n: int, seed: int) -> History:
        """Draws `n` points."""
        rng, encoder = np.random.default_rng([seed, n]), Encoder(SPACE)
        u = rng.random((n, encoder.d))
        points = tuple(encoder.from_unit(row) for row in u)
        values = ((u - 0.4) ** 2).sum(axis=1) + 0.01 * rng.standard_normal(n)
        return cls(points, tuple(float(y) for y in values), seed)


@dataclass(slots=True)
class Figures:
    """What was measured of one suggester at one size, a value a round."""

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)


def ours(name: str, history: History) -> Step:
    """One of our suggesters; a tell is a line in the next request, so both are in one call."""
    known = tuple(
        FinishedTrial(number=k + 1, params=p, state=TrialState.COMPLETED, values=(y,))
        for k, (p, y) in enumerate(zip(history.points, history.values, strict=True))
    )

    def step() -> object:
        told = (*known[:-1], known[-1])
        request = SuggestRequest(
            space=SPACE,
            metrics=METRICS,
            finished=told,
            seed=history.seed,
            index=len(told) + 1,
        )
        return suggest(name, request)

    return step


def optuna_step(kind: str, history: History) -> Step:
    """Optuna's joint TPE, or its GP, with documented defaults."""
    optuna = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = optuna.samplers
    sampler = (
        samplers.GPSampler(seed=history.seed)
        if kind == "gp"
        else samplers.TPESampler(seed=history.seed)
    )
    study = optuna.create_study(direction="minimize", sampler=sampler)
    dists = {p.name: _optuna_distribution(p) for p in SPACE.parameters}
    for params, value in zip(history.points, history.values, strict=True):
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


def scikit_optimize_step(history: History) -> Step:
    """scikit-optimize's own Optimizer: its tell fits the model, its ask hands out what it found."""
    from skopt import Optimizer
    from skopt.space import Categorical, Integer, Real

    def dimension(p: Any) -> Any:
        if isinstance(p, CategoricalParameter):
            return Categorical(list(p.choices), name=p.name)
        kind = Integer if isinstance(p, IntParameter) else Real
        return kind(p.low, p.high, prior="log-uniform" if p.log else "uniform", name=p.name)

    def row(params: Params) -> list[Any]:
        return [params[name] for name in SPACE.names]

    optimizer = Optimizer(
        [dimension(p) for p in SPACE.parameters],
        base_estimator="GP",
        acq_func="EI",
        random_state=history.seed,
    )
    earlier = [row(p) for p in history.points[:-1]]
    optimizer.tell(earlier, list(history.values[:-1]), fit=False)

    def step() -> object:
        optimizer.tell(row(history.points[-1]), history.values[-1])
        return optimizer.ask()

    return step


def prepare(name: str, history: History) -> Step:
    """Makes one ask and tell of a suggester ready."""
    if name in ENTRIES:
        return ours(name, history)
    if name == "scikit-optimize":
        return scikit_optimize_step(history)
    return optuna_step(name.partition("-")[2], history)


def timed(step: Step) -> tuple[float, float]:
    """CPU and wall time of one call, in milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    cpu = time.process_time() - cpu
    return 1_000 * cpu, 1_000 * (time.perf_counter() - wall)


def importable(names: Sequence[str]) -> list[str]:
    """The peers whose packages are here."""
    needs = {
        "optuna-tpe": ("optuna",),
        "optuna-gp": ("optuna", "torch"),
        "scikit-optimize": ("skopt",),
    }
    return [n for n in names if all(importlib.util.find_spec(m) for m in needs.get(n, ()))]


def measure(
    names: Sequence[str], sizes: Sequence[int], rounds: int, limit_s: float
) -> tuple[dict[tuple[str, int], Figures], dict[tuple[str, int], str]]:
    """Measures every suggester at every size.

    Args:
        names: of ours and of peers.
        sizes: numbers of finished trials, ascending.
        rounds: measurements of each.
        limit_s: a size is left out when the cost at the size before says that one call would
            take more CPU seconds than this, growing with n below 100, with its square above.

    Returns:
        The figures, and why others are missing.
    """
    found: dict[tuple[str, int], Figures] = {}
    missing: dict[tuple[str, int], str] = {}
    for name in names:
        timed(prepare(name, History.of(12, 0)))  # imports and first calls
    for seed in range(1, rounds + 1):
        for place, n in enumerate(sizes):
            history = History.of(n, seed)
            for name in names:
                expected_s = _expected_s(found, name, sizes[:place], n)
                if (name, n) in missing or expected_s > limit_s:
                    missing[name, n] = _why_left_out(expected_s)
                    continue
                cpu, wall = timed(prepare(name, history))
                figures = found.setdefault((name, n), Figures())
                figures.cpu_ms.append(cpu)
                figures.wall_ms.append(wall)
    return found, missing


def _why_left_out(expected_s: float) -> str:
    if math.isinf(expected_s):
        return "left out, as the size before it was"
    return f"left out: about {expected_s:.0f} s a call expected"


def _expected_s(
    found: dict[tuple[str, int], Figures], name: str, smaller: Sequence[int], n: int
) -> float:
    """CPU seconds that a call at `n` will take, by the size before; infinite after a gap."""
    if (name, n) in found:
        return statistics.median(found[name, n].cpu_ms) / 1_000
    if not smaller:
        return 0.0
    before = smaller[-1]
    if (name, before) not in found:
        return math.inf
    growth = n / before if before < 100 else (n / before) ** 2  # small fits are mostly overhead
    return statistics.median(found[name, before].cpu_ms) / 1_000 * growth


def table(
    names: Sequence[str],
    sizes: Sequence[int],
    found: dict[tuple[str, int], Figures],
) -> str:
    """The medians for a person: CPU milliseconds, wall milliseconds in brackets."""
    lines = ["ask+tell, CPU ms (wall ms)".ljust(28) + "".join(f"n = {n}".rjust(20) for n in sizes)]
    for name in names:
        cells = []
        for n in sizes:
            figures = found.get((name, n))
            cells.append(
                f"{statistics.median(figures.cpu_ms):.1f} "
                f"({statistics.median(figures.wall_ms):.1f})"
                if figures
                else "-"
            )
        lines.append(name.ljust(28) + "".join(cell.rjust(20) for cell in cells))
    return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write(path: Path, found: dict[tuple[str, int], Figures], missing: dict[Any, str]) -> None:
    """Appends one JSON line for each suggester and size."""
    about = machine()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as out:
        for (name, n), figures in sorted(found.items()):
            line = {
                **about,
                "suggester": name,
                "n": n,
                "rounds": len(figures.cpu_ms),
                "cpu_ms": round(statistics.median(figures.cpu_ms), 2),
                "wall_ms": round(statistics.median(figures.wall_ms), 2),
            }
            out.write(json.dumps(line) + "\n")
        for (name, n), why in sorted(missing.items()):
            out.write(json.dumps({**about, "suggester": name, "n": n, "note": why}) + "\n")


def main() -> None:
    """Measures, prints the table, and writes the lines when asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    everyone = ",".join((*OURS, *PEERS))
    parser.add_argument(
        "--suggesters",
        default=everyone,
        help="ours and peers, with commas; peers that are not installed are left out",
    )
    parser.add_argument("--n", default="10,100,300,1000", help="finished trials, with commas")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each")
    parser.add_argument(
        "--limit-s", type=float, default=20.0, help="longest call, in CPU seconds; others left out"
    )
    parser.add_argument("--out", type=Path, help="file to append JSON lines to")
    args = parser.parse_args()
    asked = args.suggesters.split(",")
    if unknown := set(asked) - {*ENTRIES, *PEERS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(ENTRIES)}, "
                     f"{', '.join(PEERS)}")  # fmt: skip
    names, sizes = importable(asked), sorted({int(n) for n in args.n.split(",")})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn of experimental features and of repeats
        found, missing = measure(names, sizes, args.rounds, args.limit_s)
    print(table(names, sizes, found))
    for (name, n), why in missing.items():
        print(f"{name} at n = {n}: {why}")
    for name in asked:
        if name not in names:
            print(f"{name}: not installed")
    if args.out is not None:
        write(args.out, found, missing)


if __name__ == "__main__":
    main()
