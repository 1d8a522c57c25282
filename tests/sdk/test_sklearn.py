"""`TunewellSearchCV`: scikit-learn's own estimator checks, and what a search gives."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.utils.estimator_checks import check_estimator

import tunewell as tw
from tunewell import embedded

SPACE = [tw.Float("C", 1e-2, 1e2, log=True)]
EXCUSED = {
    "check_supervised_y_2d": "scikit-learn excuses its RandomizedSearchCV too",
    "check_requires_y_none": "scikit-learn excuses its RandomizedSearchCV too",
}


def search(client: tw.Client, **given: Any) -> tw.TunewellSearchCV:
    settings = {"n_iter": 3, "random_state": 0, "suggester": "random", "cv": 2, **given}
    return tw.TunewellSearchCV(LogisticRegression(), SPACE, client=client, **settings)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(n_samples=60, n_features=5, random_state=0)  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore")
def test_it_passes_the_estimator_checks(client: tw.Client) -> None:
    made = tw.TunewellSearchCV(
        LogisticRegression(),
        SPACE,
        client=client,
        n_iter=2,
        cv=2,
        suggester="random",
        error_score="raise",
    )
    results = check_estimator(made, expected_failed_checks=EXCUSED, on_fail=None)
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed == {}
    assert len(results) > 30


def test_equal_seeds_give_equal_results_and_each_fit_a_study(
    client: tw.Client, data: tuple[np.ndarray, np.ndarray]
) -> None:
    first, second = search(client).fit(*data), search(client).fit(*data)
    assert first.study_.id != second.study_.id
    assert first.cv_results_["params"] == second.cv_results_["params"]
    assert len(first.cv_results_["params"]) == 3
    again = first.study_.id
    first.fit(*data)
    assert first.study_.id != again


def test_the_study_has_the_scores_and_a_given_one_is_gone_on_with(
    client: tw.Client, data: tuple[np.ndarray, np.ndarray]
) -> None:
    study = client.studies.create(
        "loss", SPACE, tw.minimize("loss"), max_trials=5, suggester="random"
    )
    found = search(client, study=study, scoring="neg_log_loss").fit(*data)
    values = [trial.values["loss"] for trial in study.trials]
    assert values == pytest.approx(list(-found.cv_results_["mean_test_score"]))
    found.fit(*data)
    assert study.refresh().n_finished == 5
    assert len(found.cv_results_["params"]) == 2


def test_several_scores_and_folds_that_all_fail(
    client: tw.Client, data: tuple[np.ndarray, np.ndarray]
) -> None:
    several = search(client, scoring=["accuracy", "f1"], refit="f1").fit(*data)
    values = [trial.values["score"] for trial in several.study_.trials]
    assert values == pytest.approx(list(several.cv_results_["mean_test_f1"]))

    def never(*_: Any) -> float:
        return float("nan")

    with pytest.warns(UserWarning, match="non-finite"):
        failing = search(client, scoring=never).fit(*data)
    assert [trial.state for trial in failing.study_.trials] == ["failed"] * 3


def test_it_nests_and_is_pickled_without_the_token(
    client: tw.Client, data: tuple[np.ndarray, np.ndarray]
) -> None:
    assert len(cross_val_predict(search(client), *data, cv=2)) == len(data[1])
    fitted = search(client).fit(*data)
    packed = pickle.dumps(fitted)
    assert client.token.encode() not in packed
    assert (pickle.loads(packed).predict(data[0]) == fitted.predict(data[0])).all()


def test_without_a_client_a_private_service_lasts_for_the_fit(
    client: tw.Client, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    lasts: list[Path] = []

    @contextlib.contextmanager
    def local(folder: str) -> Iterator[tw.Client]:
        lasts.append(Path(folder))
        yield client
        lasts.clear()

    # What it starts is tested in test_local.py.
    monkeypatch.setattr(embedded, "local", local)
    made = tw.TunewellSearchCV(
        LogisticRegression(), SPACE, n_iter=1, suggester="random", cv=2,
        scoring=lambda *_: float(lasts[0].is_dir()),
    )  # fmt: skip
    assert not hasattr(made, "study_")
    assert made.fit(*data).best_score_ == 1.0
    assert lasts == []
