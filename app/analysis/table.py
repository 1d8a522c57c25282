"""A study's trials as columns, which every analysis reads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..domain.fidelity import Directive
from ..domain.space import Value
from ..domain.study import Direction
from ..domain.trial import TrialState

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

STATES = tuple(TrialState)
"""A state's place here is its number in a column."""
RANKED = (TrialState.COMPLETED, TrialState.STOPPED)
"""Trials of these states have final values; those that stopped early are no best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """How far an early-stopping rule let a trial come.

    Attributes:
        rungs: (step, value) at each rung that it has reached, by step; NaN where it has none.
        to_step: the step up to which it may be trained now; None: to its end.
        directive: `stop` or `pause` once it has been told so, else None.
        step: the last step that it reported, None before the first.
    """

    rungs: tuple[tuple[int, float], ...] = ()
    to_step: int | None = None
    directive: Directive | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the analyses know of one trial.

    Attributes:
        value: final value of the first objective, NaN where there is none.
        last: value of it that was reported last, of a trial that has no final one: infinite where
            that was not finite; NaN where there is none.
        elapsed_s: seconds from the study's first start to the trial's end, NaN before it.
        duration_s: seconds from the trial's start to its end, NaN before it, where its start is not
            known, and for one that was given the result of another.
        begun_s: seconds from the study's first start to the trial's, NaN before it.
        bracket: of the early-stopping rule, -1 for none.
        has_reported: whether it has reported anything.
        is_feasible: whether it keeps the thresholds of the constraint metrics, if there are any.
        values: final values of all objectives where a study has several metrics, NaN for none; else
            empty.
        path: None where nothing is stopped early.
    """

    number: int
    id: str
    state: TrialState
    value: float
    elapsed_s: float
    bracket: int
    params: Mapping[str, Value]
    last: float = math.nan
    duration_s: float = math.nan
    begun_s: float = math.nan
    has_reported: bool = False
    is_feasible: bool = True
    values: tuple[float, ...] = ()
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTable:
    """All trials of a study, by number; the arrays are as long as there are trials.

    Attributes:
        change_seq: of the study when they were read.
        direction: of the first objective.
        state: places in `STATES`.
        values: shape (n, m) for m objectives where there are several metrics, else (n, 0).
    """

    change_seq: int
    direction: Direction
    ids: tuple[str, ...]
    params: tuple[Mapping[str, Value], ...]
    paths: tuple[Path | None, ...]
    number: Ints
    state: Ints
    value: Floats
    last: Floats
    elapsed_s: Floats
    duration_s: Floats
    begun_s: Floats
    bracket: Ints
    reported: Mask
    feasible: Mask
    values: Floats

    def __len__(self) -> int:
        return len(self.number)

    @classmethod
    def of(cls, rows: Sequence[Row], *, change_seq: int, direction: Direction) -> TrialTable:
        """The table of rows that are ordered by number."""
        place = {state: index for index, state in enumerate(STATES)}
        width = len(rows[0].values) if rows else 0
        return cls(
            change_seq=change_seq,
            direction=direction,
            ids=tuple(row.id for row in rows),
            params=tuple(row.params for row in rows),
            paths=tuple(row.path for row in rows),
            number=np.array([row.number for row in rows], dtype=np.int64),
            state=np.array([place[row.state] for row in rows], dtype=np.int64),
            value=np.array([row.value for row in rows], dtype=np.float64),
            last=np.array([row.last for row in rows], dtype=np.float64),
            elapsed_s=np.array([row.elapsed_s for row in rows], dtype=np.float64),
            duration_s=np.array([row.duration_s for row in rows], dtype=np.float64),
            begun_s=np.array([row.begun_s for row in rows], dtype=np.float64),
            bracket=np.array([row.bracket for row in rows], dtype=np.int64),
            reported=np.array([row.has_reported for row in rows], dtype=np.bool_),
            feasible=np.array([row.is_feasible for row in rows], dtype=np.bool_),
            values=np.array([row.values for row in rows], np.float64).reshape(len(rows), width),
        )

    def updated(self, rows: Sequence[Row], *, change_seq: int) -> TrialTable:
        """The table with some trials as they are now, or new.

        Args:
            rows: ordered by number; those of new trials have higher numbers than any here.
        """
        if not len(self) or not rows:
            made = TrialTable.of(rows, change_seq=change_seq, direction=self.direction)
            return made if rows else replace(self, change_seq=change_seq)
        n_known = int(np.searchsorted([row.number for row in rows], self.number[-1], "right"))
        fresh = TrialTable.of(rows, change_seq=change_seq, direction=self.direction)
        places = np.searchsorted(self.number, fresh.number[:n_known])
        changes: dict[str, Any] = {
            name: self._sequence(fresh, name, places) for name in ("ids", "params", "paths")
        } | {name: self._column(fresh, name, places) for name in _COLUMNS}
        return replace(fresh, **changes)

    def _sequence(self, fresh: TrialTable, name: str, places: Ints) -> tuple[Any, ...]:
        made, new = list(getattr(self, name)), getattr(fresh, name)
        for place, item in zip(places.tolist(), new, strict=False):
            made[place] = item
        return (*made, *new[len(places) :])

    def _column(self, fresh: TrialTable, name: str, places: Ints) -> Any:
        made, new = getattr(self, name).copy(), getattr(fresh, name)
        made[places] = new[: len(places)]
        return np.concatenate([made, new[len(places) :]])

    def is_in(self, *states: TrialState) -> Mask:
        """Which trials are in one of these states."""
        return np.isin(self.state, [STATES.index(state) for state in states])

    def counts(self, *states: TrialState) -> dict[str, int]:
        """How many trials are in each of some states; without those in which there is none."""
        found = {str(state): int(self.is_in(state).sum()) for state in states}
        return {state: n for state, n in found.items() if n}

    @property
    def shown(self) -> Floats:
        """The value that a mark of each trial stands at: the final one, else the last reported."""
        return np.where(np.isnan(self.value), self.last, self.value)

    @property
    def best_cost(self) -> Floats:
        """`cost` of those trials alone that can be the best: completed and feasible ones."""
        can_be = self.is_in(TrialState.COMPLETED) & self.feasible
        return np.where(can_be, self.cost, np.nan)

    @property
    def cost(self) -> Floats:
        """The values, the lower the better; NaN for trials without a final one."""
        sign = 1.0 if self.direction is Direction.MINIMIZE else -1.0
        return np.where(self.is_in(*RANKED) & np.isfinite(self.value), sign * self.value, np.nan)

    def improvements(self, order: Ints | None = None) -> Ints:
        """Places of the completed trials that were better than all before them.

        Args:
            order: places in the order in which they came; by number without it.
        """
        places = np.arange(len(self)) if order is None else order
        cost = self.best_cost[places]
        places, cost = places[~np.isnan(cost)], cost[~np.isnan(cost)]
        if len(cost) == 0:
            return places
        before = np.concatenate([[np.inf], np.minimum.accumulate(cost)[:-1]])
        return places[cost < before]


_COLUMNS = (
    "number",
    "state",
    "value",
    "last",
    "elapsed_s",
    "duration_s",
    "begun_s",
    "bracket",
    "reported",
    "feasible",
    "values",
)
"""Those of a table's fields that are arrays, an item a trial."""
