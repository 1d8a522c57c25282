"""What each part of a suggester brings: the same tasks with one part switched off at a time.

Runs in process, without a service: qbench's tasks, our suggesters as pure functions. `--qbench` is
the folder that holds the package `qbench`. Every row is compared with the first one, in which all
parts are on, on the same tasks and seeds; one below 0.015 at two seeds is noise.

Run: python benchmarks/ablation.py --qbench PATH [--suggesters gp,tpe,auto] [--seeds 2]
     [--tasks public] [--trials 100] [--budget 100] [--batch 1] [--procs 2]
     [--out benchmarks/results/ablation.jsonl]
"""

from __future__ import annotations

import os

# Read when numpy is loaded, so they come before every other import.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import importlib
import json
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from machine import machine

from app.domain.definition import definition_from_json
from app.domain.trial import FailureKind, TrialState
from app.suggest import (
    acquisition,
    gp,
    gp_candidates,
    gp_kernel,
    gp_training,
    tpe_split,
)
from app.suggest.base import FinishedTrial, PendingTrial, SuggestRequest
from app.suggest.memory import SuggestMemory
from app.suggest.registry import suggest
from app.suggest.warp import HALF_RANK, PLAIN

STEPS = (20, 50, 100)
FAMILIES = ("synthetic", "mixed", "noisy", "table")


def _set(**values: Any) -> Callable[[], None]:
    """Sets attributes, named `module__attribute` with the module below `app.suggest`."""

    def change() -> None:
        for place, value in values.items():
            module, _, name = place.partition("__")
            target = importlib.import_module(f"app.suggest.{module}")
            if not hasattr(target, name):
                raise AttributeError(place)
            setattr(target, name, value)

    return change


_OPTIONS: dict[str, Any] = {}


def _options(**values: Any) -> Callable[[], None]:
    """Gives the suggester options."""
    return lambda: _OPTIONS.update(values)


def _one_kind(kind: str) -> Callable[[], None]:
    def change() -> None:
        gp._Maker._trained = lambda self, index: self._of_kind(kind)

    return change


def _no_local_steps() -> None:
    whole = gp._Maker._region
    gp._Maker._region = lambda self, model, index: whole(self, model, 0)


def _no_guard() -> None:
    guarded = gp_candidates.Region
    gp.Region = lambda reach=None, half_sides=None: guarded(half_sides=half_sides)


