"""A scikit-learn pipeline of your own: scaling, then a support-vector machine, cross-validated.

tunewell worker run --objective own_sklearn:digits          # in this folder, with scikit-learn
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import tunewell


@tunewell.objective(name="digits", metrics={"accuracy": "maximize"}, steps="folds", max_resource=5)
def digits(trial: tunewell.Trial) -> None:
    """Params: C, kernel, gamma for rbf. A fold is a step: a bad point may end early."""
    x, y = load_digits(return_X_y=True)
    model = make_pipeline(StandardScaler(), SVC(random_state=trial.seed, **trial.params))
    scores = []
    for fold, (train, test) in enumerate(StratifiedKFold(5).split(x, y), start=1):
        scores.append(model.fit(x[train], y[train]).score(x[test], y[test]))
        trial.report(fold, accuracy=sum(scores) / fold)
        if trial.should_stop:
            break
