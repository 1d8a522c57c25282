"""The forest's losses, to the last bit those of scikit-learn's own cross-validation."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import RandomForestRegressor
from sklearn.model_selection import cross_val_score

from tests.objectives.trials import Kept, trial
from tests.unit.workers.fake_service import FakeService
from workers import main
from workers.objectives import california, data, forest

OF_THE_PINNED_VERSION = pytest.mark.skipif(
    sklearn.__version__ != "1.9.1",
    reason="the forest's random stream differs between versions; the results are those of 1.9.1",
)


@pytest.mark.parametrize(
    ("n_estimators", "expected"),
    [
        (1, [1]),
        (10, [10]),
        (11, [10, 11]),
        (80, [10, 20, 40, 80]),
        (107, [10, 20, 40, 80, 107]),
    ],
)
def test_the_curve_is_taken_at_doubling_numbers_of_trees(
    n_estimators: int, expected: list[int]
) -> None:
    assert forest.rungs(n_estimators) == expected


@pytest.mark.parametrize(
    ("to_step", "expected"),
    [
        (None, [10, 20, 25]),
        (3, [3, 10, 20, 25]),
        (20, [10, 20, 25]),
        (25, [10, 20, 25]),
        (81, [10, 20, 25]),
    ],
)
def test_the_end_of_the_budget_is_reported_too(to_step: int | None, expected: list[int]) -> None:
    done, found = 0, []
    while done < 25:
        done = forest.next_report(done, 25, to_step)
        found.append(done)
    assert found == expected


class Rungs(Kept):
    """Has the budget grow from rung to rung, as a trial that is promoted on the spot."""

    def __init__(self, *rungs: int) -> None:
        super().__init__()
        self._rungs = list(rungs)
        self.to_step: int | None = self._rungs.pop(0)

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        super().report(step, values, elapsed_s)
        if step == self.to_step:
            self.to_step = self._rungs.pop(0) if self._rungs else None


def test_at_every_rung_of_a_study_the_loss_is_the_separate_fits_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = (part[::60] for part in california.load())
    monkeypatch.setattr(california, "load", lambda: (x, y))
    kept = Rungs(3, 9, 27)
    forest.evaluate(trial({"n_estimators": 29, "max_depth": 8}, {"folds": 3}, kept=kept))
    assert [step for step, _ in kept.reports] == [3, 9, 10, 20, 27, 29]
    for step, values in kept.reports:
        model = RandomForestRegressor(n_estimators=step, max_depth=8, random_state=42, n_jobs=1)
        scores = cross_val_score(model, x, y, cv=3, scoring="neg_mean_squared_error")
        assert values == {"mse": -np.mean(scores)}


@pytest.mark.parametrize("max_depth", [4, 50])
def test_every_point_of_the_curve_is_the_separate_fits_loss_to_the_last_bit(max_depth: int) -> None:
    x, y = (part[::40] for part in california.load())
    forests = forest.fold_forests(x, y, n_folds=5, max_depth=max_depth, random_state=42)
    for n_trees in forest.rungs(25):
        model = RandomForestRegressor(
            n_estimators=n_trees, max_depth=max_depth, random_state=42, n_jobs=1
        )
        scores = cross_val_score(model, x, y, cv=5, scoring="neg_mean_squared_error")
        assert forest.curve(forests, n_trees) == -np.mean(scores)


@OF_THE_PINNED_VERSION
@pytest.mark.parametrize("n_estimators", [1, 7, 23])
@pytest.mark.parametrize("max_depth", [2, 5, 9, 50])
def test_a_trials_result_is_scikit_learns_own_to_the_last_bit_at_twelve_points(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n_estimators: int, max_depth: int
) -> None:
    """Alone, and from the trees that a trial before has left: of fewer and of more trees."""
    x, y = (part[::60] for part in california.load())
    monkeypatch.setattr(california, "load", lambda: (x, y))
    model = RandomForestRegressor(
        n_estimators=n_estimators, max_depth=max_depth, random_state=42, n_jobs=1
    )
    scores = cross_val_score(model, x, y, cv=3, scoring="neg_mean_squared_error")

    def evaluated(n_trees: int) -> dict[str, float]:
        point = {"n_estimators": n_trees, "max_depth": max_depth}
        return forest.evaluate(trial(point, {"folds": 3}, store_dir=tmp_path))

    alone = evaluated(n_estimators)
    evaluated(30)
    assert alone == evaluated(n_estimators) == {"mse": -np.mean(scores)}


@OF_THE_PINNED_VERSION
@pytest.mark.parametrize("n_estimators", [1, 7, 23])
@pytest.mark.parametrize("max_depth", [2, 5, 9, 50])
@pytest.mark.parametrize("cores", [(2,), (5,), (3, 1, 1, 2, 4)], ids=["2", "5", "changing"])
def test_folds_that_grow_on_several_cores_give_the_same_bits_at_twelve_points(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    n_estimators: int,
    max_depth: int,
    cores: tuple[int, ...],
) -> None:
    """Without a store, with an empty one, with one that holds more trees, and read by one core."""
    x, y = (part[::60] for part in california.load())
    monkeypatch.setattr(california, "load", lambda: (x, y))
    lent = itertools.cycle(cores)

    def curve(n_trees: int, store: Path | None, now: Callable[[], int] | None = None) -> Any:
        kept = Kept()
        point = {"n_estimators": n_trees, "max_depth": max_depth}
        made = trial(point, {"folds": 3}, kept=kept, store_dir=store, cores_now=now)
        forest.evaluate(made)
        return kept.reports

    model = RandomForestRegressor(
        n_estimators=n_estimators, max_depth=max_depth, random_state=42, n_jobs=1
    )
    scores = cross_val_score(model, x, y, cv=3, scoring="neg_mean_squared_error")
    one_core = curve(n_estimators, None)
    assert one_core[-1] == (n_estimators, {"mse": -np.mean(scores)})
    assert curve(n_estimators, None, lambda: next(lent)) == one_core
    assert curve(n_estimators, tmp_path, lambda: next(lent)) == one_core
    assert curve(30, tmp_path, lambda: next(lent)) == curve(30, None)
    assert curve(n_estimators, tmp_path, lambda: next(lent)) == one_core
    assert curve(n_estimators, tmp_path) == one_core


def test_folds_grow_at_once_where_there_are_several_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = (part[::60] for part in california.load())
    monkeypatch.setattr(california, "load", lambda: (x, y))
    meeting, fit = threading.Barrier(3), RandomForestRegressor.fit

    def meet(self: Any, *args: Any) -> Any:
        meeting.wait(30.0)  # in vain for one that is grown alone
        return fit(self, *args)

    monkeypatch.setattr(RandomForestRegressor, "fit", meet)
    made = trial({"n_estimators": 10, "max_depth": 4}, {"folds": 3}, cores_now=lambda: 3)
    assert forest.evaluate(made)["mse"] > 0


@OF_THE_PINNED_VERSION
def test_ten_trees_of_depth_50_have_the_anchors_loss_through_a_worker(tmp_path: Path) -> None:
    with FakeService() as service:
        service.add("ls_1", "random-forest", params={"n_estimators": 10, "max_depth": 50})
        statuses: queue.SimpleQueue[int] = queue.SimpleQueue()
        options: dict[str, Any] = {"slots": 1, "exit_when_idle": True, "state_dir": tmp_path}
        run = threading.Thread(target=lambda: statuses.put(main.run(url=service.url, **options)))
        run.start()
        service.wait_for(service.ends)
        service.change(lambda: setattr(service, "open_work", False))
        run.join()
    (report,) = service.reports()
    ((what, body),) = service.ends()
    anchor = {"mse": 0.46788742107383763}
    assert [(point["step"], point["values"]) for point in report["points"]] == [(10, anchor)]
    assert (what, body["values"]) == ("complete", anchor)
    assert body["data"] == data.described(data.CALIFORNIA)
    assert statuses.get() == 0
