"""What the article's forest study costs as it is written: hyperopt's TPE, 50 evaluations, each a
cross-validation of scikit-learn's on one core.

Hyperopt's points are recorded once (`--record`, needs hyperopt). Its losses are those of our
objective, which are equal to scikit-learn's to the last bit, so it proposes what it would have
proposed. What a point costs is summed from the seconds of a tree by its depth, measured anew in
each run of `training.py` and held against three points that are run as written.

Run: python benchmarks/forest_as_written.py --record 1,2,3
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nowhere import Nowhere

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RECORDED = ROOT / "benchmarks" / "results" / "forest-hyperopt.jsonl"
N_EVALUATIONS = 50
DEPTHS = (5, 8, 11, 14, 17, 20, 24, 28, 33, 39, 45)
"""Where the seconds of a tree are measured; those between are interpolated."""
N_TREES = 3
"""Trees of each fold that they are measured with."""
CHECKED = ((60, 48), (40, 12), (80, 20))
"""Points that are run as written: trees, depth."""


def record(seed: int, store: Path) -> dict[str, Any]:
    """The points of one study of hyperopt's, in turn, and its best loss.

    Args:
        store: a folder in which trees are kept from study to study.
    """
    from hyperopt import fmin, hp, tpe

    from tunewell.objective import Trial
    from workers.objectives import forest

    points: list[tuple[int, int]] = []
    losses: list[float] = []

    def loss(point: Mapping[str, float]) -> float:
        params = {name: int(value) for name, value in point.items()}
        trial = Trial(
            id="tr_1", number=1, params=params, options={}, channel=Nowhere(), store_dir=store
        )
        points.append((params["n_estimators"], params["max_depth"]))
        losses.append(forest.evaluate(trial)["mse"])
        return losses[-1]

    fmin(
        loss,
        {
            "n_estimators": hp.quniform("n_estimators", 10, 200, 1),
            "max_depth": hp.quniform("max_depth", 5, 50, 1),
        },
        algo=tpe.suggest,
        max_evals=N_EVALUATIONS,
        rstate=np.random.default_rng(seed),
        show_progressbar=False,
    )
    return {"seed": seed, "points": points, "best": min(losses)}


def recorded() -> list[dict[str, Any]]:
    """All studies that were recorded."""
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def cross_validation_s(n_trees: int, depth: int) -> float:
    """Wall seconds of a point as written."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import cross_val_score

    from workers.objectives import california

    x, y = california.load()
    began = time.perf_counter()
    model = RandomForestRegressor(n_estimators=n_trees, max_depth=depth, random_state=42)
    cross_val_score(model, x, y, cv=5, scoring="neg_mean_squared_error")
    return time.perf_counter() - began


def tree_seconds() -> list[float]:
    """Wall seconds of one more tree in all five folds, for each of `DEPTHS`."""
    return [cross_validation_s(N_TREES, depth) / N_TREES for depth in DEPTHS]


def cost_s(points: Sequence[tuple[int, int]], seconds: Sequence[float]) -> float:
    """Seconds of points as written: trees times the seconds of one of their depth."""
    return float(sum(n_trees * np.interp(depth, DEPTHS, seconds) for n_trees, depth in points))


def measured() -> dict[str, float]:
    """Seconds of hyperopt's studies as written, on this machine now: the median over those
    recorded, and by how much the sum for three points is too large.
    """
    seconds = tree_seconds()
    checked_s = sum(cross_validation_s(*point) for point in CHECKED)
    return {
        "as_written_s": float(np.median([cost_s(each["points"], seconds) for each in recorded()])),
        "check": cost_s(CHECKED, seconds) / checked_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--record", required=True, help="seeds, with commas")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as store:
        for seed in chosen.record.split(","):
            found = record(int(seed), Path(store))
            with RECORDED.open("a") as out:
                out.write(json.dumps(found) + "\n")
            print(f"seed {seed}: best {found['best']:.6f}", flush=True)


if __name__ == "__main__":
    main()
