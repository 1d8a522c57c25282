"""Which results are better when only the order counts: for suggesters that never look at values."""

from __future__ import annotations

import math

import numpy as np

from ..domain.trial import TrialState
from .base import Floats, SuggestRequest, constraint_excess, objective_targets, targets

_WITH_VALUE = frozenset({TrialState.COMPLETED, TrialState.STOPPED})


def violations(request: SuggestRequest) -> Floats:
    """How far each finished trial is beyond the thresholds: 0 within all of them.

    The sum over the constraints, each in shares of its largest excess (Deb 2000, section 3). NaN
    for a trial that lacks one of them, and for one without objectives or that went wrong.

    Returns:
        Shape (n,), in the order of the trials.
    """
    beyond = np.maximum(constraint_excess(request), 0.0)
    largest = np.where(np.isnan(beyond), 0.0, beyond).max(axis=0, initial=0.0)
    with np.errstate(under="ignore"):
        total = (beyond / np.where(largest > 0.0, largest, 1.0)).sum(axis=1)
    total[[trial.state not in _WITH_VALUE for trial in request.finished]] = math.nan
    total[np.isnan(objective_targets(request)).any(axis=1)] = math.nan
    return np.asarray(total, dtype=np.float64)


def ranks_of(request: SuggestRequest) -> Floats:
    """How good each finished trial is by the first objective: 0 for the best, equal ones alike.

    Those beyond a threshold come after all that are not, by how far they are (Deb 2000).

    Returns:
        Shape (n,), in the order of the trials; infinite for failures.
    """
    y, total = targets(request), violations(request)
    is_ranked = np.isfinite(y) & np.isfinite(total)
    found = np.full(len(y), math.inf)
    if is_ranked.any():
        pairs = np.stack([total[is_ranked], y[is_ranked]], axis=1)
        found[is_ranked] = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1)
    return found
