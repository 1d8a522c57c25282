"""Is it still getting better: values of the trials, and the best so far."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np

from ..domain.trial import TrialState
from .envelope import Envelope, floats, integers
from .sampling import cells
from .table import RANKED, Floats, Ints, TrialTable
from .wild import cut
from .worked import worked_s

Axis: TypeAlias = Literal["number", "elapsed", "worked"]
"""Trial numbers; seconds since the first start; those of them in which trials ran."""

_UNSEEN = (TrialState.PENDING, TrialState.CANCELLED)
_VALUELESS = (TrialState.FAILED, TrialState.INFEASIBLE)


def history(table: TrialTable, axis: Axis, *, max_points: int) -> Envelope:
    """Every trial that has begun, by number or by the time of its end; one best line for each
    bracket of the early-stopping rule.

    A trial that has no final value stands at the one that it reported last; those that end without
    one are there without a value. `excluded` counts the trials that stand at no value, by state, or
    as `nan` where the value is not finite. Over "worked" all times are without `idle_s`, the
    seconds in which nothing ran.
    """
    elapsed_s, idle_s = worked_s(table) if axis == "worked" else (table.elapsed_s, 0.0)
    x = table.number.astype(np.float64) if axis == "number" else elapsed_s
    value = table.shown
    used = np.flatnonzero(~table.is_in(*_UNSEEN))
    keep = np.zeros(len(table), dtype=np.bool_)
    keep[table.improvements()] = True
    keep |= table.is_in(TrialState.RUNNING)
    shown = used[
        cells(x[used], value[used], table.state[used], table.cost[used], keep[used], max_points)
    ]
    return Envelope(
        kind="history",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=len(used),
        n_shown=len(shown),
        sampling="all" if len(shown) == len(used) else "cells",
        excluded=_excluded(table),
        columns={
            "number": integers(table.number[shown]),
            "elapsed_s": floats(elapsed_s[shown]),
            "value": floats(value[shown]),
            "state": integers(table.state[shown]),
            "bracket": integers(table.bracket[shown], none=-1),
        },
        more={
            "best": [
                _best(table, x, elapsed_s, int(bracket)) for bracket in np.unique(table.bracket)
            ],
            "axis": cut(value[used]),
            "idle_s": idle_s,
        },
    )


def _excluded(table: TrialTable) -> dict[str, int]:
    found = table.counts(*_UNSEEN, *_VALUELESS)
    n_nan = int((table.is_in(*RANKED) & ~np.isfinite(table.shown)).sum())
    n_nan += int((~table.is_in(*RANKED) & np.isinf(table.last)).sum())
    return found | ({"nan": n_nan} if n_nan else {})


def _best(table: TrialTable, x: Floats, elapsed_s: Floats, bracket: int) -> dict[str, Any]:
    """The improvements within a bracket, in the order of `x`."""
    inside = np.flatnonzero((table.bracket == bracket) & np.isfinite(x))
    order: Ints = inside[np.argsort(x[inside], kind="stable")]
    steps = table.improvements(order)
    return {
        "bracket": None if bracket < 0 else bracket,
        "number": integers(table.number[steps]),
        "elapsed_s": floats(elapsed_s[steps]),
        "value": floats(table.value[steps]),
    }
