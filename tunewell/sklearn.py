"""`TunewellSearchCV`: scikit-learn's search with a suggester that knows every result.

It is scikit-learn's own base class but for the hook that says which candidates are evaluated, so
results, scoring, refitting and delegated methods are scikit-learn's.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import embedded
from .client import Client
from .errors import NotInstalled
from .handles import Study
from .space import Metric, Param, maximize

try:
    # Its documentation names this class for searches of others; it is exported nowhere else.
    from sklearn.model_selection._search import BaseSearchCV
    from sklearn.utils import check_random_state
except ModuleNotFoundError as error:
    raise NotInstalled(
        f"TunewellSearchCV needs {error.name}, which is not installed",
        next_step="pip install 'tunewell[sklearn]'",
    ) from error

SCORE = "score"
"""The metric of a study of a search: the mean test score over the folds."""


class TunewellSearchCV(BaseSearchCV):  # type: ignore[misc]
    """Search over the parameters of an estimator, by a study.

    ```python
    search = TunewellSearchCV(
        LogisticRegression(), [tw.Float("C", 1e-3, 1e3, log=True)], n_iter=30, random_state=0
    )
    search.fit(X, y).best_params_
    ```

    Args:
        estimator: what is fitted.
        space: parameters by the names that `estimator.set_params` takes.
        n_iter: how many candidates are evaluated.
        scoring, cv, refit, n_jobs, verbose, pre_dispatch, error_score, return_train_score: as in
            scikit-learn's `RandomizedSearchCV`. With several scorings `refit` names the one that is
            searched for, else the first is.
        random_state: seed of the suggester; equal ones give equal results.
        study: a study to evaluate trials of; its metric is given the score. None: each fit has a
            fresh one, which is not shared with others.
        client: where the fresh study is made; None: a private service for the time of the fit,
            which needs the extra `server`.
        suggester: its name, for a fresh study.

    Attributes:
        study_: the study of the last fit; beyond the fit it can be asked where `client` or `study`
            was given.
    """

    def __init__(
        self,
        estimator: Any,
        space: Sequence[Param],
        *,
        n_iter: int = 20,
        scoring: Any = None,
        cv: Any = None,
        refit: Any = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        study: Study | None = None,
        client: Client | None = None,
        suggester: str = "auto",
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        error_score: Any = float("nan"),
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator=estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.space = space
        self.n_iter = n_iter
        self.random_state = random_state
        self.study = study
        self.client = client
        self.suggester = suggester

    def _run_search(self, evaluate_candidates: Callable[..., Mapping[str, Any]]) -> None:
        """Evaluates one candidate after another, each as a trial of the study."""
        with self._opened() as study:
            self.study_ = study
            metric = study.info.metrics[0]
            is_better_more = study.definition["metrics"][0]["direction"] == "maximize"
            n_done = 0
            while n_done < self.n_iter:
                trials = study.ask()
                if not trials:
                    if study.refresh().state != "active":
                        break
                    continue
                with trials[0] as trial:
                    results = evaluate_candidates([dict(trial.params)])
                    n_done += 1
                    score = float(results[f"mean_test_{self._wanted(results)}"][-1])
                    if math.isfinite(score):
                        trial.returned({metric: score if is_better_more else -score})

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Study]:
        if self.study is not None:
            yield self.study
        elif self.client is not None:
            yield self._made(self.client)
        else:
            with (
                tempfile.TemporaryDirectory(prefix="tunewell-") as folder,
                embedded.local(folder) as client,
            ):
                yield self._made(client)

    def _made(self, client: Client) -> Study:
        """A fresh study, its seed drawn as scikit-learn draws one."""
        seed = None
        if self.random_state is not None:
            seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        metric: Metric = maximize(SCORE)
        return client.studies.create(
            f"{type(self.estimator).__name__}-{uuid.uuid4().hex[:12]}",
            self.space,
            metric,
            suggester=self.suggester,
            seed=seed,
            # Candidates whose folds all fail are results too: the search goes on.
            failure_policy={"max_attempts": 1, "max_failed": self.n_iter},
        )

    def _wanted(self, results: Mapping[str, Any]) -> str:
        """Name of the score that is searched for, as the results have it."""
        if isinstance(self.refit, str):
            return self.refit
        names = [name.removeprefix("mean_test_") for name in results if "mean_test_" in name]
        return SCORE if SCORE in names else names[0]
