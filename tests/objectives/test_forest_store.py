"""The forest's store: what another trial has grown is not grown again, and no bit differs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_score

from workers.objectives import california, forest
from workers.objectives.forest_store import DiskStore, fold_key
from workers.objectives.store import evict

from .trials import Kept, trial

FOLDS = 3


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sixtieth of the data."""
    x, y = (part[::60].copy() for part in california.load())
    monkeypatch.setattr(california, "load", lambda: (x, y))
    return x, y


@pytest.fixture
def grown(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many trees have been grown since the last look."""
    counted: list[int] = []
    fit = RandomForestRegressor.fit

    def counting(self: Any, *args: Any) -> Any:
        counted.append(self.n_estimators)
        return fit(self, *args)

    monkeypatch.setattr(RandomForestRegressor, "fit", counting)

    def since() -> int:
        found = len(counted)
        counted.clear()
        return found

    return since


def run(store: Path | None, n_trees: int, max_depth: int) -> list[tuple[int, dict[str, float]]]:
    """The curve of one trial."""
    kept = Kept()
    params = {"n_estimators": n_trees, "max_depth": max_depth}
    forest.evaluate(trial(params, {"folds": FOLDS}, kept=kept, store_dir=store))
    return kept.reports


POINTS = [(25, 50), (12, 50), (40, 50), (25, 9), (25, 12), (30, 12), (7, 8), (40, 10), (25, 11)]


def test_whatever_was_grown_before_every_loss_is_the_separate_fits_to_the_last_bit(
    data: Any, tmp_path: Path
) -> None:
    x, y = data
    for n_trees, max_depth in POINTS:
        curve = run(tmp_path, n_trees, max_depth)
        assert curve == run(None, n_trees, max_depth)
        model = RandomForestRegressor(
            n_estimators=n_trees, max_depth=max_depth, random_state=42, n_jobs=1
        )
        scores = cross_val_score(model, x, y, cv=FOLDS, scoring="neg_mean_squared_error")
        assert curve[-1] == (n_trees, {"mse": -np.mean(scores)})


def test_no_tree_is_grown_twice(data: Any, tmp_path: Path, grown: Callable[[], int]) -> None:
    run(tmp_path, 20, 50)
    assert grown() == 20 * FOLDS
    run(tmp_path, 20, 50)  # the same point
    run(tmp_path, 13, 50)  # fewer trees
    run(tmp_path, 13, 47)  # another depth that no tree comes to
    assert grown() == 0
    run(tmp_path, 30, 48)  # ten more trees
    assert grown() == 10 * FOLDS
    run(tmp_path, 20, 5)  # a depth that cuts all trees
    assert grown() == 20 * FOLDS
    run(tmp_path, 25, 5)
    assert grown() == 5 * FOLDS


def test_folds_on_several_cores_write_all_that_they_grow(
    data: Any, tmp_path: Path, grown: Callable[[], int]
) -> None:
    params = {"n_estimators": 45, "max_depth": 50}
    forest.evaluate(trial(params, {"folds": 7}, store_dir=tmp_path, cores_now=lambda: 7))
    assert grown() == 45 * 7
    kept, alone = Kept(), Kept()
    forest.evaluate(trial(params, {"folds": 7}, kept=kept, store_dir=tmp_path))
    assert grown() == 0
    forest.evaluate(trial(params, {"folds": 7}, kept=alone))
    assert kept.reports == alone.reports
    assert not list(tmp_path.glob("*/*.part"))


def test_a_trial_that_is_killed_leaves_the_trees_that_it_had_grown_by_the_hundred(
    data: Any, tmp_path: Path, grown: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest, "FLUSH_EVERY", 10)
    for each in forest.fold_forests(
        *data, n_folds=FOLDS, max_depth=50, random_state=42, store_dir=tmp_path
    ):
        growing = each.growing(40)
        for _ in range(15):
            next(growing)
    assert grown() == 15 * FOLDS
    run(tmp_path, 20, 50)
    assert grown() == 10 * FOLDS


def test_a_tree_that_stayed_below_the_limit_serves_other_limits(
    data: Any, tmp_path: Path, grown: Callable[[], int]
) -> None:
    run(tmp_path, 20, 14)
    grown()
    run(tmp_path, 20, 50)
    assert 0 < grown() < 20 * FOLDS


def test_another_random_state_or_other_data_share_nothing(
    data: Any, tmp_path: Path, grown: Callable[[], int]
) -> None:
    run(tmp_path, 10, 50)
    grown()
    options = {"folds": FOLDS, "random_state": 43}
    forest.evaluate(trial({"n_estimators": 10, "max_depth": 50}, options, store_dir=tmp_path))
    assert grown() == 10 * FOLDS
    data[1][0] += 1.0  # the first fold is tested on it, the others are trained on it
    run(tmp_path, 10, 50)
    assert grown() == 10 * (FOLDS - 1)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_broken_file_is_grown_again(
    data: Any, tmp_path: Path, grown: Callable[[], int], content: bytes | None
) -> None:
    expected = run(tmp_path, 10, 50)
    for file in tmp_path.glob("*/*.npz"):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if content is None else content)
    grown()
    assert run(tmp_path, 10, 50) == expected
    assert grown() == 10 * FOLDS
    assert run(tmp_path, 10, 50) == expected
    assert grown() == 0


def test_a_folder_that_takes_nothing_is_no_reason_to_fail(data: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file", 10, 50) == run(None, 10, 50)


def test_the_files_used_longest_ago_go_first(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, "fold", max_bytes=1 << 30)
    rows = np.zeros(1000)
    for first in (0, 10, 20):
        store.put_tree(first, 3, rows)
        store.flush()
    assert store.tree(0, 50) is not None  # of use again
    size = (tmp_path / "fold" / "trees-0.npz").stat().st_size
    evict(tmp_path, 2 * size + size // 2)
    assert sorted(file.name for file in tmp_path.glob("*/*.npz")) == ["trees-0.npz", "trees-20.npz"]
    evict(tmp_path, 0)
    assert list(tmp_path.glob("*/*.npz")) == []


def test_many_writers_lose_nothing_of_one_another(tmp_path: Path) -> None:
    def write(first: int) -> None:
        store = DiskStore(tmp_path, "fold")
        for index in range(first, 40, 4):
            store.put_tree(index, 3, np.full(50, float(index)))
            store.put_sums(5, index + 1, np.full(50, float(index)))
            store.flush()

    writers = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    store = DiskStore(tmp_path, "fold")
    for index in range(40):
        found = store.tree(index, 50)
        assert found is not None
        assert set(found) == {float(index)}
    assert store.sums(5, 1000) is not None
    assert store.sums(5, 0) is None
    assert not list(tmp_path.glob("*/*.part"))


def test_a_key_names_all_that_a_fold_depends_on() -> None:
    x = np.arange(6.0)
    keys = {
        fold_key({"random_state": 1}, x),
        fold_key({"random_state": 2}, x),
        fold_key({"random_state": 1}, x[::-1]),
        fold_key({"random_state": 1}, x, x),
    }
    assert len(keys) == 4
