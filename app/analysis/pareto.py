"""What is traded for what: values of several objectives, the front, and the volume it dominates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..domain.front import pareto_front, reference_point
from ..domain.study import Direction, Metric
from ..domain.trial import TrialState
from .envelope import Envelope, floats, integers
from .sampling import cells
from .slices import without_value
from .table import Floats, Ints, Mask, TrialTable
from .volume import improving, volume

MOST_POINTS = 2_000
MOST_STEPS = {2: 200, 3: 60}
"""Points of the line of hypervolume, by the number of objectives."""
_MOST_METRICS = 3


def pareto(table: TrialTable, objectives: Sequence[Metric], *, max_points: int) -> Envelope:
    """Completed trials by their objectives, the whole front among them, and the hypervolume after
    each trial that made it larger.

    The reference point is that of the present front, so that the line of hypervolume ends at what
    the study shows. A trial that breaks a constraint is shown and never on the front.
    """
    if len(objectives) < 2:
        return _envelope(table, objectives, why="a front takes two objectives, this study has one")
    used = np.flatnonzero(table.is_in(TrialState.COMPLETED) & np.isfinite(table.values).all(axis=1))
    can_be = used[table.feasible[used]]
    directions = [metric.direction for metric in objectives]
    rows = [tuple(row) for row in table.values[can_be].tolist()]
    front = can_be[pareto_front(rows, directions)]
    front_rows = [tuple(row) for row in table.values[front].tolist()]
    is_on_front = np.isin(used, front)
    shown = used[_thinned(table.values[used], is_on_front, min(max_points, MOST_POINTS))]
    reference = reference_point(front_rows, directions)
    why = None
    if len(objectives) > _MOST_METRICS:
        why = f"the hypervolume is worked out for two or three objectives, not {len(objectives)}"
    return _envelope(
        table,
        objectives,
        used=used,
        shown=shown,
        is_on_front=np.isin(shown, front),
        reference=reference,
        volume=_volume(table, can_be, reference, objectives),
        n_infeasible=int((~table.feasible[used]).sum()),
        why=why,
    )


def _thinned(values: Floats, is_on_front: Mask, most: int) -> Ints:
    no_cost = np.full(len(values), np.nan)
    return cells(
        values[:, 0], values[:, 1], is_on_front.astype(np.int64), no_cost, is_on_front, most
    )


def _volume(
    table: TrialTable,
    places: Ints,
    reference: Sequence[float] | None,
    objectives: Sequence[Metric],
) -> dict[str, Any]:
    """The hypervolume after each trial that made it larger, in the order in which they ended."""
    steps, values = np.empty(0, dtype=np.int64), np.empty(0)
    if reference is not None and len(objectives) <= _MOST_METRICS:
        order = places[np.lexsort((table.number[places], table.elapsed_s[places]))]
        signs = np.array([1.0 if m.direction is Direction.MINIMIZE else -1.0 for m in objectives])
        costs, corner = table.values[order] * signs, np.array(reference) * signs
        moved = improving(costs, corner)
        chosen = _spread(len(moved), MOST_STEPS[len(objectives)])
        values = np.array([volume(costs[moved[: at + 1]], corner) for at in chosen])
        steps = order[moved[chosen]]
    return {
        "number": integers(table.number[steps]),
        "elapsed_s": floats(table.elapsed_s[steps]),
        "value": floats(values),
    }


def _spread(n: int, most: int) -> Ints:
    """Up to `most` places of 0..n - 1, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))


def _envelope(
    table: TrialTable,
    objectives: Sequence[Metric],
    *,
    used: Ints | None = None,
    shown: Ints | None = None,
    is_on_front: Mask | None = None,
    reference: Sequence[float] | None = None,
    volume: dict[str, Any] | None = None,
    n_infeasible: int = 0,
    why: str | None = None,
) -> Envelope:
    none = np.empty(0, dtype=np.int64)
    used, shown = (none if used is None else used), (none if shown is None else shown)
    excluded = without_value(table)
    if n_stopped := int(table.is_in(TrialState.STOPPED).sum()):
        excluded[str(TrialState.STOPPED)] = n_stopped  # their values are of shorter trainings
    columns: dict[str, list[Any]] = {"number": integers(table.number[shown])}
    for k in range(len(objectives) if len(objectives) > 1 else 0):
        columns[f"v{k}"] = floats(table.values[shown, k]) if len(shown) else []
    columns["on_front"] = [] if is_on_front is None else is_on_front.tolist()
    columns["is_feasible"] = table.feasible[shown].tolist()
    return Envelope(
        kind="pareto",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=len(used),
        n_shown=len(shown),
        sampling="all" if len(shown) == len(used) else "cells",
        excluded=excluded,
        columns=columns,
        more={
            "metrics": [
                {"name": metric.name, "direction": str(metric.direction)} for metric in objectives
            ],
            "hypervolume": volume or {"number": [], "elapsed_s": [], "value": []},
            "reference": None if reference is None else list(reference),
            "n_infeasible": n_infeasible,
            "why": why,
        },
    )
