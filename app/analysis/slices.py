"""Where along a parameter it is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..domain.space import CategoricalParameter, Parameter
from ..domain.trial import TrialState
from .envelope import Envelope, floats, integers
from .sampling import cells
from .scales import along, described
from .table import RANKED, Ints, TrialTable
from .wild import cut

_N_BINS = 12
_MIN_IN_BIN = 4


def slices(table: TrialTable, parameters: Sequence[Parameter], *, max_points: int) -> Envelope:
    """Value over parameter for each of some parameters, up to `max_points` trials for each; a
    trial in which the parameter is not active has no place (null).
    """
    used = np.flatnonzero(table.is_in(*RANKED) & np.isfinite(table.value))
    parts = [_one(table, used, parameter, max_points) for parameter in parameters]
    n_shown = max((len(part["number"]) for part in parts), default=0)
    return Envelope(
        kind="slice",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=len(used),
        n_shown=n_shown,
        sampling="all" if n_shown == len(used) else "cells",
        excluded=without_value(table),
        axes=tuple(described(parameter) for parameter in parameters),
        columns={},
        more={"slices": parts, "axis": cut(table.value[used])},
    )


def without_value(table: TrialTable) -> dict[str, int]:
    """How many trials have no value to be placed by, by state."""
    missing = {str(state): int(table.is_in(state).sum()) for state in TrialState}
    for state in RANKED:
        missing[str(state)] = int((table.is_in(state) & ~np.isfinite(table.value)).sum())
    return {state: n for state, n in missing.items() if n}


def _one(table: TrialTable, used: Ints, parameter: Parameter, most: int) -> dict[str, Any]:
    at = along(parameter, [table.params[index] for index in used.tolist()])
    keep = np.isin(used, table.improvements())
    chosen = cells(at, table.value[used], table.state[used], table.cost[used], keep, most)
    shown = used[chosen]
    raw = [table.params[index].get(parameter.name) for index in shown.tolist()]
    return {
        "param": parameter.name,
        "number": integers(table.number[shown]),
        "x": raw,
        "value": floats(table.value[shown]),
        "state": integers(table.state[shown]),
        "bins": _bins(table, used, at, parameter),
    }


def _bins(table: TrialTable, used: Ints, at: Any, parameter: Parameter) -> dict[str, Any]:
    """Quartiles of the values along the parameter; of places with fewer than four trials none."""
    n_bins = len(parameter.choices) if isinstance(parameter, CategoricalParameter) else _N_BINS
    active = np.isfinite(at)
    last = max(1, n_bins - 1)
    if isinstance(parameter, CategoricalParameter):
        cell = np.round(np.where(active, at, 0.0) * last).astype(np.int64)
        middles = np.arange(n_bins) / last
    else:
        cell = np.minimum(np.where(active, at, 0.0) * n_bins, n_bins - 1).astype(np.int64)
        middles = (np.arange(n_bins) + 0.5) / n_bins
    values = table.value[used]
    inside = [values[active & (cell == index)] for index in range(n_bins)]
    kept = [index for index, found in enumerate(inside) if len(found) >= _MIN_IN_BIN]
    quartiles = [np.quantile(inside[index], [0.25, 0.5, 0.75]) for index in kept]
    columns = np.array(quartiles, dtype=np.float64).reshape(-1, 3)
    return {
        "place": floats(middles[kept]),
        "q25": floats(columns[:, 0]),
        "q50": floats(columns[:, 1]),
        "q75": floats(columns[:, 2]),
        "n": [len(inside[index]) for index in kept],
    }
