"""Points of a space that keep its known linear constraints, by mixed-integer programming: whether
there is any, and one where draws find none.

Each parameter has an activity of 0 or 1 and a place between its ends, a whole number of steps where
it has steps. A parameter that others depend on is cut into pieces on which all their conditions
are constant; exactly one piece of an active parameter is chosen, and the pieces chosen switch the
others on. Where the program is only an approximation (ranges of more than `MANY_STEPS` steps, the
ends of an open piece) it has more points than the space, so that no space is wrongly called empty.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp
from scipy.sparse import coo_array

from ..domain.space import CategoricalParameter, Condition, Params, Space, Value
from .encode import Axis, Encoder
from .numerics import Array

MANY_STEPS = 1_000_000
"""A parameter of more steps counts as continuous."""
TIME_LIMIT_S = 2.0
"""A program that takes longer is taken to have a point."""
_INFEASIBLE = 2
NOTHING_HELD: Params = MappingProxyType({})
"""No value that a point has to have."""
_SIDES = {"<=": (-math.inf, 0.0), ">=": (0.0, math.inf), "==": (0.0, 0.0)}
"""What a constraint allows below and above its bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """A part of a parameter's range: places `low` to `high`, and a value within it."""

    low: float
    high: float
    value: Value


@dataclass(slots=True)
class _Program:
    """Variables in [0, top], some of them whole, and rows low <= sum a x <= high."""

    tops: list[float] = field(default_factory=list)
    are_whole: list[bool] = field(default_factory=list)
    rows: list[tuple[dict[int, float], float, float]] = field(default_factory=list)

    def variable(self, top: float = 1.0, *, is_whole: bool = True) -> int:
        """A new variable's place."""
        self.tops.append(top)
        self.are_whole.append(is_whole)
        return len(self.tops) - 1

    def require(self, terms: dict[int, float], low: float, high: float) -> None:
        """A new row, scaled so that its largest part is about 1 (tolerances are absolute)."""
        ends = [abs(end) for end in (low, high) if math.isfinite(end)]
        parts = [abs(a) * self.tops[k] for k, a in terms.items()]
        scale = max([*parts, *ends], default=0.0)
        if scale > 0.0:
            scaled = {k: a / scale for k, a in terms.items()}
            self.rows.append((scaled, low / scale, high / scale))

    def solved(self, costs: Array) -> OptimizeResult:
        """The values in all rows that cost least, as far as the time limit lets them be found."""
        entries = [(i, k, a) for i, (terms, _, _) in enumerate(self.rows) for k, a in terms.items()]
        places, columns, factors = (np.array(part) for part in zip(*entries, strict=True))
        shape = (len(self.rows), len(self.tops))
        lows, highs = (np.array([row[k] for row in self.rows]) for k in (1, 2))
        matrix = coo_array((factors, (places, columns)), shape=shape).tocsr()
        return milp(
            costs,
            integrality=np.array(self.are_whole, dtype=int),
            bounds=Bounds(0.0, np.array(self.tops)),
            constraints=LinearConstraint(matrix, lows, highs),
            options={"time_limit": TIME_LIMIT_S},
        )


class _Place(NamedTuple):
    """Where a parameter's value stands in a program.

    Attributes:
        active: the variable of its activity.
        at: that of its place.
        worth: what one unit of place is worth.
    """

    active: int
    at: int
    worth: float


def has_point(space: Space) -> bool:
    """Whether some point keeps all known linear constraints; an inactive parameter counts as 0.

    True where the search takes longer than `TIME_LIMIT_S`.
    """
    if not space.constraints:
        return True
    program, _ = _program_of(space, Encoder(space).axes)
    return bool(program.solved(np.zeros(len(program.tops))).status != _INFEASIBLE)


def point_within(
    space: Space, rng: np.random.Generator, held: Params = NOTHING_HELD
) -> dict[str, Value] | None:
    """A point on the way between two random corners of what keeps the known linear constraints,
    which it misses by rounding at most; on one corner where they differ in more than real numbers.

    Args:
        space: with constraints.
        rng: draws the corners and the way.
        held: values that the point has to have.

    Returns:
        The point; None when none was found.
    """
    axes = Encoder(space).axes
    program, places = _program_of(space, axes)
    for axis in axes:
        name = axis.parameter.name
        if name in held:
            active, at, _ = places[name]
            there = _place_of(axis, held[name])
            program.require({active: 1.0}, 1.0, 1.0)
            program.require({at: 1.0}, there, there)
    tops = np.maximum(np.array(program.tops), 1.0)
    corners = [program.solved(rng.standard_normal(tops.size) / tops).x for _ in range(2)]
    if corners[0] is None:
        return None
    x, are_whole = corners[0], np.array(program.are_whole)
    x[are_whole] = np.rint(x[are_whole])
    if corners[1] is not None and np.array_equal(x[are_whole], np.rint(corners[1][are_whole])):
        x += rng.random() * (corners[1] - x)
    return {
        axis.parameter.name: _value_at(axis, float(x[places[axis.parameter.name].at]))
        for axis in axes
        if x[places[axis.parameter.name].active] > 0.5
    }


