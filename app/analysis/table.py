"""A study's trials as columns, which every analysis reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..domain.space import Value
from ..domain.study import Direction
from ..domain.trial import TrialState

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

STATES = tuple(TrialState)
"""A state's place here is its number in a column."""
RANKED = (TrialState.COMPLETED, TrialState.STOPPED)
"""Trials of these states have final values and can be the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the analyses know of one trial.

    Attributes:
        value: final value of the first objective, NaN where there is none.
        elapsed_s: seconds from the study's first start to the trial's end, NaN before it.
        bracket: of the early-stopping rule, -1 for none.
    """

    number: int
    id: str
    state: TrialState
    value: float
    elapsed_s: float
    bracket: int
    params: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialTable:
    """All trials of a study, by number; the arrays are as long as there are trials.

    Attributes:
        change_seq: of the study when they were read.
        direction: of the first objective.
        state: places in `STATES`.
    """

    change_seq: int
    direction: Direction
    ids: tuple[str, ...]
    params: tuple[Mapping[str, Value], ...]
    number: Ints
    state: Ints
    value: Floats
    elapsed_s: Floats
    bracket: Ints

    def __len__(self) -> int:
        return len(self.number)

    @classmethod
    def of(cls, rows: Sequence[Row], *, change_seq: int, direction: Direction) -> TrialTable:
        """The table of rows that are ordered by number."""
        place = {state: index for index, state in enumerate(STATES)}
        return cls(
            change_seq=change_seq,
            direction=direction,
            ids=tuple(row.id for row in rows),
            params=tuple(row.params for row in rows),
            number=np.array([row.number for row in rows], dtype=np.int64),
            state=np.array([place[row.state] for row in rows], dtype=np.int64),
            value=np.array([row.value for row in rows], dtype=np.float64),
            elapsed_s=np.array([row.elapsed_s for row in rows], dtype=np.float64),
            bracket=np.array([row.bracket for row in rows], dtype=np.int64),
        )

    def is_in(self, *states: TrialState) -> Mask:
        """Which trials are in one of these states."""
        return np.isin(self.state, [STATES.index(state) for state in states])

    @property
    def cost(self) -> Floats:
        """The values, the lower the better; NaN for trials that are no candidates for the best."""
        sign = 1.0 if self.direction is Direction.MINIMIZE else -1.0
        return np.where(self.is_in(*RANKED) & np.isfinite(self.value), sign * self.value, np.nan)

    def improvements(self, order: Ints | None = None) -> Ints:
        """Places of the trials that were better than all before them.

        Args:
            order: places in the order in which they came; by number without it.
        """
        places = np.arange(len(self)) if order is None else order
        cost = self.cost[places]
        places, cost = places[~np.isnan(cost)], cost[~np.isnan(cost)]
        if len(cost) == 0:
            return places
        before = np.concatenate([[np.inf], np.minimum.accumulate(cost)[:-1]])
        return places[cost < before]
