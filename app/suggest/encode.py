"""Maps points to the unit cube and back: one coordinate a parameter, in the space's order.

| parameter | coordinate of a value |
|---|---|
| float | linear, or linear in ln |
| float with step, int | value k of K at (k + 0.5) / K |
| int, log | ln between ln(low - 0.5) and ln(high + 0.5); cells of unequal width |
| categorical | choice k of K at (k + 0.5) / K |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..domain.space import (
    CategoricalParameter,
    FloatParameter,
    IntParameter,
    Parameter,
    Params,
    Space,
    Value,
    is_active,
    n_values,
    same_value,
)
from .base import Floats

FLOAT, INTEGER, CATEGORY = "float", "int", "category"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """How one parameter is laid on [0, 1].

    Attributes:
        kind: "float" (continuous), "int" (ordered cells: integers, steps, ordered choices) or
            "category" (cells without order).
        n_cells: number of values; None for a continuous one.
        is_uneven: the cells have unequal widths (log integers).
    """

    parameter: Parameter
    kind: str
    n_cells: int | None
    is_uneven: bool

    def to_unit(self, value: Value) -> float:
        """Coordinate of a value, in [0, 1].

        Raises:
            ValueError: a categorical value that is no choice.
        """
        p = self.parameter
        if isinstance(p, CategoricalParameter):
            return (_choice_index(p, value) + 0.5) / len(p.choices)
        number = float(value)
        if self.is_uneven or (isinstance(p, FloatParameter) and p.log and self.n_cells is None):
            low, high = self._log_ends()
            return _clip((math.log(number) - low) / (high - low))
        if self.n_cells is None:
            return _linear(p, number)
        return (self.cell_of_value(number) + 0.5) / self.n_cells

    def from_unit(self, u: float) -> Value:
        """The value whose share of [0, 1] holds `u`; never outside the parameter's range."""
        p = self.parameter
        if self.n_cells is not None or not isinstance(p, FloatParameter):
            return self.value_of_cell(self.cell_of_unit(u))
        share = _clip(u)
        if share in (0.0, 1.0):  # exp(log(high)) may miss high by an ulp
            return float(p.high if share else p.low)
        if p.log:
            low, high = self._log_ends()
            number = math.exp(low + share * (high - low))
        else:
            number = float(p.low) * (1.0 - share) + float(p.high) * share
        return min(max(number, float(p.low)), float(p.high))

    def cell_of_unit(self, u: float) -> int:
        """Index of the cell that holds a coordinate, 0 to n_cells - 1."""
        count = self.n_cells or 1
        if not self.is_uneven:
            return min(int(_clip(u) * count), count - 1)
        low, high = self._log_ends()
        number = math.exp(low + _clip(u) * (high - low))
        return min(max(self.cell_of_value(number), 0), count - 1)

    def cell_of_value(self, number: float) -> int:
        """Index of the cell of a numeric value, nearest first."""
        p = self.parameter
        if isinstance(p, CategoricalParameter):
            return _choice_index(p, number)
        last = (self.n_cells or 1) - 1
        if isinstance(p, IntParameter) and number == math.floor(number):
            cell = (2 * (int(number) - p.low) + p.step) // (2 * p.step)  # exact up to 2**53
        else:
            # Half up, not to even: equal shares for all.
            cell = math.floor((number - p.low) / float(p.step or 1) + 0.5)
        return min(max(cell, 0), last)

    def exact_cell(self, value: Value) -> int:
        """Index of the cell of one of the parameter's own values.

        Raises:
            ValueError: the value is none of them.
        """
        p = self.parameter
        if isinstance(p, CategoricalParameter):
            return _choice_index(p, value)
        cell = self.cell_of_value(float(value))
        if self.value_of_cell(cell) != value:
            raise ValueError(f"{value!r} is no value of {p.name}")
        return cell

    def value_of_cell(self, cell: int) -> Value:
        """The value of a cell."""
        p = self.parameter
        if isinstance(p, CategoricalParameter):
            return p.choices[cell]
        if isinstance(p, IntParameter):
            return p.low + cell * p.step
        return min(p.low + cell * float(p.step or 0.0), p.high)

    def _log_ends(self) -> tuple[float, float]:
        p = self.parameter
        if isinstance(p, CategoricalParameter):
            raise ValueError("a category has no logarithm")
        if isinstance(p, IntParameter):
            half = 0.5 * p.step
            top = p.low + ((self.n_cells or 1) - 1) * p.step
            return math.log(p.low - min(half, 0.5 * p.low)), math.log(top + half)
        return math.log(p.low), math.log(p.high)


class Encoder:
    """Maps the points of one space to the unit cube.

    Attributes:
        space: the search space.
        axes: one axis a parameter, in order.
        d: number of coordinates, one a parameter.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.axes = tuple(_axis(parameter) for parameter in space.parameters)
        self.d = len(self.axes)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each axis."""
        return tuple(axis.kind for axis in self.axes)

    @property
    def cells(self) -> tuple[int | None, ...]:
        """Number of values of each axis; None for continuous ones."""
        return tuple(axis.n_cells for axis in self.axes)

    def to_unit(self, params: Params) -> Floats:
        """Coordinates of a point: array `(d,)`, NaN where a parameter is inactive."""
        u = np.full(self.d, math.nan)
        for j, axis in enumerate(self.axes):
            if axis.parameter.name in params:
                u[j] = axis.to_unit(params[axis.parameter.name])
        return u

    def to_unit_many(self, points: Sequence[Params]) -> Floats:
        """Coordinates of points: array `(n, d)`, NaN where a parameter is inactive."""
        if not points:
            return np.empty((0, self.d))
        return np.stack([self.to_unit(params) for params in points])

    def from_unit(self, u: Sequence[float] | Floats) -> dict[str, Value]:
        """The point at coordinates `(d,)`; coordinates of inactive parameters are ignored.

        A NaN at an active parameter is taken for the middle.
        """
        params: dict[str, Value] = {}
        for axis, x in zip(self.axes, u, strict=True):
            if is_active(axis.parameter, params):
                coordinate = 0.5 if math.isnan(x) else float(x)
                params[axis.parameter.name] = axis.from_unit(coordinate)
        return params

    def active(self, u: Sequence[float] | Floats) -> NDArray[np.bool_]:
        """Which coordinates of a point in the cube are active: array `(d,)`."""
        params = self.from_unit(u)
        return np.array([axis.parameter.name in params for axis in self.axes], dtype=np.bool_)


def _axis(parameter: Parameter) -> Axis:
    count = n_values(parameter)
    if isinstance(parameter, CategoricalParameter):
        kind = INTEGER if parameter.ordered else CATEGORY
        return Axis(parameter=parameter, kind=kind, n_cells=count, is_uneven=False)
    is_uneven = isinstance(parameter, IntParameter) and parameter.log and count != 1
    kind = FLOAT if count is None else INTEGER
    return Axis(parameter=parameter, kind=kind, n_cells=count, is_uneven=is_uneven)


def _choice_index(parameter: CategoricalParameter, value: Value) -> int:
    for k, choice in enumerate(parameter.choices):
        if same_value(choice, value):
            return k
    raise ValueError(f"{value!r} is no choice of {parameter.name}")


def _linear(parameter: FloatParameter | IntParameter, number: float) -> float:
    low, high = float(parameter.low), float(parameter.high)
    # Halved first, so that a range of twice the largest float does not overflow.
    return _clip((number / 2 - low / 2) / (high / 2 - low / 2))


def _clip(u: float) -> float:
    return min(max(float(u), 0.0), 1.0)
