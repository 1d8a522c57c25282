"""What early stopping saves on real training, through a real service and a worker of two slots.

Two studies, each first with every trial trained to its end, then with a rule, on the same points:

- `mnist`: 27 networks on MNIST, 9 epochs each, over learning rate (1e-5 to 1), batch size, model
  and momentum. `asha` and `hyperband` have to come within 0.002 of the best accuracy for at most
  40 % of the epochs: 97 of 243, which is the study's `max_resource_total`.
- `forest`: 50 random forests on California housing. `asha` has to come within 0.001 of the best
  error for at most 50 % of the trees.

Trained steps are counted from the reports of every attempt, those trained twice included. A result
that is in the file `--out` already is not measured again: training is the same to the bit.

Run: python benchmarks/early_stopping.py [--quick] [--studies mnist,forest] [--rules asha,hyperband]
     [--seeds 1,2,3] [--slots 2] [--folds 5] [--out benchmarks/results/early-stopping.jsonl]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from machine import machine  # noqa: E402

from tunewell.client import Client  # noqa: E402
from tunewell.follow import follow  # noqa: E402
from tunewell.models import Study, Trial  # noqa: E402
from tunewell.private import Local  # noqa: E402
from tunewell.reporters import Quiet  # noqa: E402

PACKAGES = ("torch", "scikit-learn", "numpy", "sqlalchemy", "fastapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A study to measure.

    Attributes:
        definition: the study without its seed and its rule.
        rules: rule by name, with its options.
        share: steps at most, as a share of those of full training.
        margin: how far behind the best of full training the best may be.
        max_resource_total: bound on the steps of a study with a rule, or None.
    """

    definition: Mapping[str, Any]
    rules: Mapping[str, Mapping[str, Any]]
    share: float
    margin: float
    max_resource_total: int | None = None


def mnist(*, quick: bool, folds: int) -> Bench:
    """The study of networks; quick: on the subset of 5,000 images."""
    ladder = {"min_resource": 1, "max_resource": 9, "eta": 3}
    return Bench(
        definition={
            "objective": {
                "name": "mnist-mlp",
                "options": {"epochs": 9, "dataset": "mnist-5k" if quick else "mnist"},
            },
            "metrics": [{"name": "accuracy", "direction": "maximize"}],
            "space": [
                {"name": "learning_rate", "type": "float", "low": 1e-5, "high": 1.0, "log": True},
                {"name": "batch_size", "type": "int", "low": 32, "high": 256, "log": True},
                {"name": "model", "type": "categorical", "choices": ["simple", "batchnorm"]},
                {
                    "name": "momentum",
                    "type": "float",
                    "low": 0.01,
                    "high": 0.99,
                    "when": {"param": "model", "in": ["batchnorm"]},
                },
            ],
            "limits": {"max_trials": 27},
        },
        rules={"asha": ladder, "hyperband": ladder},
        share=0.40,
        margin=0.002,
        max_resource_total=97,
    )


def forest(*, quick: bool, folds: int) -> Bench:
    """The study of forests, with so many folds; quick: 20 trials."""
    return Bench(
        definition={
            "objective": {"name": "random-forest", "options": {"folds": folds}},
            "metrics": [{"name": "mse", "direction": "minimize"}],
            "space": [
                {"name": "n_estimators", "type": "int", "low": 10, "high": 200},
                {"name": "max_depth", "type": "int", "low": 5, "high": 50},
            ],
            "limits": {"max_trials": 20 if quick else 50},
        },
        rules={"asha": {"min_resource": 20, "max_resource": 200, "eta": 3}},
        share=0.50,
        margin=1e-3,
    )


STUDIES = {"mnist": mnist, "forest": forest}


class Silent(Quiet):
    """Shows nothing at all."""

    def end(self, study: Study, best: Sequence[Trial]) -> None:
        """Nothing."""


def run(definition: Mapping[str, Any], slots: int, folder: Path) -> dict[str, Any]:
    """Runs a study to its end; what it found and what it cost."""
    with Local(folder) as local, local.client() as client:
        begun = time.monotonic()
        study_id = client.create_study(definition)["id"]
        local.start_worker(slots)
        follow(client, study_id, Silent(), check=local.check_alive)
        wall_s = time.monotonic() - begun
        return {**outcome(client, study_id), "wall_s": round(wall_s, 1)}


def outcome(client: Client, study_id: str) -> dict[str, Any]:
    """Best value, trained steps and states of a study that has ended."""
    study = client.get_study(study_id)
    metric = study["definition"]["metrics"][0]["name"]
    trials = list(client.trials(study_id))
    best = study["best"]
    curves = {trial["number"]: curve_of(client, trial["id"]) for trial in trials}
    return {
        "state": study["state"],
        "stop_reason": study["stop_reason"],
        "best": best["values"][metric],
        "best_trial": {key: best[key] for key in ("number", "state", "step", "params")},
        "steps": sum(trained(curve) for curve in curves.values()),
        "resource_used": study.get("resource_used"),
        "trial_counts": study["trial_counts"],
        "curves": {
            number: [[point["step"], point["values"][metric]] for point in curve]
            for number, curve in curves.items()
        },
    }