def _program_of(space: Space, axes: Sequence[Axis]) -> tuple[_Program, dict[str, _Place]]:
    """The program of a space, and where each parameter stands in it."""
    program = _Program()
    conditions: dict[str, list[Condition]] = {name: [] for name in space.names}
    for parameter in space.parameters:
        if parameter.when is not None:
            conditions[parameter.when.param].append(parameter.when)
    places: dict[str, _Place] = {}
    pieces: dict[str, list[tuple[_Piece, int]]] = {}
    for axis in axes:
        name, when = axis.parameter.name, axis.parameter.when
        here = program.variable()
        if when is None:
            program.require({here: 1.0}, 1.0, 1.0)
        else:
            on = {k: -1.0 for p, k in pieces[when.param] if when.holds({when.param: p.value})}
            program.require({here: 1.0, **on}, 0.0, 0.0)
        top, worth, is_whole = _layout(axis)
        at = program.variable(top, is_whole=is_whole)
        places[name] = _Place(here, at, worth)
        program.require({at: 1.0, here: -top}, -math.inf, 0.0)
        if conditions[name]:
            pieces[name] = _chosen(program, list(_pieces(axis, conditions[name], top)), here, at)
    lows = {axis.parameter.name: _low(axis) for axis in axes}
    for constraint in space.constraints:
        terms: dict[int, float] = {}
        for name, factor in constraint.terms.items():
            active, at, worth = places[name]
            terms[active] = factor * lows[name]
            terms[at] = factor * worth
        below, above = _SIDES[constraint.op]
        program.require(terms, constraint.bound + below, constraint.bound + above)
    return program, places


def _chosen(
    program: _Program, pieces: list[_Piece], here: int, at: int
) -> list[tuple[_Piece, int]]:
    """A variable for each piece, exactly one of which is 1 where the parameter is active.

    Args:
        program: gets the variables and their rows.
        pieces: of the parameter's range.
        here: the variable of its activity.
        at: the variable of its place, which lies within the piece that is chosen.
    """
    chosen = [(piece, program.variable()) for piece in pieces]
    program.require({here: -1.0, **{k: 1.0 for _, k in chosen}}, 0.0, 0.0)
    program.require({at: 1.0, **{k: -p.low for p, k in chosen}}, 0.0, math.inf)
    program.require({at: 1.0, **{k: -p.high for p, k in chosen}}, -math.inf, 0.0)
    return chosen


def _low(axis: Axis) -> float:
    p = axis.parameter
    return 0.0 if isinstance(p, CategoricalParameter) else float(p.low)


def _layout(axis: Axis) -> tuple[float, float, bool]:
    """The largest place of a parameter, what one unit of place is worth, whether places are whole.

    Places are numbers of cells, or shares of the range where there are no (or too many) cells.
    """
    p = axis.parameter
    count = _few_cells(axis)
    if count is not None:
        worth = 0.0 if isinstance(p, CategoricalParameter) else float(p.step or 1)
        return float(count - 1), worth, True
    if isinstance(p, CategoricalParameter):
        raise ValueError("a category always has cells")
    return 1.0, float(p.high) - float(p.low), False


def _few_cells(axis: Axis) -> int | None:
    """How many cells a parameter has; None where it counts as continuous."""
    return axis.n_cells if axis.n_cells is not None and axis.n_cells <= MANY_STEPS else None


def _place_of(axis: Axis, value: Value) -> float:
    """The place of a value, see `_layout`."""
    p = axis.parameter
    if isinstance(p, CategoricalParameter) or _few_cells(axis) is not None:
        return float(axis.exact_cell(value))
    width = float(p.high) - float(p.low)
    return (float(value) - float(p.low)) / width if width > 0.0 else 0.0


def _value_at(axis: Axis, place: float) -> Value:
    """The value at a place; between two steps where there are too many for cells."""
    p = axis.parameter
    if isinstance(p, CategoricalParameter) or _few_cells(axis) is not None:
        return axis.value_of_cell(round(place))
    return min(
        max(float(p.low) + place * (float(p.high) - float(p.low)), float(p.low)), float(p.high)
    )


def _pieces(axis: Axis, conditions: list[Condition], top: float) -> Iterator[_Piece]:
    """Pieces of a parameter's range, which together make it up, on each of which every condition
    is constant.
    """
    p = axis.parameter
    if isinstance(p, CategoricalParameter):
        for k, choice in enumerate(p.choices):
            yield _Piece(low=float(k), high=float(k), value=choice)
        return
    borders = sorted({*(b for c in conditions for b in _borders(c)), float(p.low), float(p.high)})
    borders = [b for b in borders if float(p.low) <= b <= float(p.high)]
    width = float(p.high) - float(p.low)
    count = _few_cells(axis)
    if count is not None:
        # A border may lie on a value or between two, so its neighbours are pieces of their own.
        cells = {axis.cell_of_value(b) + k for b in borders for k in (-1, 0, 1, 2)}
        starts = sorted({0, *(c for c in cells if 0 <= c < count)})
        for first, end in zip(starts, [*starts[1:], count], strict=True):
            yield _Piece(low=float(first), high=end - 1.0, value=axis.value_of_cell(first))
        return
    for border in borders:
        share = (border - float(p.low)) / width if width > 0.0 else 0.0
        yield _Piece(low=share * top, high=share * top, value=border)
    for left, right in pairwise(borders):
        low, high = (left - float(p.low)) / width, (right - float(p.low)) / width
        yield _Piece(low=low * top, high=high * top, value=0.5 * left + 0.5 * right)


def _borders(condition: Condition) -> list[float]:
    if condition.choices is not None:
        return [float(c) for c in condition.choices if not isinstance(c, (str, bool))]
    return [bound for bound in (condition.low, condition.high) if bound is not None]