def _no_soft_targets() -> None:
    def trained(self: Any, index: int) -> Any:
        return self._of_kind((PLAIN, HALF_RANK)[(index // 2) % 2])

    gp._Maker._trained = trained


def _plain_ei() -> None:
    def gain(self: Any, process: Any) -> Any:
        plain = acquisition.LogExpectedImprovement(gp=process, best=self._sure_best(process))
        if self.success is None:
            return plain
        return acquisition.Sum(parts=(plain, self.success))

    gp_training.Model.acquisition = gain


def _no_failure_model() -> None:
    gp_training._success = lambda *_: None


def _unit_lengths() -> None:
    gp_kernel.Columns.typical_lengths = property(lambda self: np.ones(self.n_scales))


def _flat(weights: str) -> Callable[[], None]:
    """All trials of one side of the split weigh alike; `weights` is that side's attribute."""
    split = tpe_split.split

    def flat(*args: Any) -> Any:
        made = split(*args)
        return replace(made, **{weights: np.ones_like(getattr(made, weights))})

    return _set(tpe__split=flat)


PARTS: Mapping[str, Mapping[str, Callable[[], None]]] = {
    "gp": {
        "everything": lambda: None,
        "length scales start at 1 in every space": _unit_lengths,
        "no quadratic trend": _set(gp_training___has_trend=lambda m, columns: False),
        "half-rank targets alone": _one_kind(HALF_RANK),
        "plain targets alone": _one_kind(PLAIN),
        "no soft targets under noise": _no_soft_targets,
        "noise never seen": _set(gp_model__has_noise=lambda posterior, hyper: False),
        "plain expected improvement under noise": _plain_ei,
        "no start with noise": _set(gp_training__NOISY_START=np.exp(-8.0)),
        "no local steps": _no_local_steps,
        "no exploration guard": _no_guard,
        "no model of failures": _no_failure_model,
        "no start from the last fit": _set(gp_training__anchor_size=lambda m: 0),
    },
    "tpe": {
        "everything": lambda: None,
        "bandwidths down to 0.01": _set(parzen__FLOOR=0.01),
        "bandwidths down to 0.1": _set(parzen__FLOOR=0.1),
        "draws never on a border": _set(parzen__CENSORED=0.0),
        "good trials weigh alike": _flat("weights"),
        "other trials weigh alike": _flat("above_weights"),
        "good share 0.2": _options(gamma=0.2),
        "100 candidates": _options(n_candidates=100),
        "design of 10": _options(n_initial=10),
    },
    "auto": {
        "everything": lambda: None,
        "gp alone": _set(auto___doubt=lambda request: None),
        "turns when stalled, not under noise": _set(gp__sees_noise=lambda request: False),
        "turns under noise, not when stalled": _set(auto__STALLED=10**9),
    },
}


class Study:
    """One study of ours as qbench's runner wants an optimiser."""

    package = None

    def __init__(self, name: str, space: Any, direction: str, seed: int, trials: int) -> None:
        raw = {
            "name": "ablation",
            "objective": None,
            "metrics": [{"name": "value", "direction": direction}],
            "space": space,
            "suggester": {"name": name, "seed": seed, "options": dict(_OPTIONS)},
            "limits": {"max_trials": trials},
        }
        self.name, self.definition, self.memory = name, definition_from_json(raw), SuggestMemory()
        self.finished: dict[int, FinishedTrial] = {}
        self.pending: dict[int, PendingTrial] = {}
        self.n_made = 0

    def ask(self, n: int) -> list[tuple[int, dict[str, Any]]]:
        """The next n points with their numbers."""
        definition = self.definition
        request = SuggestRequest(
            space=definition.space,
            metrics=definition.metrics,
            finished=tuple(self.finished[k] for k in sorted(self.finished)),
            pending=tuple(self.pending[k] for k in sorted(self.pending)),
            options=definition.suggester.options,
            seed=definition.suggester.seed,
            index=self.n_made + 1,
            count=n,
            max_trials=definition.limits.max_trials,
            memory=self.memory,
        )
        asked = []
        for made in suggest(self.name, request).suggestions:
            self.n_made += 1
            self.pending[self.n_made] = PendingTrial(number=self.n_made, params=made.params)
            asked.append((self.n_made, dict(made.params)))
        return asked

    def tell(self, number: int, value: float | None) -> None:
        """The value of a point; None when its trial failed."""
        params = self.pending.pop(number).params
        trial = FinishedTrial(
            number=number, params=params, state=TrialState.COMPLETED, values=(value or 0.0,)
        )
        if value is None:
            failed, kind = TrialState.FAILED, FailureKind.NAN
            trial = replace(trial, state=failed, values=None, failure=kind)
        self.finished[number] = trial

    def close(self) -> dict[str, Any]:
        """Nothing to add to the results."""
        return {}


def _start(qbench: str, suggester: str, part: str, budget: int) -> None:
    """Makes a new process ready: qbench is found, its runner makes our studies, the part is off.

    `budget` is what a study is told of its trials, which may be more than are run.
    """
    sys.path.insert(0, qbench)
    warnings.simplefilter("ignore")
    runner = importlib.import_module("qbench.run")

    def make(name: str, space: Any, direction: str, **more: Any) -> Study:
        return Study(name, space, direction, more["seed"], budget)

    runner.make = make
    PARTS[suggester][part]()


def _cell(job: tuple[str, str, int, int, int]) -> dict[str, Any]:
    runner = importlib.import_module("qbench.run")
    suggester, task, seed, trials, batch = job
    tasks = runner.load_tasks("qbench.tasks_public")
    line: dict[str, Any] = runner.run_cell(suggester, tasks[task], seed, trials, batch)
    return line


def measure(args: argparse.Namespace, suggester: str, part: str) -> list[dict[str, Any]]:
    """Runs one row of the table; the runner's lines."""
    sys.path.insert(0, str(args.qbench))
    runner = importlib.import_module("qbench.run")
    names = runner.select(runner.load_tasks("qbench.tasks_public"), args.tasks)
    jobs = [
        (suggester, task, seed, args.trials, args.batch)
        for seed in range(args.seeds)
        for task in names
    ]
    context = multiprocessing.get_context("spawn")
    setup = (str(args.qbench), suggester, part, args.budget or args.trials)
    with context.Pool(args.procs, initializer=_start, initargs=setup) as pool:
        return list(pool.imap_unordered(_cell, jobs))


def mean(lines: list[dict[str, Any]], step: int, family: str | None = None) -> float:
    """Mean regret over the tasks of a family, each task's over its seeds."""
    by_task: dict[str, list[float]] = {}
    for line in lines:
        if family in (None, line["family"]):
            by_task.setdefault(line["task"], []).append(line["curve"][str(step)])
    return float(np.mean([np.mean(v) for v in by_task.values()])) if by_task else float("nan")


def row(part: str, lines: list[dict[str, Any]], steps: tuple[int, ...]) -> str:
    """A line of the table in Markdown."""
    cells = [
        " / ".join(f"{mean(lines, step, family):.3f}".lstrip("0") for step in steps)
        for family in (None, *FAMILIES)
    ]
    stuck = np.mean([_is_stuck(line) for line in lines])
    return f"| {part} | {' | '.join(cells)} | {100 * stuck:.0f} % |"


def _is_stuck(line: Mapping[str, Any]) -> bool:
    """Above 0.05 at the end and not improved in the second half."""
    curve = line["curve"]
    return "100" in curve and curve["100"] > 0.05 and curve["100"] >= curve["50"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--qbench", type=Path, required=True, help="folder with the package qbench")
    parser.add_argument("--suggesters", default="gp,tpe,auto", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--tasks", default="public", help="all, a family, names or patterns")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--budget", type=int, help="trials a study expects; as many as run if unset"
    )
    parser.add_argument("--batch", type=int, default=1, help="trials asked for, then told, at once")
    parser.add_argument("--procs", type=int, default=2, help="studies run at once")
    parser.add_argument("--out", type=Path, help="file to append a JSON line for each row to")
    args = parser.parse_args()
    args.qbench = args.qbench.resolve()
    return args


def main() -> int:
    """Prints a table for each suggester."""
    args = _arguments()
    steps = tuple(step for step in STEPS if step <= args.trials)
    for suggester in args.suggesters.split(","):
        print(
            f"\n`{suggester}`, {args.seeds} seeds, regret at {' / '.join(map(str, steps))} trials\n"
        )
        print(f"| part | all | {' | '.join(FAMILIES)} | stuck |")
        print("|" + "---|" * (len(FAMILIES) + 3))
        for part in PARTS[suggester]:
            lines = measure(args, suggester, part)
            print(row(part, lines, steps), flush=True)
            if args.out is not None:
                about = {**machine(("numpy", "scipy")), "suggester": suggester, "part": part}
                families = {
                    family or "all": [round(mean(lines, step, family), 4) for step in steps]
                    for family in (None, *FAMILIES)
                }
                with args.out.open("a") as out:
                    asked = {"seeds": args.seeds, "batch": args.batch, "at": steps}
                    kept = {**about, **asked, "regret": families}
                    out.write(json.dumps(kept) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
