"""What the suggester believes along one parameter, and the trials near that line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..domain.space import Parameter, Space
from .envelope import Envelope, floats, integers
from .scales import along, described
from .table import Floats, Ints, TrialTable

MOST_NEAR = 50
_LOOKED_AT = 2_000
"""The newest trials with a value, among which those near the line are sought."""


def base_of(table: TrialTable, param: str) -> int | None:
    """The place of the trial through which a line along a parameter goes unless another is named:
    the best in which the parameter is active, else the last of those; None without any.
    """
    is_active = np.array([param in params for params in table.params], dtype=np.bool_)
    cost = np.where(is_active, table.best_cost, np.nan)
    if np.isfinite(cost).any():
        return int(np.nanargmin(cost))
    places = np.flatnonzero(is_active)
    return int(places[-1]) if len(places) else None


def surrogate(
    table: TrialTable,
    space: Space,
    parameter: Parameter,
    base: int | None,
    *,
    columns: Mapping[str, list[Any]],
    n_fit: int,
    more: Mapping[str, Any],
) -> Envelope:
    """The envelope of a view.

    Args:
        base: place of the trial through which the line goes; None without one.
        columns: what the model says, of equal lengths.
        n_fit: trials that it was fitted to.
        more: what is told of the suggester.
    """
    places = np.empty(0, dtype=np.int64) if base is None else _near(table, space, parameter, base)
    return Envelope(
        kind="surrogate",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=n_fit,
        n_shown=min(n_fit, len(places)),
        sampling="all",
        axes=(described(parameter),),
        columns=columns,
        more={
            **more,
            "at": None if base is None else int(table.number[base]),
            "near": {
                "number": integers(table.number[places]),
                "x": [table.params[place][parameter.name] for place in places.tolist()],
                "value": floats(table.shown[places]),
                "state": integers(table.state[places]),
            },
        },
    )


def _near(table: TrialTable, space: Space, parameter: Parameter, base: int) -> Ints:
    """Places of the trials nearest to the line, by the mean difference of all other parameters on
    their scales; a parameter that only one of two has is a whole range apart.
    """
    places = np.flatnonzero(np.isfinite(table.shown))[-_LOOKED_AT:]
    kept = [place for place in places.tolist() if parameter.name in table.params[place]]
    points = [table.params[base], *(table.params[place] for place in kept)]
    total: Floats = np.zeros(len(kept))
    for other in space.parameters:
        if other.name != parameter.name:
            here = along(other, points)
            apart = np.abs(here[1:] - here[0])
            is_alike = np.isnan(here[1:]) & np.isnan(here[0])
            total += np.where(is_alike, 0.0, np.where(np.isnan(apart), 1.0, apart))
    nearest = np.argsort(total, kind="stable")[:MOST_NEAR]
    return np.sort(np.array(kept, dtype=np.int64)[nearest])
