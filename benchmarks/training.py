"""What the service and the worker add to training, and how long the built-in studies take.

Each part is a real service and a real worker on this machine:

- `overhead`: trials of one second on one slot: from the start of one to the start of the next, less
  the second.
- `many`: 200 trials of a tenth of a second on two slots, the worker warm: wall time over that of
  the training alone.
- `idle`: CPU time of a worker that waits for work, as a share of one core.
- `search`: the article's random search, 10 trials of `mnist-mlp` on two slots, once with a fresh
  worker, whose first trials import torch and read the images, and once more. The article's own
  loop is estimated from its trials in benchmarks/results/mnist.jsonl, which leave imports and
  reading out: seconds = a + b / batch size.
- `forest`: 50 forests by TPE on two slots, of which every tree is grown at most once, against the
  article's study as written (`forest_as_written.py`), whose seconds are measured in the same run.
- `folds`: one forest of 107 trees on one core, over the same on two slots with one idle: its
  folds grow on both cores.
- `momentum`: 8 trials with batch normalisation that differ in momentum only, on one slot, over one.
- `fused`: trials of `mnist-mlp` with one batch size on one slot, trained as one stacked model over
  one at a time: trials a second. Batch 64, 8 at once; on a GPU batch 16, 32 at once.

Run: python benchmarks/training.py [--parts overhead,many,idle,search,forest,folds,momentum,fused]
     [--rounds 3] [--out benchmarks/results/training.jsonl]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import forest_as_written
import psutil
from machine import machine

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tunewell.client import Client  # noqa: E402
from tunewell.follow import follow  # noqa: E402
from tunewell.models import Study, Trial  # noqa: E402
from tunewell.private import Local  # noqa: E402
from tunewell.reporters import Quiet  # noqa: E402

PACKAGES = ("torch", "scikit-learn", "numpy")
IDLE_S = 30.0


class Silent(Quiet):
    """Shows nothing."""

    def end(self, study: Study, best: Sequence[Trial]) -> None:
        """Nothing."""


def function_study(name: str, n_trials: int, step_s: float) -> dict[str, Any]:
    """Trials that take so many seconds and compute nothing."""
    return {
        "name": name,
        "objective": {"name": "function", "options": {"steps": 1, "step_s": step_s}},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x0", "type": "float", "low": -5, "high": 5}],
        "suggester": {"name": "random", "seed": 1},
        "limits": {"max_trials": n_trials},
    }


def run(local: Local, client: Client, definition: Mapping[str, Any]) -> tuple[float, list[Any]]:
    """Wall seconds from the first start of a trial to the last end, and the trials."""
    study_id = client.create_study(definition)["id"]
    follow(client, study_id, Silent(), check=local.check_alive)
    trials = list(client.trials(study_id))
    begun = min(_at(trial["started_at"]) for trial in trials)
    return max(_at(trial["ended_at"]) for trial in trials) - begun, trials


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def overhead(local: Local, client: Client, round_: int) -> dict[str, float]:
    """Share of a one-second trial, on one slot; the first trial, which is not warm, aside."""
    _, trials = run(local, client, function_study(f"overhead-{round_}", 8, 1.0))
    starts = sorted(_at(trial["started_at"]) for trial in trials)
    gaps = [after - before for before, after in pairwise(starts)][1:]
    return {"share": statistics.median(gaps) - 1.0}


def many(local: Local, client: Client, round_: int) -> dict[str, float]:
    """Wall time over the training alone, once the worker is warm."""
    run(local, client, function_study(f"warm-{round_}", 4, 0.1))
    wall_s, _ = run(local, client, function_study(f"many-{round_}", 200, 0.1))
    return {"wall_s": wall_s, "share": wall_s / (200 * 0.1 / 2) - 1.0}


def idle(local: Local, client: Client, round_: int) -> dict[str, float]:
    """CPU of the worker and all its processes while it waits."""
    worker = psutil.Process(local.worker_pid)
    before = _cpu_s(worker)
    time.sleep(IDLE_S)  # this is what is measured
    return {"share": (_cpu_s(worker) - before) / IDLE_S}


def _cpu_s(process: psutil.Process) -> float:
    everyone = [process, *process.children(recursive=True)]
    return float(sum(sum(each.cpu_times()[:2]) for each in everyone))


def search(local: Local, client: Client, round_: int) -> dict[str, float]:
    """The article's random search against its own loop: on a fresh worker, and once it is warm."""
    raw = json.loads((ROOT / "examples" / "studies" / "mnist-random.json").read_text())
    fresh_s, _ = run(local, client, {**raw, "name": f"fresh-{round_}"})
    wall_s, trials = run(local, client, {**raw, "name": f"search-{round_}"})
    article_s = sum(article_trial_s(trial["params"]["batch_size"]) for trial in trials)
    return {
        "wall_s": wall_s,
        "fresh_s": fresh_s,
        "article_s": article_s,
        "ratio": article_s / wall_s,
        "fresh_ratio": article_s / fresh_s,
    }


