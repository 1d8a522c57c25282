"""Points as arrays of codes for the Parzen estimators, and the groups that are modelled jointly.

Does the same as `Encoder`, column by column instead of point by point, since ten thousand points
are encoded at every ask.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..domain.space import (
    CategoricalParameter,
    Condition,
    IntParameter,
    Params,
    Space,
    Value,
    is_active,
    point_key,
)
from .base import Floats
from .encode import CATEGORY, INTEGER, Axis, Encoder
from .memory import HasPoint
from .parzen import Column, EvenGrid, Grid, Ints, LogGrid

MANY_CELLS = 1_000
"""More equal cells than this have the density at their centre for their mass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters with one and the same condition: all of them are active, or none.

    Attributes:
        condition: the condition, or None for the root group.
        places: places of its parameters in the space, ascending.
    """

    condition: Condition | None
    places: tuple[int, ...]


class Codes:
    """Maps the points of one space to codes, one column a parameter, and back.

    The code of a continuous parameter is its coordinate in [0, 1], of a discrete numeric one the
    index of its cell, of a category the index of its choice; NaN where the parameter is inactive.

    Attributes:
        space: the search space.
        columns: what the estimators need to know of each parameter, in order.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._axes = Encoder(space).axes
        self.columns = tuple(_column(axis) for axis in self._axes)
        self._is_snapped = [
            axis.n_cells is not None and column == Column()
            for axis, column in zip(self._axes, self.columns, strict=True)
        ]
        self._choices = [_choices(axis) for axis in self._axes]

    def encode(self, points: Sequence[Params]) -> Floats:
        """Codes of points: shape (n, p). Equal points have equal codes, to the last bit.

        A choice that the parameter does not have counts as inactive.
        """
        out = np.empty((len(points), len(self._axes)))
        if not points:
            return out
        for j, axis in enumerate(self._axes):
            out[:, j] = self._encode_column(j, axis, _raw_column(axis, points))
        return out

    def encode_trials(self, trials: Sequence[HasPoint]) -> Floats:
        """Codes of the points of trials: shape (n, p)."""
        return self.encode([trial.params for trial in trials])

    def _encode_column(self, j: int, axis: Axis, raw: list[Value | None]) -> Floats:
        choices = self._choices[j]
        if choices is not None:
            return choices.encode(raw)
        numbers = np.array(raw, dtype=np.float64)
        if axis.n_cells is None:
            return _coordinates(axis, numbers)
        cells = np.clip(np.floor(_steps(axis, numbers) + 0.5), 0.0, axis.n_cells - 1.0)
        return (cells + 0.5) / axis.n_cells if self._is_snapped[j] else cells

    def snap(self, places: Sequence[int], codes: Floats) -> Floats:
        """Codes `(q, g)` of the parameters at `places`, those of very many cells moved to the
        centres of their cells.
        """
        for column, j in enumerate(places):
            if self._is_snapped[j]:
                grid = EvenGrid(count=self._axes[j].n_cells or 1)
                codes[:, column] = grid.centre(grid.cell(codes[:, column]))
        return codes

    def value(self, j: int, code: float) -> Value:
        """The value of parameter `j` that has a code."""
        axis = self._axes[j]
        if axis.n_cells is None or self._is_snapped[j]:
            return axis.from_unit(code)
        return axis.value_of_cell(int(code))

    def decode(self, codes: Floats) -> dict[str, Value]:
        """The point with codes `(p,)`; codes of inactive parameters are ignored."""
        params: dict[str, Value] = {}
        for j, axis in enumerate(self._axes):
            if is_active(axis.parameter, params):
                params[axis.parameter.name] = self.value(j, float(codes[j]))
        return params

    def groups(self) -> tuple[Group, ...]:
        """The groups, a parent's before its children's."""
        places: dict[Any, list[int]] = {}
        for j, axis in enumerate(self._axes):
            key = _condition_key(axis.parameter.when)
            places.setdefault(key, []).append(j)
        return tuple(
            Group(condition=self._axes[js[0]].parameter.when, places=tuple(js))
            for js in places.values()
        )


