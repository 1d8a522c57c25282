"""Is it still getting better: values of the trials, and the best so far."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..domain.trial import TrialState
from .envelope import Envelope, floats, integers
from .sampling import cells
from .table import Floats, Ints, TrialTable

_UNSEEN = (TrialState.PENDING, TrialState.CANCELLED)


def history(table: TrialTable, *, by_time: bool, max_points: int) -> Envelope:
    """Every trial that has begun, by number or by the time of its end; one best line for each
    bracket of the early-stopping rule.
    """
    x = table.elapsed_s if by_time else table.number.astype(np.float64)
    used = np.flatnonzero(~table.is_in(*_UNSEEN))
    keep = np.zeros(len(table), dtype=np.bool_)
    keep[table.improvements()] = True
    keep |= table.is_in(TrialState.RUNNING)
    shown = used[
        cells(
            x[used], table.value[used], table.state[used], table.cost[used], keep[used], max_points
        )
    ]
    return Envelope(
        kind="history",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=len(used),
        n_shown=len(shown),
        sampling="all" if len(shown) == len(used) else "cells",
        excluded={str(state): n for state in _UNSEEN if (n := int(table.is_in(state).sum()))},
        columns={
            "number": integers(table.number[shown]),
            "elapsed_s": floats(table.elapsed_s[shown]),
            "value": floats(table.value[shown]),
            "state": integers(table.state[shown]),
            "bracket": integers(table.bracket[shown], none=-1),
        },
        more={"best": [_best(table, x, int(bracket)) for bracket in np.unique(table.bracket)]},
    )


def _best(table: TrialTable, x: Floats, bracket: int) -> dict[str, Any]:
    """The improvements within a bracket, in the order of `x`."""
    inside = np.flatnonzero((table.bracket == bracket) & np.isfinite(x))
    order: Ints = inside[np.argsort(x[inside], kind="stable")]
    steps = table.improvements(order)
    return {
        "bracket": None if bracket < 0 else bracket,
        "number": integers(table.number[steps]),
        "elapsed_s": floats(table.elapsed_s[steps]),
        "value": floats(table.value[steps]),
    }