def article_trial_s(batch_size: int) -> float:
    """Seconds of a trial as the article has it: a + b / batch size, through what was measured."""
    seconds = {}
    for line in (ROOT / "benchmarks" / "results" / "mnist.jsonl").read_text().splitlines():
        found = json.loads(line)
        rounds = found["rounds"]["article"]
        seconds[found["batch_size"]] = statistics.median(each["wall_s"] for each in rounds)
    low, high = min(seconds), max(seconds)
    b = (seconds[low] - seconds[high]) / (1 / low - 1 / high)
    return seconds[high] + b * (1 / batch_size - 1 / high)


def forest(local: Local, client: Client, round_: int) -> dict[str, float]:
    """50 forests by TPE, of whose trees none is grown twice, against hyperopt as written."""
    raw = json.loads((ROOT / "examples" / "studies" / "forest-tpe.json").read_text())
    raw["limits"]["max_trials"] = forest_as_written.N_EVALUATIONS
    raw["suggester"]["seed"] = round_
    wall_s, trials = run(local, client, {**raw, "name": f"forest-{round_}"})
    as_written = forest_as_written.measured()
    return {
        "wall_s": wall_s,
        **as_written,
        "ratio": as_written["as_written_s"] / wall_s,
        "best": min(trial["values"]["mse"] for trial in trials),
    }


def folds(local: Local, client: Client, round_: int) -> dict[str, float]:
    """A forest on one core over one that has an idle slot's core too; both grow all trees."""
    two_s, cpu_s = grown(local, client, f"two-{round_}")
    with (
        tempfile.TemporaryDirectory() as folder,
        Local(Path(folder)) as other,
        other.client() as others,
    ):
        with one_thread():
            other.start_worker(1)
        one_s, one_cpu_s = grown(other, others, f"one-{round_}")
    return {
        "one_s": one_s,
        "two_s": two_s,
        "ratio": one_s / two_s,
        "cpu_ratio": cpu_s / one_cpu_s,
    }


def grown(local: Local, client: Client, name: str) -> tuple[float, float]:
    """Wall and CPU seconds of one forest, once the worker is warm."""
    run(local, client, forest_study(f"warm-{name}", 1, random_state=1))
    wall_s, (trial,) = run(local, client, forest_study(name, 107, random_state=42))
    return wall_s, trial["usage"]["cpu_s"]


def forest_study(name: str, n_trees: int, *, random_state: int) -> dict[str, Any]:
    """One forest, of the depth that the article found."""
    return {
        "name": name,
        "objective": {"name": "random-forest", "options": {"random_state": random_state}},
        "metrics": [{"name": "mse", "direction": "minimize"}],
        "space": [
            {"name": "n_estimators", "type": "categorical", "choices": [n_trees]},
            {"name": "max_depth", "type": "categorical", "choices": [48]},
        ],
        "suggester": {"name": "random", "seed": 1},
        "limits": {"max_trials": 1},
    }


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Has a worker that is started meanwhile give a slot one thread."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def momentum(local: Local, client: Client, round_: int) -> dict[str, float]:
    """8 trials that differ in momentum only, over one of another seed, which shares nothing."""
    run(local, client, momentum_study(f"warm-{round_}", 1, seed=3))
    one_s, _ = run(local, client, momentum_study(f"one-{round_}", 1, seed=1))
    wall_s, _ = run(local, client, momentum_study(f"eight-{round_}", 8, seed=2))
    return {"one_s": one_s, "wall_s": wall_s, "ratio": wall_s / one_s}


