"""A random forest on California housing: cross-validated mean squared error over the number of
trees.

The first n trees of a larger forest are the forest of n trees, so one growing forest per fold gives
the loss at every n. Predictions are summed tree by tree, in scikit-learn's own order: each reported
value is the very float that `cross_val_score` gives at that n.
"""

from __future__ import annotations

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


def preload(options: Mapping[str, Any], data_digest: str | None) -> None:
    """Loads the data before the process of the first trial is forked off."""
    california.load()


def evaluate(trial: Trial) -> dict[str, float]:
    """Grows the forests rung by rung, reporting the loss at each."""
    x, y = california.load()
    trial.data = data.described(data.CALIFORNIA)
    forests = fold_forests(
        x,
        y,
        n_folds=trial.options.get("folds", 5),
        max_depth=trial.params.get("max_depth", 50),
        random_state=trial.options.get("random_state", 42),
    )
    mse = float("nan")
    for n_trees in rungs(trial.params.get("n_estimators", 100)):
        mse = curve(forests, n_trees)
        trial.report(n_trees, mse=mse)
        if trial.should_stop:
            break
    return {"mse": mse}
