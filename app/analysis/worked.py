"""Time without pauses: seconds in which trials ran."""

from __future__ import annotations

import numpy as np

from ..domain.trial import TrialState
from .table import Floats, TrialTable


def worked_s(table: TrialTable) -> tuple[Floats, float]:
    """Seconds from the study's first start to each trial's end, without those in which no trial
    ran; and how many there were of those until the last trial began.

    A trial that waited at a rung counts as running from its start to its end.

    Returns:
        shape (n,), NaN for a trial that has not ended; and seconds >= 0.
    """
    end = np.where(table.is_in(TrialState.RUNNING), np.inf, table.elapsed_s)
    begin = np.where(np.isfinite(table.begun_s), table.begun_s, table.elapsed_s)
    known = np.flatnonzero(np.isfinite(begin) & ~np.isnan(end))
    order = known[np.argsort(begin[known], kind="stable")]
    covered = np.maximum.accumulate(np.concatenate([[0.0], end[order]]))
    idle = np.cumsum(np.maximum(0.0, begin[order] - covered[:-1]))
    worked = np.full(len(table), np.nan)
    worked[order] = end[order] - idle
    worked[np.isinf(worked)] = np.nan
    return worked, float(idle[-1]) if len(idle) else 0.0
