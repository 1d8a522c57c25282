"""Are the right trials stopped: who came to each rung of a rule, and who went on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from ..domain.fidelity import Directive
from ..domain.study import Direction
from ..domain.trial import TrialState
from .envelope import Envelope, floats, integers
from .sampling import cells
from .table import STATES, Path, TrialTable

MOST_POINTS = 2_000
MOST_BRACKETS = 100
"""Brackets that are shown, the newest: a rule that begins them anew has hundreds in the end."""


class Fate(StrEnum):
    """What became of a trial at a rung."""

    PROMOTED = "promoted"
    STOPPED = "stopped"
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


_ENDS = {
    TrialState.COMPLETED: Fate.FINISHED,
    TrialState.STOPPED: Fate.STOPPED,
    TrialState.PAUSED: Fate.WAITING,
    TrialState.FAILED: Fate.FAILED,
    TrialState.INFEASIBLE: Fate.FAILED,
    TrialState.CANCELLED: Fate.FAILED,
}

Steps = Callable[[int | None], Sequence[int]]
"""The rungs of a bracket, in steps."""


@dataclass(slots=True)
class _Rung:
    """One rung of one bracket."""

    bracket: int
    rung: int
    resource: int
    n: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    kept: list[float] = field(default_factory=list)

    def cutoff(self, direction: Direction) -> float:
        """The worst value that went on; NaN where none did, or all."""
        if not self.kept or not any(self.n[fate] for fate in (Fate.STOPPED, Fate.WAITING)):
            return math.nan
        return max(self.kept) if direction is Direction.MINIMIZE else min(self.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A trial's result at a rung."""

    number: int
    bracket: int
    rung: int
    value: float
    fate: Fate


def rungs(table: TrialTable, steps_of: Steps | None, *, max_points: int) -> Envelope:
    """One row for each rung that a trial is on its way to or beyond, by bracket, and the results
    there.

    `n_entered` counts the trials that were sent to a rung, so that on the lowest rungs they add up
    to those that have begun; it is the sum of the other counts.

    Args:
        steps_of: None for a study without a rule.
    """
    if steps_of is None:
        return _envelope(table, [], [], 0, why="this study stops no trial early")
    begun = np.flatnonzero(~table.is_in(TrialState.PENDING) | _was_begun(table))
    known = np.unique(table.bracket[begun])
    newest = set(known[-MOST_BRACKETS:].tolist())
    rows: dict[tuple[int, int], _Rung] = {}
    points: list[_Point] = []
    n_used = 0
    for place in begun.tolist():
        path, bracket = table.paths[place], int(table.bracket[place])
        if path is None or bracket not in newest:
            continue
        n_used += 1
        steps = steps_of(None if bracket < 0 else bracket)
        state = STATES[int(table.state[place])]
        for rung, value, fate in _passed(path, state, steps):
            key = (bracket, rung)
            row = rows.setdefault(key, _Rung(bracket=bracket, rung=rung, resource=steps[rung]))
            row.n[fate] += 1
            if value is None:
                continue
            if fate is Fate.PROMOTED and math.isfinite(value):
                row.kept.append(value)
            number = int(table.number[place])
            points.append(_Point(number=number, bracket=bracket, rung=rung, value=value, fate=fate))
    ordered = [rows[key] for key in sorted(rows)]
    thinned = _thinned(points, min(max_points, MOST_POINTS))
    return _envelope(table, ordered, thinned, n_used, n_brackets=len(known), n_points=len(points))


def _was_begun(table: TrialTable) -> Any:
    """Which trials have a result at a rung, whatever they wait for now."""
    return np.array([path is not None and bool(path.rungs) for path in table.paths], dtype=np.bool_)


def _passed(
    path: Path, state: TrialState, steps: Sequence[int]
) -> list[tuple[int, float | None, Fate]]:
    """The rungs that a trial was sent to: index, value where it is in, and what became of it."""
    found: list[tuple[int, float | None, Fate]] = []
    results = dict(path.rungs)
    for rung, step in enumerate(steps):
        goes_on = any(reached > step for reached in results) or _goes_beyond(path, state, step)
        is_last = rung + 1 == len(steps)
        if step in results and goes_on and not is_last:
            found.append((rung, results[step], Fate.PROMOTED))
            continue
        found.append((rung, results.get(step), _fate(path, state, step in results, is_last)))
        break
    return found


def _goes_beyond(path: Path, state: TrialState, step: int) -> bool:
    """Whether a trial was sent beyond a step, or got there by itself."""
    if (path.step or 0) > step:
        return True
    if path.to_step is not None:
        return path.to_step > step
    return state in (TrialState.RUNNING, TrialState.PENDING) and path.directive is None


def _fate(path: Path, state: TrialState, is_in: bool, is_last: bool) -> Fate:
    if state in _ENDS:
        return _ENDS[state]
    if path.directive is Directive.STOP:
        return Fate.STOPPED
    if path.directive is Directive.PAUSE:
        return Fate.WAITING
    return Fate.FINISHED if is_in and is_last else Fate.RUNNING


def _thinned(points: list[_Point], most: int) -> list[_Point]:
    if len(points) <= most:
        return points
    fates = list(Fate)
    kept = cells(
        np.array([point.rung for point in points], dtype=np.float64),
        np.array([point.value for point in points], dtype=np.float64),
        np.array([fates.index(point.fate) for point in points], dtype=np.int64),
        np.full(len(points), np.nan),
        np.zeros(len(points), dtype=np.bool_),
        most,
    )
    return [points[place] for place in kept.tolist()]


def _envelope(
    table: TrialTable,
    rows: list[_Rung],
    points: list[_Point],
    n_used: int,
    *,
    n_brackets: int = 0,
    n_points: int = 0,
    why: str | None = None,
) -> Envelope:
    brackets = np.array([row.bracket for row in rows], dtype=np.int64)
    cutoffs = np.array([row.cutoff(table.direction) for row in rows], dtype=np.float64)
    return Envelope(
        kind="rungs",
        change_seq=table.change_seq,
        n_total=len(table),
        n_used=n_used,
        n_shown=len({point.number for point in points}),
        sampling="all" if len(points) == n_points else "cells",
        excluded=table.counts(TrialState.PENDING),
        columns={
            "bracket": integers(brackets, none=-1),
            "rung": [row.rung for row in rows],
            "resource": [row.resource for row in rows],
            "n_entered": [sum(row.n.values()) for row in rows],
            **{f"n_{fate}": [row.n[fate] for row in rows] for fate in Fate},
            "cutoff": floats(cutoffs),
        },
        more={
            "points": {
                "number": [point.number for point in points],
                "bracket": integers(np.array([p.bracket for p in points], np.int64), none=-1),
                "rung": [point.rung for point in points],
                "value": floats(np.array([point.value for point in points], dtype=np.float64)),
                "decision": [str(point.fate) for point in points],
            },
            "n_brackets": n_brackets,
            "why": why,
        },
    )
