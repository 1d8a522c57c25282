"""Makes the Optuna storages of tests/unit/tunewell/history/storages: run with Optuna installed.

    python make_storages.py FOLDER

writes optuna-N.db and optuna-N.log there, N the major version. Everything in them is seeded; only
times differ between two runs.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import optuna
from optuna.storages import JournalStorage

try:
    from optuna.storages.journal import JournalFileBackend
except ImportError:
    from optuna.storages import JournalFileStorage as JournalFileBackend


def objective(trial: optuna.Trial) -> float:
    """Twelve trials of which one is pruned, one fails, and one is infinite."""
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    width = trial.suggest_int("width", 16, 512, log=True)
    drop = trial.suggest_float("drop", 0.0, 0.5, step=0.1)
    model = trial.suggest_categorical("model", ["simple", "batchnorm", None])
    trial.set_user_attr("host", "lab")
    for epoch in range(3):
        trial.report(1.0 / (epoch + 1) + lr + drop, epoch)
    if trial.number == 4:
        raise optuna.TrialPruned
    if trial.number == 5:
        raise ValueError("broken on purpose")
    if trial.number == 6:
        return float("inf")
    return abs(lr - 0.01) + width / 1000 + drop + (model is None)


def several(trial: optuna.Trial) -> tuple[float, float]:
    """Two values."""
    x = trial.suggest_float("x", -1, 1)
    return x * x, (x - 1) ** 2


def fill(storage: object) -> None:
    """Two studies, one of them with two directions, and a trial that has not ended."""
    sampler = optuna.samplers.RandomSampler(seed=1)
    study = optuna.create_study(storage=storage, study_name="net", sampler=sampler)
    study.optimize(objective, n_trials=12, catch=(ValueError,))
    study.ask()
    front = optuna.create_study(
        storage=storage, study_name="front", directions=["minimize", "maximize"], sampler=sampler
    )
    front.optimize(several, n_trials=4)


def _shrink(path: Path) -> None:
    """Most of the file is pages that hold next to nothing."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA page_size = 512")
        db.execute("VACUUM")


def main(folder: Path) -> None:
    """Writes both storages."""
    major = optuna.__version__.partition(".")[0]
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    for suffix in ("db", "log"):
        (folder / f"optuna-{major}.{suffix}").unlink(missing_ok=True)
    fill(f"sqlite:///{folder / f'optuna-{major}.db'}")
    _shrink(folder / f"optuna-{major}.db")
    fill(JournalStorage(JournalFileBackend(str(folder / f"optuna-{major}.log"))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
