"""A random forest on California housing: cross-validated mean squared error over the number of
trees.

The first n trees of a larger forest are the forest of n trees, so one growing forest per fold gives
the loss at every n. Predictions are summed tree by tree, in scikit-learn's own order: each reported
value is the very float that `cross_val_score` gives at that n.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import KFold

from tunewell.objective import Trial

from . import california, data

Array = npt.NDArray[np.float64]
FIRST_RUNG = 10


def rungs(n_estimators: int) -> list[int]:
    """Numbers of trees at which the loss is reported: 10, 20, 40, ... and the last."""
    trees = FIRST_RUNG
    found = []
    while trees < n_estimators:
        found.append(trees)
        trees *= 2
    return [*found, n_estimators]


def next_report(done: int, n_estimators: int, to_step: int | None) -> int:
    """The number of trees at which the loss is reported after `done` trees: the next rung, or the
    end of the trial's budget where that comes first.
    """
    marks = rungs(n_estimators)
    if to_step is not None:
        marks.append(to_step)
    return min(mark for mark in marks if done < mark <= n_estimators)


class FoldForest:
    """The forest of one fold, grown step by step; it keeps sums of predictions, not trees.

    Args:
        x: features (n, d); y: targets (n,).
        train: indices of the rows to fit on; test: of those to predict.
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        train: npt.NDArray[np.intp],
        test: npt.NDArray[np.intp],
        *,
        max_depth: int,
        random_state: int,
    ) -> None:
        self._train = (x[train], y[train])
        # Trees read float32; the forest's own predict converts once for all of them, as here.
        self._x_test = x[test].astype(np.float32)
        self._y_test = y[test]
        self._sum = np.zeros(len(test))
        self._forest = RandomForestRegressor(
            n_estimators=1,
            max_depth=max_depth,
            random_state=random_state,
            n_jobs=1,
            warm_start=True,
        )
        self._n_grown = 0

    @property
    def state(self) -> tuple[int, Array]:
        """Number of trees and the sums of their predictions, shape (test rows,)."""
        return self._n_grown, self._sum

    def restore(self, n_grown: int, sums: Array) -> None:
        """Goes on from another forest's `state`.

        Growing on, scikit-learn draws past as many seeds as there are trees, whatever these are.
        """
        self._n_grown, self._sum = n_grown, sums.copy()
        self._forest.estimators_ = [None] * n_grown

    def grow(self, n_trees: int) -> float:
        """Grows on to `n_trees` and gives the mean squared error of that forest on the test
        rows.
        """
        if n_trees > self._n_grown:
            self._forest.set_params(n_estimators=n_trees)
            self._forest.fit(*self._train)
            trees = self._forest.estimators_
            for index in range(self._n_grown, n_trees):
                self._sum += trees[index].predict(self._x_test, check_input=False)
                # A counted tree is not needed again (growing on only asks how many there are),
                # and five forests of full-depth trees would take over a gigabyte.
                trees[index] = None
            self._n_grown = n_trees
        return float(mean_squared_error(self._y_test, self._sum / n_trees))


def fold_forests(
    x: Array, y: Array, *, n_folds: int, max_depth: int, random_state: int
) -> list[FoldForest]:
    """One forest per unshuffled fold, none grown yet."""
    return [
        FoldForest(x, y, train, test, max_depth=max_depth, random_state=random_state)
        for train, test in KFold(n_folds).split(x)
    ]


def curve(forests: Sequence[FoldForest], n_trees: int) -> float:
    """The loss at `n_trees`: the mean over the folds, as `-cross_val_score(...).mean()`."""
    return float(np.mean([forest.grow(n_trees) for forest in forests]))


def saved(forests: Sequence[FoldForest]) -> bytes:
    """The states of all forests: an npz file without pickles."""
    file = io.BytesIO()
    states = [forest.state for forest in forests]
    arrays: dict[str, Any] = {f"sums_{fold}": sums for fold, (_, sums) in enumerate(states)}
    np.savez(file, n_grown=np.array([n for n, _ in states]), **arrays)
    return file.getvalue()


def restore(forests: Sequence[FoldForest], content: bytes) -> None:
    """Has forests go on from what `saved` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        for fold, forest in enumerate(forests):
            forest.restore(int(arrays["n_grown"][fold]), arrays[f"sums_{fold}"])


def preload(options: Mapping[str, Any], data_digest: str | None) -> None:
    """Loads the data before the process of the first trial is forked off."""
    california.load()


def evaluate(trial: Trial) -> dict[str, float]:
    """Grows the forests from report to report: the loss is the mean over all folds before any of
    them is grown further.
    """
    x, y = california.load()
    trial.data = data.described(data.CALIFORNIA)
    forests = fold_forests(
        x,
        y,
        n_folds=trial.options.get("folds", 5),
        max_depth=trial.params.get("max_depth", 50),
        random_state=trial.options.get("random_state", 42),
    )
    n_estimators, done = trial.params.get("n_estimators", 100), trial.last_step
    if trial.checkpoint is not None:
        restore(forests, trial.checkpoint.read_bytes())
    mse = curve(forests, done) if done else float("nan")
    while done < n_estimators:
        done = next_report(done, n_estimators, trial.to_step)
        mse = curve(forests, done)
        trial.report(done, mse=mse)
        if trial.should_checkpoint:
            trial.save_checkpoint(saved(forests))
        if trial.should_stop:
            break
    return {"mse": mse}