def curve_of(client: Client, trial_id: str) -> list[Any]:
    """All measurements of a trial, by attempt and step."""
    found: list[Any] = client.request("GET", f"/v1/trials/{trial_id}/measurements")["measurements"]
    return found


def trained(curve: Sequence[Mapping[str, Any]]) -> int:
    """Steps that a trial's attempts trained together.

    An attempt whose first report is past the last one of the attempt before went on from there; any
    other began anew.
    """
    total = before = 0
    for steps in _by_attempt(curve):
        total += steps[-1] - (before if steps[0] > before else 0)
        before = steps[-1]
    return total


def _by_attempt(curve: Sequence[Mapping[str, Any]]) -> Iterator[list[int]]:
    by_lease: dict[str, list[int]] = {}
    for point in curve:
        by_lease.setdefault(point["lease_id"], []).append(point["step"])
    yield from by_lease.values()


def with_rule(bench: Bench, name: str, seed: int, rule: str) -> dict[str, Any]:
    """The definition of one study to run."""
    definition = {
        **bench.definition,
        "name": f"{name}-{rule}-{seed}",
        "suggester": {"name": "random", "seed": seed},
    }
    if rule != "none":
        definition["early_stopping"] = {"name": rule, "options": dict(bench.rules[rule])}
        if bench.max_resource_total is not None:
            bounds = {**bench.definition["limits"], "max_resource_total": bench.max_resource_total}
            definition["limits"] = bounds
    return definition


class Results:
    """The lines of a file of results; what is there is not measured again.

    Args:
        path: of the file, or None.
        folder: of the service and the worker. All studies share it, and with it the trees of the
            forests that are grown: that changes times, but no value and no count of steps.
    """

    def __init__(self, path: Path | None, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._known: list[dict[str, Any]] = []
        if path is not None and path.exists():
            self._known = [json.loads(line) for line in path.read_text().splitlines()]

    def of(self, definition: Mapping[str, Any], slots: int) -> dict[str, Any]:
        """The result of a study, measured if it is not known."""
        for each in self._known:
            if each["definition"] == definition:
                return each
        made = run(definition, slots, self._folder)
        found = {**made, "definition": definition, "slots": slots}
        if self._path is not None:
            with self._path.open("a") as out:
                out.write(json.dumps({**machine(PACKAGES), **found}) + "\n")
        return found


def compare(
    bench: Bench, name: str, seed: int, rules: Sequence[str], results: Results, slots: int
) -> bool:
    """Full training and each rule at one seed, a line each; whether each rule is good enough."""
    full = results.of(with_rule(bench, name, seed, "none"), slots)
    print(f"{name}  seed {seed}  full       {_figures(full)}", flush=True)
    sign = 1.0 if bench.definition["metrics"][0]["direction"] == "minimize" else -1.0
    is_good = True
    for rule in rules:
        found = results.of(with_rule(bench, name, seed, rule), slots)
        share, behind = found["steps"] / full["steps"], sign * (found["best"] - full["best"])
        reaches = share <= bench.share and behind <= bench.margin
        is_good &= reaches
        print(
            f"{name}  seed {seed}  {rule:10} {_figures(found)}  {share:6.1%} of the steps, "
            f"{behind:+.4f} behind  {'reached' if reaches else 'NOT REACHED'}",
            flush=True,
        )
    return is_good


def _figures(found: Mapping[str, Any]) -> str:
    return f"best {found['best']:.5f}  {found['steps']:5} steps  {found['wall_s']:7.1f} s"


def main() -> int:
    """Exit status 1 when a rule does not reach what it has to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small data, one seed: a few minutes")
    parser.add_argument("--studies", default="mnist,forest", help="which, with commas")
    parser.add_argument("--rules", help="which rules, with commas; `none`: full training alone")
    parser.add_argument("--seeds", help="seeds of the points, with commas")
    parser.add_argument("--folds", type=int, help="of the forests: 5, quick: 2")
    parser.add_argument("--slots", type=int, default=2, help="trials at once")
    parser.add_argument("--out", type=Path, help="file of JSON lines to go on from and append to")
    chosen = parser.parse_args()
    folds = chosen.folds or (2 if chosen.quick else 5)
    seeds = chosen.seeds or ("1" if chosen.quick else "1,2,3")
    is_good = True
    with tempfile.TemporaryDirectory() as folder:
        results = Results(chosen.out, Path(folder))
        for name in chosen.studies.split(","):
            bench = STUDIES[name](quick=chosen.quick, folds=folds)
            asked = chosen.rules.split(",") if chosen.rules else bench.rules
            rules = [rule for rule in asked if rule in bench.rules]
            for seed in map(int, seeds.split(",")):
                is_good &= compare(bench, name, seed, rules, results, chosen.slots)
    return 0 if is_good else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