def momentum_study(name: str, n_trials: int, seed: int) -> dict[str, Any]:
    """Trials of one training each, but for momentum."""
    return {
        "name": name,
        "objective": {"name": "mnist-mlp", "options": {"seed": seed}},
        "metrics": [{"name": "accuracy", "direction": "maximize"}],
        "space": [
            {"name": "model", "type": "categorical", "choices": ["batchnorm"]},
            {"name": "momentum", "type": "float", "low": 0.01, "high": 0.99},
        ],
        "suggester": {"name": "random", "seed": 1},
        "limits": {"max_trials": n_trials},
    }


def fused(local: Local, client: Client, round_: int) -> dict[str, float]:
    """Trials a second, together over one by one; the worker of `local` trains one at a time."""
    (worker,) = client.list_workers()
    is_gpu = worker["devices"][0]["kind"] == "gpu"
    n_trials, size = (32, 16) if is_gpu else (8, 64)
    run(local, client, fused_study("warm", 1, size))
    alone_s, _ = run(local, client, fused_study(f"alone-{round_}", n_trials, size))
    with (
        tempfile.TemporaryDirectory() as folder,
        Local(Path(folder)) as other,
        other.client() as others,
    ):
        other.start_worker(1, fuse=str(n_trials))
        run(other, others, fused_study("warm", n_trials, size, epochs=1))
        together_s, _ = run(other, others, fused_study(f"together-{round_}", n_trials, size))
    return {
        "alone_per_s": n_trials / alone_s,
        "together_per_s": n_trials / together_s,
        "ratio": alone_s / together_s,
    }


def fused_study(name: str, n_trials: int, batch_size: int, epochs: int = 3) -> dict[str, Any]:
    """Trials that differ in learning rate and seed."""
    return {
        "name": name,
        "objective": {"name": "mnist-mlp", "options": {"epochs": epochs}},
        "metrics": [{"name": "accuracy", "direction": "maximize"}],
        "space": [
            {"name": "learning_rate", "type": "float", "low": 1e-4, "high": 1e-2, "log": True},
            {"name": "batch_size", "type": "categorical", "choices": [batch_size]},
        ],
        "suggester": {"name": "random", "seed": 1},
        "limits": {"max_trials": n_trials},
    }


PARTS: Mapping[str, tuple[Callable[[Local, Client, int], dict[str, float]], int]] = {
    "overhead": (overhead, 1),
    "many": (many, 2),
    "idle": (idle, 2),
    "search": (search, 2),
    "forest": (forest, 2),
    "folds": (folds, 2),
    "momentum": (momentum, 1),
    "fused": (fused, 1),
}
"""How a part is measured, and on how many slots."""


def measured(part: str, round_: int) -> dict[str, float]:
    """One round of a part, with a fresh service and worker."""
    measure, slots = PARTS[part]
    with (
        tempfile.TemporaryDirectory() as folder,
        Local(Path(folder)) as local,
        local.client() as client,
    ):
        local.start_worker(slots, fuse="off")
        return measure(local, client, round_)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file of JSON lines to append to")
    chosen = parser.parse_args()
    for part in chosen.parts.split(","):
        rounds = [measured(part, round_) for round_ in range(1, chosen.rounds + 1)]
        middle = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
        print(part, "  ".join(f"{name} {value:.4g}" for name, value in middle.items()), flush=True)
        if chosen.out is not None:
            with chosen.out.open("a") as out:
                line = {**machine(PACKAGES), "part": part, "median": middle, "rounds": rounds}
                out.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
