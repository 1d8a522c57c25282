"""A random forest on California housing: cross-validated mean squared error over the number of
trees.

The first n trees of a larger forest are the forest of n trees, so one growing forest per fold gives
the loss at every n. Predictions are summed tree by tree, in scikit-learn's own order: each reported
value is the very float that `cross_val_score` gives at that n. Trees that another trial has grown
are not grown again, see `forest_store`. The folds grow side by side where the trial has several
cores: scikit-learn lets go of Python's lock while it grows a tree.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import KFold

from tunewell.objective import Trial

from . import california, data
from .forest_store import DiskStore, FoldStore, NoStore, fold_key
from .side_by_side import finish

Array = npt.NDArray[np.float64]
FIRST_RUNG = 10
SUMS_EVERY = 20
"""Sums over so many more trees are kept for other trials."""
FLUSH_EVERY = 100
"""So many trees of a fold wait in memory at most until they are written: 3 MB."""


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
        store_dir: folder of what other trials have grown, or None.
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
        store_dir: Path | None = None,
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
        self._n_grown, self._max_depth = 0, max_depth
        self._store: FoldStore = NoStore()
        if store_dir is not None:
            rows = (*self._train, self._x_test)
            self._store = DiskStore(store_dir, fold_key({"random_state": random_state}, *rows))

    @property
    def state(self) -> tuple[int, Array]:
        """Number of trees and the sums of their predictions, shape (test rows,)."""
        return self._n_grown, self._sum

    def restore(self, n_grown: int, sums: Array) -> None:
        """Goes on from another forest's `state`.

        Growing on, scikit-learn draws past as many seeds as there are trees, whatever these are.
        """
        self._n_grown, self._sum = n_grown, sums.copy()

    def is_unlimited(self, n_trees: int) -> bool:
        """Whether the first `n_trees` trees are known to be those of a forest without a limit of
        depth: all of them stayed below the limit by themselves.
        """
        depths = self._store.depths(n_trees)
        return depths is not None and max(depths) < self._max_depth

    def take_known(self, n_trees: int) -> None:
        """Goes on towards `n_trees` up to the first tree that is not known."""
        if n_trees <= self._n_grown:
            return
        known = self._store.sums(self._max_depth, n_trees)
        if known is not None and known[0] > self._n_grown:
            self.restore(*known)
        while self._n_grown < n_trees:
            found = self._store.tree(self._n_grown, self._max_depth)
            if found is None:
                return
            self._add(found, n_trees)

    def growing(self, n_trees: int) -> Iterator[None]:
        """Grows on to `n_trees`, one new tree whenever it is advanced; the forest is that of
        `n_trees` once this is exhausted.
        """
        while self._n_grown < n_trees:
            found = self._store.tree(self._n_grown, self._max_depth)
            self._add(self._grown(self._n_grown) if found is None else found, n_trees)
            if found is None:
                yield

    def _add(self, predictions: Array, n_trees: int) -> None:
        """Counts the next tree, of shape (test rows,), on the way to `n_trees`."""
        self._sum += predictions
        self._n_grown += 1
        is_last = self._n_grown == n_trees
        if is_last or self._n_grown % SUMS_EVERY == 0:
            self._store.put_sums(self._max_depth, self._n_grown, self._sum)
        if is_last or self._n_grown % FLUSH_EVERY == 0:
            self._store.flush()

    def loss(self) -> float:
        """The mean squared error on the test rows of the forest as it is grown; it has a tree."""
        return float(mean_squared_error(self._y_test, self._sum / self._n_grown))

    def _grown(self, index: int) -> Array:
        """The predictions of a tree that is not known, shape (test rows,)."""
        # Growing on, scikit-learn only asks how many trees there are. A tree is dropped once it is
        # counted: five forests of full-depth trees would take over a gigabyte.
        self._forest.estimators_ = [None] * index
        self._forest.set_params(n_estimators=index + 1)
        self._forest.fit(*self._train)
        tree = self._forest.estimators_[index]
        found: Array = tree.predict(self._x_test, check_input=False)
        if (depth := tree.get_depth()) < self._max_depth:
            self._store.put_tree(index, depth, found)
        return found


def fold_forests(
    x: Array,
    y: Array,
    *,
    n_folds: int,
    max_depth: int,
    random_state: int,
    store_dir: Path | None = None,
) -> list[FoldForest]:
    """One forest per unshuffled fold, none grown yet."""
    return [
        FoldForest(
            x, y, train, test, max_depth=max_depth, random_state=random_state, store_dir=store_dir
        )
        for train, test in KFold(n_folds).split(x)
    ]


def curve(
    forests: Sequence[FoldForest], n_trees: int, n_cores: Callable[[], int] = lambda: 1
) -> float:
    """The loss at `n_trees`: the mean over the folds, as `-cross_val_score(...).mean()`.

    Args:
        forests: of the folds, none with more trees.
        n_cores: says how many cores there are for growing now. The loss does not depend on it.
    """
    for forest in forests:  # here: on several threads it would take longer
        forest.take_known(n_trees)
    open_ones = [forest for forest in forests if forest.state[0] < n_trees]
    finish([forest.growing(n_trees) for forest in open_ones], n_cores)
    return float(np.mean([forest.loss() for forest in forests]))


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


def _n_estimators(trial: Trial) -> int:
    return int(trial.params.get("n_estimators", 100))


def _max_depth(trial: Trial) -> int:
    return int(trial.params.get("max_depth", 50))


def _forests(trial: Trial) -> list[FoldForest]:
    x, y = california.load()
    return fold_forests(
        x,
        y,
        n_folds=trial.options.get("folds", 5),
        max_depth=_max_depth(trial),
        random_state=trial.options.get("random_state", 42),
        store_dir=trial.store_dir,
    )


def equivalent(trial: Trial) -> dict[str, Any]:
    """The canonical point: a depth that no tree of any fold comes to is no limit, None.

    The depths are those in the store; where one is not known yet, the limit stands as it is given.
    """
    n_trees = _n_estimators(trial)
    is_unlimited = all(forest.is_unlimited(n_trees) for forest in _forests(trial))
    return {
        "n_estimators": n_trees,
        "max_depth": None if is_unlimited else _max_depth(trial),
        "scikit-learn": sklearn.__version__,  # its random stream has changed between versions
    }


def evaluate(trial: Trial) -> dict[str, float]:
    """Grows the forests from report to report: the loss is the mean over all folds before any of
    them is grown further.
    """
    trial.data = data.described(data.CALIFORNIA)
    forests = _forests(trial)
    n_estimators, done = _n_estimators(trial), trial.last_step
    state = trial.checkpoint_dir / "state"
    if state.exists():
        restore(forests, state.read_bytes())
    mse = curve(forests, done, lambda: trial.n_cores) if done else float("nan")
    while done < n_estimators:
        done = next_report(done, n_estimators, trial.to_step)
        mse = curve(forests, done, lambda: trial.n_cores)
        trial.report(done, mse=mse)
        if trial.should_checkpoint:
            state.write_bytes(saved(forests))
            trial.save()
        if trial.should_stop:
            break
    return {"mse": mse}
