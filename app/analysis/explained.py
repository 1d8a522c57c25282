"""Which parameter matters, and how two of them act together: the columns of both plots."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np

from ..domain.space import CategoricalParameter, Condition, Space
from ..domain.study import Direction
from ..domain.trial import TrialState
from .axes import places
from .envelope import Envelope, floats, integers
from .forest import MIN_TRIALS, TooFewTrials
from .importance import Block, Share, importance
from .sampling import cells
from .scales import along, described
from .surface import Surface, surface
from .table import Floats, Ints, TrialTable

MOST_TRIALS = 10_000
"""Trials that a forest learns from; of more, this many spread over all numbers."""
_MOST_ROWS = 50
_MOST_MARKS = 1_000


class Target(StrEnum):
    """What importance explains: the value, how long a trial took, or that it failed."""

    VALUE = "value"
    DURATION = "duration"
    FAILED = "failed"


_DONE = (TrialState.COMPLETED, TrialState.STOPPED)


def explained(
    table: TrialTable, space: Space, *, clip: float, seed: int, target: Target = Target.VALUE
) -> Envelope:
    """Shares of the variance: rows of parameters and pairs, a block for each condition.

    With fewer than ten trials to learn from there are no rows, and `needs` says how many it takes.

    Args:
        target: the value and the duration of completed trials are explained, or which of all
            trials that ended in one way or the other failed; those are never clipped.
    """
    values, is_maximized, clip = _explained_values(table, target, clip)
    used = _learned_from(values)
    points = places(space, [table.params[index] for index in used.tolist()])
    try:
        blocks = importance(
            space,
            points,
            values[used],
            is_maximized=is_maximized,
            clip=clip,
            seed=seed,
        )
    except TooFewTrials:
        blocks = ()
    rows = [(place, block, share) for place, block in enumerate(blocks) for share in _shown(block)]
    return _envelope(
        table,
        "importance",
        used,
        values,
        columns={
            "block": [place for place, _, _ in rows],
            "param": [share.param for _, _, share in rows],
            "pair": [share.pair for _, _, share in rows],
            "share": floats(np.array([share.share for _, _, share in rows])),
            "low": floats(np.array([share.low for _, _, share in rows])),
            "high": floats(np.array([share.high for _, _, share in rows])),
        },
        more={
            "blocks": [_block(block) for block in blocks],
            "clip": clip,
            "target": str(target),
            **_needs(not blocks),
        },
    )


def _explained_values(table: TrialTable, target: Target, clip: float) -> tuple[Floats, bool, float]:
    """What is explained, NaN for trials that say nothing of it; which end is worse; the clip."""
    if target is Target.FAILED:
        failed = table.is_in(TrialState.FAILED)
        values = np.where(failed | table.is_in(*_DONE), failed.astype(np.float64), np.nan)
        return values, False, 1.0
    is_completed = table.is_in(TrialState.COMPLETED)
    if target is Target.DURATION:
        return np.where(is_completed, table.duration_s, np.nan), False, clip
    values = np.where(is_completed, table.value, np.nan)
    return values, table.direction is Direction.MAXIMIZE, clip


def _shown(block: Block) -> list[Share]:
    """The first rows of single parameters, then the pairs."""
    singles = [share for share in block.shares if share.pair is None]
    return singles[:_MOST_ROWS] + [share for share in block.shares if share.pair is not None]


def contour(table: TrialTable, space: Space, x: str, y: str, *, clip: float, seed: int) -> Envelope:
    """The forest's mean over two parameters in a grid, row by row along x, and the trials in it. A
    cell that no trial is near has no mean: it is not explored.
    """
    values, _, _ = _explained_values(table, Target.VALUE, clip)
    used = _learned_from(values)
    params = [table.params[index] for index in used.tolist()]
    by_name = {parameter.name: parameter for parameter in space.parameters}
    try:
        found = surface(
            space,
            places(space, params),
            table.value[used],
            x=x,
            y=y,
            is_maximized=table.direction is Direction.MAXIMIZE,
            clip=clip,
            seed=seed,
        )
    except TooFewTrials:
        found = None
    across, up = along(by_name[x], params), along(by_name[y], params)
    both = np.isfinite(across) & np.isfinite(up)
    keep = np.zeros(int(both.sum()), dtype=np.bool_)
    group = table.state[used][both]
    marks = used[both][
        cells(across[both], up[both], group, table.cost[used][both], keep, _MOST_MARKS)
    ]
    return _envelope(
        table,
        "contour",
        used,
        values,
        axes=(described(by_name[x]), described(by_name[y])),
        sampling="all" if len(marks) == int(both.sum()) else "cells",
        columns={
            "number": integers(table.number[marks]),
            "x": [table.params[index][x] for index in marks.tolist()],
            "y": [table.params[index][y] for index in marks.tolist()],
            "value": floats(table.value[marks]),
            "state": integers(table.state[marks]),
        },
        more={
            "surface": None if found is None else _grid(found, by_name[x], by_name[y]),
            "clip": clip,
            **_needs(found is None),
        },
    )


def _learned_from(values: Floats) -> Ints:
    """Trials with a finite value; `MOST_TRIALS` of them spread evenly where there are more."""
    used = np.flatnonzero(np.isfinite(values))
    if len(used) <= MOST_TRIALS:
        return used
    return used[np.linspace(0, len(used) - 1, MOST_TRIALS).astype(np.int64)]


def _needs(is_too_few: bool) -> dict[str, Any]:
    return {"needs": MIN_TRIALS if is_too_few else None}


def _without(table: TrialTable, values: Floats) -> dict[str, int]:
    """How many trials have nothing to learn from, by state; of those that stopped early all where
    values are explained, which are of shorter trainings.
    """
    is_missing = ~np.isfinite(values)
    found = {str(state): int((table.is_in(state) & is_missing).sum()) for state in TrialState}
    return {state: n for state, n in found.items() if n}


def _envelope(
    table: TrialTable,
    kind: str,
    used: Ints,
    values: Floats,
    *,
    columns: Mapping[str, list[Any]],
    more: Mapping[str, Any],
    axes: tuple[Mapping[str, Any], ...] = (),
    sampling: str = "all",
) -> Envelope:
    return Envelope(
        kind=kind,
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=len(used),
        n_shown=len(next(iter(columns.values()))),
        sampling=sampling,
        excluded=_without(table, values),
        axes=axes,
        columns=columns,
        more=more,
    )


def _block(block: Block) -> dict[str, Any]:
    return {
        "condition": None if block.condition is None else _condition(block.condition),
        "n": block.n,
        "trial_share": float(f"{block.trial_share:.5g}"),
        "r2_oob": None if block.r2_oob is None else float(f"{block.r2_oob:.5g}"),
        "unexplained": None if block.unexplained is None else float(f"{block.unexplained:.5g}"),
    }


def _condition(condition: Condition) -> dict[str, Any]:
    """As a definition has it."""
    if condition.choices is not None:
        return {"param": condition.param, "in": list(condition.choices)}
    bounds = {"low": condition.low, "high": condition.high}
    return {"param": condition.param, **{k: v for k, v in bounds.items() if v is not None}}


def _grid(found: Surface, x: Any, y: Any) -> dict[str, Any]:
    mean: Floats = np.where(found.is_explored, found.mean, np.nan)
    sd: Floats = np.where(found.is_explored, found.sd, np.nan)
    return {
        "x_edges": floats(found.x_edges),
        "y_edges": floats(found.y_edges),
        "x_choices": _named(x, found.x_choices),
        "y_choices": _named(y, found.y_choices),
        "mean": floats(mean.ravel()),
        "sd": floats(sd.ravel()),
        "n": integers(found.counts.astype(np.int64).ravel()),
        "r2_oob": None if found.r2_oob is None else float(f"{found.r2_oob:.5g}"),
        "learned_from": found.n,
    }


def _named(parameter: Any, indices: Ints | None) -> list[Any] | None:
    if indices is None or not isinstance(parameter, CategoricalParameter):
        return None
    return [parameter.choices[index] for index in indices.tolist()]