class Taken:
    """Which points were tried or are being tried, found by their codes."""

    def __init__(self, parts: Iterable[tuple[Sequence[HasPoint], Floats]]) -> None:
        """`parts`: trials and their codes, shapes (n, p)."""
        self._parts = list(parts)

    def add(self, trial: HasPoint, codes: Floats) -> None:
        """Takes one more point with codes `(p,)`."""
        self._parts.append(((trial,), codes[None, :]))

    def has(self, params: Params, codes: Floats) -> bool:
        """Whether a point, whose codes `encode` gave, is taken.

        Codes only narrow the search: very close numbers may share one, so the points decide.
        """
        key = point_key(params)
        return any(
            point_key(trials[i].params) == key
            for trials, known in self._parts
            for i in _same_codes(known, codes)
        )

    def keys(self) -> set[str]:
        """The keys of all taken points."""
        return {point_key(trial.params) for trials, _ in self._parts for trial in trials}


def _same_codes(known: Floats, codes: Floats) -> Ints:
    """Rows of `(n, p)` that equal codes `(p,)`, NaN to NaN."""
    left: Ints = np.arange(known.shape[0])
    for j, code in enumerate(codes):
        column = known[left, j]
        left = left[np.isnan(column) if math.isnan(code) else column == code]
        if left.size == 0:
            break
    return left


def _column(axis: Axis) -> Column:
    if axis.n_cells is None:
        return Column()
    if axis.kind == CATEGORY:
        return Column(n_choices=axis.n_cells)
    if axis.is_uneven:
        return Column(grid=_log_grid(axis))
    if axis.n_cells > MANY_CELLS and axis.kind == INTEGER:
        return Column()
    return Column(grid=EvenGrid(count=axis.n_cells))


def _log_grid(axis: Axis) -> Grid:
    parameter = axis.parameter
    if not isinstance(parameter, IntParameter) or axis.n_cells is None:
        raise ValueError("only log integers have uneven cells")
    top = parameter.low + (axis.n_cells - 1) * parameter.step
    first, last = axis.to_unit(parameter.low), axis.to_unit(top)
    slope = (last - first) / (math.log(top) - math.log(parameter.low))
    return LogGrid(
        count=axis.n_cells,
        low=float(parameter.low),
        step=float(parameter.step),
        offset=first - slope * math.log(parameter.low),
        slope=slope,
    )


class _Choices:
    """The codes of the choices of one category."""

    def __init__(self, choices: Sequence[Value]) -> None:
        self._codes: dict[Any, float] = {c: float(k) for k, c in enumerate(choices)}
        # Python holds True and 1 for one key; where both are choices the type is a part of it.
        self._is_mixed = len(self._codes) < len(choices)
        if self._is_mixed:
            self._codes = {(isinstance(c, bool), c): float(k) for k, c in enumerate(choices)}

    def encode(self, raw: Sequence[Value | None]) -> Floats:
        """Codes of values, NaN for what is no choice: shape (n,)."""
        keys = [(isinstance(v, bool), v) for v in raw] if self._is_mixed else raw
        found = map(self._codes.get, keys, itertools.repeat(math.nan))
        return np.fromiter(found, dtype=np.float64, count=len(raw))


def _choices(axis: Axis) -> _Choices | None:
    if not isinstance(axis.parameter, CategoricalParameter):
        return None
    return _Choices(axis.parameter.choices)


def _raw_column(axis: Axis, points: Sequence[Params]) -> list[Value | None]:
    """The values of one parameter, None where it is inactive."""
    name = axis.parameter.name
    if axis.parameter.when is None:
        try:
            return list(map(operator.itemgetter(name), points))  # twice as fast as the loop
        except KeyError:
            pass
    return [params.get(name) for params in points]


def _coordinates(axis: Axis, numbers: Floats) -> Floats:
    """Coordinates of the values of a continuous parameter: same shape, NaN stays NaN."""
    parameter = axis.parameter
    if isinstance(parameter, CategoricalParameter):
        raise ValueError("a category has no coordinates")
    low, high = float(parameter.low), float(parameter.high)
    inside = np.clip(numbers, low, high)
    if parameter.log:
        return (np.log(inside) - math.log(low)) / (math.log(high) - math.log(low))
    # Halved first, so that a range of twice the largest float does not overflow.
    return (inside / 2 - low / 2) / (high / 2 - low / 2)


def _steps(axis: Axis, numbers: Floats) -> Floats:
    """How many steps above its low end the values of a parameter with cells lie."""
    parameter = axis.parameter
    if isinstance(parameter, CategoricalParameter):
        raise ValueError("a category has no steps")
    return np.asarray((numbers - float(parameter.low)) / float(parameter.step or 1))


def _condition_key(condition: Condition | None) -> Any:
    """Equal for conditions that mean the same; True and 1 are kept apart."""
    if condition is None:
        return None
    choices = None if condition.choices is None else frozenset(map(repr, condition.choices))
    return condition.param, choices, condition.low, condition.high
