"""Which combinations are good: each trial a line across the parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..domain.space import Parameter
from .envelope import Envelope, floats, integers
from .sampling import strata
from .scales import along, described
from .slices import without_value
from .table import RANKED, TrialTable

MOST_LINES = 1_500
SCALE = 1_000
"""Places along an axis, 0 to this; -1 where the parameter is not active."""


def parallel(
    table: TrialTable, parameters: Sequence[Parameter], *, max_points: int, seed: int
) -> Envelope:
    """The best 300 trials with values, and others spread over the ranks of the rest; parameters as
    places on their own scales.
    """
    used = np.flatnonzero(table.is_in(*RANKED) & np.isfinite(table.value))
    shown = used[strata(table.cost[used], min(max_points, MOST_LINES), seed)]
    params = [table.params[index] for index in shown.tolist()]
    columns = {
        "number": integers(table.number[shown]),
        "value": floats(table.value[shown]),
        "state": integers(table.state[shown]),
    }
    for parameter in parameters:
        at = along(parameter, params)
        scaled = np.where(np.isfinite(at), np.round(np.nan_to_num(at) * SCALE), -1)
        columns[f"param:{parameter.name}"] = integers(scaled.astype(np.int64))
    return Envelope(
        kind="parallel",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=len(used),
        n_shown=len(shown),
        sampling="all" if len(shown) == len(used) else "strata",
        excluded=without_value(table),
        axes=tuple(described(parameter) for parameter in parameters),
        columns=columns,
    )
