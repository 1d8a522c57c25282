"""Numbers the points of a finite space from 0, without ever listing them.

Every parameter hangs on one parent at most, so a space is a forest; the points of a tree are the
sum, over the root's values, of the product over the children which a value switches on. Points that
are equal once inactive parameters are dropped have one number.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..domain.space import CategoricalParameter, Condition, Params, Space, Value, is_active
from .encode import Axis, Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Neighbouring values of a parameter that switch on the same children.

    Attributes:
        first: cell of the first value.
        start: points of the values before it.
        each: points of one value, with all that hangs on it.
    """

    first: int
    start: int
    children: tuple[_Tree, ...]
    each: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    """A parameter with all that hangs on it; `total` counts its points."""

    axis: Axis
    runs: tuple[_Run, ...]
    total: int

    def place(self, number: int, into: dict[str, Value]) -> None:
        """Puts the values of point `number` into a dictionary."""
        run = self.runs[bisect_right(self.runs, number, key=lambda r: r.start) - 1]
        offset, rest = divmod(number - run.start, run.each)
        into[self.axis.parameter.name] = self.axis.value_of_cell(run.first + offset)
        _place(run.children, rest, into)

    def number(self, params: Params) -> int:
        """The number of the point that has these values.

        Raises:
            KeyError: an active parameter has no value.
            ValueError: a value is not one of the parameter's.
        """
        cell = self.axis.exact_cell(params[self.axis.parameter.name])
        run = self.runs[bisect_right(self.runs, cell, key=lambda r: r.first) - 1]
        return run.start + (cell - run.first) * run.each + _number(run.children, params)


class Enumeration:
    """The points of a finite space by number.

    Earlier parameters move more slowly. Linear constraints are not looked at.

    Attributes:
        total: how many points there are.
    """

    def __init__(self, space: Space) -> None:
        """Lays out the numbers.

        Raises:
            ValueError: a parameter is continuous.
        """
        encoder = Encoder(space)
        if any(count is None for count in encoder.cells):
            raise ValueError("the points of a continuous space cannot be numbered")
        self._names = space.names
        self._roots = _forest(encoder)
        self.total = math.prod(tree.total for tree in self._roots)

    def point(self, number: int) -> dict[str, Value]:
        """Point `number`, from 0 to `total` - 1."""
        values: dict[str, Value] = {}
        _place(self._roots, number, values)
        return {name: values[name] for name in self._names if name in values}

    def number(self, params: Params) -> int | None:
        """The number of a point; None when it is no point of the space."""
        try:
            return _number(self._roots, params)
        except (KeyError, ValueError):
            return None

    def numbers(self, points: Iterable[Params]) -> set[int]:
        """The numbers of the points that belong to the space."""
        return {n for n in map(self.number, points) if n is not None}


def is_finite(space: Space) -> bool:
    """Whether no parameter is continuous."""
    return all(count is not None for count in Encoder(space).cells)


def _place(trees: Sequence[_Tree], number: int, into: dict[str, Value]) -> None:
    for tree in reversed(trees):
        number, rest = divmod(number, tree.total)
        tree.place(rest, into)


def _number(trees: Sequence[_Tree], params: Params) -> int:
    number = 0
    for tree in trees:
        number = number * tree.total + tree.number(params)
    return number


def _forest(encoder: Encoder) -> tuple[_Tree, ...]:
    """The trees of the parameters without condition; children stand behind their parents."""
    children: dict[str, list[_Tree]] = {name: [] for name in encoder.space.names}
    roots: list[_Tree] = []
    for axis in reversed(encoder.axes):
        parameter = axis.parameter
        tree = _tree(axis, children[parameter.name][::-1])
        if parameter.when is None:
            roots.append(tree)
        else:
            children[parameter.when.param].append(tree)
    return tuple(reversed(roots))


def _tree(axis: Axis, children: Sequence[_Tree]) -> _Tree:
    count = axis.n_cells or 1
    starts = sorted({0, *(c for child in children for c in _borders(axis, child))})
    runs: list[_Run] = []
    points = 0
    for first, end in zip(starts, [*starts[1:], count], strict=True):
        here = {axis.parameter.name: axis.value_of_cell(first)}
        active = tuple(child for child in children if is_active(child.axis.parameter, here))
        each = math.prod(child.total for child in active)
        runs.append(_Run(first=first, start=points, children=active, each=each))
        points += (end - first) * each
    return _Tree(axis=axis, runs=tuple(runs), total=points)


def _borders(axis: Axis, child: _Tree) -> list[int]:
    """Cells at which a child may be switched on or off; too many do no harm."""
    count, when = axis.n_cells or 1, child.axis.parameter.when
    if isinstance(axis.parameter, CategoricalParameter):
        return list(range(count))
    values = _limits(when)
    # One cell to either side, since a border may lie on a value or between two.
    cells = [axis.cell_of_value(value) + k for value in values for k in (-1, 0, 1, 2)]
    return [cell for cell in cells if 0 <= cell < count]


def _limits(when: Condition | None) -> list[float]:
    if when is None:
        return []
    if when.choices is not None:
        return [float(c) for c in when.choices if not isinstance(c, (str, bool))]
    return [bound for bound in (when.low, when.high) if bound is not None]
