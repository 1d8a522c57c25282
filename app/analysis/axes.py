"""Places of parameter values on their own scale, and the bins that the forest cuts a scale into.

A place is 0 at `low` and 1 at `high`, linear in the value or, with `log`, in its logarithm; a
category's place is the index of its choice. The bins carry the uniform measure over what was
declared: equal shares of the scale, equal shares for choices, whatever was tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    Params,
    Space,
    Value,
    n_values,
    values_of,
)

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Numeric: TypeAlias = FloatParameter | IntParameter

N_BINS = 32
"""Bins of a scale with more values than that."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Axis:
    """What one parameter can take, in bins.

    Attributes:
        parameter: as declared.
        values: all values that are possible here, in order; None where they fill [low, high].
        low: smallest possible number; NaN with `values`.
        high: largest possible number; NaN with `values`.
        given: the conditions on the parameter that narrowed it.
        edges: borders of the bins as places, ascending, shape (b + 1,).
        masses: share of each bin under the uniform measure, shape (b,), sum 1.
    """

    parameter: Parameter
    values: tuple[Value, ...] | None
    low: float
    high: float
    given: tuple[Condition, ...]
    edges: Floats
    masses: Floats

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring bins are alike: numbers, and choices whose order carries meaning."""
        return not isinstance(self.parameter, CategoricalParameter) or self.parameter.ordered

    @property
    def is_continuous(self) -> bool:
        """Whether a bin is a stretch of real numbers."""
        return n_values(self.parameter) is None

    def bins(self, places: Floats) -> Integers:
        """Index of the bin of each place, 0 to b - 1."""
        return np.searchsorted(self.edges[1:-1], places, side="right").astype(np.int64)

    def always(self, condition: Condition) -> bool:
        """Whether all that is possible here meets a condition on this parameter."""
        if condition.choices is None and condition in self.given:
            return True  # whatever rounding did to the ends
        if self.values is not None:
            name = self.parameter.name
            return all(condition.holds({name: value}) for value in self.values)
        return (
            condition.choices is None
            and (condition.low is None or self.low >= condition.low)
            and (condition.high is None or self.high <= condition.high)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """The bins of all axes in one row: axis j has columns starts[j] to starts[j + 1] - 1.

    Attributes:
        starts: shape (p + 1,); the last is s, the number of columns.
        axis: which axis a column belongs to, shape (s,).
        masses: share of a column in its axis, shape (s,).
        unordered: axes of three or more choices without order.
    """

    starts: Integers
    axis: Integers
    masses: Floats
    unordered: tuple[int, ...]

    def sums(self, columns: Floats) -> Floats:
        """Sums over each axis: (k, s) -> (k, p)."""
        return np.asarray(np.add.reduceat(columns, self.starts[:-1], axis=-1))


def places(space: Space, points: Sequence[Params]) -> Floats:
    """Places of points: shape (n, p), NaN where a parameter is not active.

    Raises:
        ValueError: a categorical value that is no choice.
    """
    columns = [places_of(parameter, points) for parameter in space.parameters]
    return np.stack(columns, axis=1) if columns else np.empty((len(points), 0))


def number_at(parameter: Numeric, place: Floats) -> Floats:
    """The numbers at places of a numeric parameter; those beyond 0 and 1 lie outside its range."""
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        return np.exp(math.log(low) * (1.0 - place) + math.log(high) * place)
    return low * (1.0 - place) + high * place


def layout_of(axes: Sequence[Axis]) -> Layout:
    """The bins of some axes in one row."""
    sizes = [len(axis.masses) for axis in axes]
    return Layout(
        starts=np.concatenate(([0], np.cumsum(sizes))),
        axis=np.repeat(np.arange(len(axes)), sizes),
        masses=np.concatenate([axis.masses for axis in axes]),
        unordered=tuple(j for j, a in enumerate(axes) if not a.is_ordered and sizes[j] > 2),
    )


def choice_indices(parameter: CategoricalParameter, values: Sequence[Value]) -> Integers:
    """Indices of those choices that are among some values, ascending."""
    wanted = {_key(value) for value in values}
    found = [k for k, choice in enumerate(parameter.choices) if _key(choice) in wanted]
    return np.array(found, dtype=np.int64)


def required(space: Space, conditions: Iterable[Condition]) -> dict[str, tuple[Condition, ...]]:
    """By parameter, all that has to hold for some conditions to hold: theirs and their parents'."""
    when = {parameter.name: parameter.when for parameter in space.parameters}
    found: dict[str, tuple[Condition, ...]] = {}
    for condition in conditions:
        link: Condition | None = condition
        while link is not None:
            found[link.param] = (*found.get(link.param, ()), link)
            link = when[link.param]
    return found


def active_axes(space: Space, holding: Mapping[str, Sequence[Condition]]) -> dict[int, Axis]:
    """The axes of the parameters that are surely active where conditions hold.

    Args:
        space: the search space.
        holding: conditions by the parameter that they look at, as `required` gives them; they
            narrow that parameter's axis.

    Returns:
        By the index of the parameter in the space.
    """
    found: dict[int, Axis] = {}
    by_name: dict[str, Axis] = {}
    for j, parameter in enumerate(space.parameters):
        when = parameter.when
        if when is None or (when.param in by_name and by_name[when.param].always(when)):
            found[j] = by_name[parameter.name] = _axis(parameter, holding.get(parameter.name, ()))
    return found


def places_of(parameter: Parameter, points: Sequence[Params]) -> Floats:
    """Places of points along one parameter: shape (n,), NaN where it is not active.

    Raises:
        ValueError: a categorical value that is no choice.
    """
    values = [params.get(parameter.name) for params in points]
    if isinstance(parameter, CategoricalParameter):
        index = {_key(c): float(k) for k, c in enumerate(parameter.choices)}
        try:
            found = [math.nan if value is None else index[_key(value)] for value in values]
        except KeyError as error:
            raise ValueError(f"{error.args[0][1]!r} is no choice of {parameter.name}") from error
        return np.array(found, dtype=np.float64)
    numbers = np.array([math.nan if v is None else float(v) for v in values], dtype=np.float64)
    return np.clip(_place(parameter, numbers), 0.0, 1.0)


def _key(value: Value) -> tuple[bool, Value]:
    """Keeps True and 1 apart, but not 1 and 1.0."""
    return isinstance(value, bool), value


def _place(parameter: Numeric, numbers: Floats) -> Floats:
    low, high = float(parameter.low), float(parameter.high)
    if low == high:
        return np.where(np.isnan(numbers), np.nan, 0.0)
    if parameter.log:
        return (np.log(numbers) - math.log(low)) / (math.log(high) - math.log(low))
    # Halved first, so that a range of twice the largest float does not overflow.
    return (numbers / 2 - low / 2) / (high / 2 - low / 2)


def _axis(parameter: Parameter, conditions: Sequence[Condition]) -> Axis:
    """The axis of a parameter where some conditions on it hold."""
    given = tuple(conditions)
    values = _listed(parameter, given)
    low = high = math.nan
    if isinstance(parameter, CategoricalParameter):
        spots = choice_indices(parameter, values or ()).astype(np.float64)
        edges, widths = _between(spots, spots[0] - 0.5, spots[-1] + 0.5), np.ones(len(spots))
    elif values is None:
        low, high, edges = _range(parameter, given)
        widths = np.diff(edges)
    elif parameter.low == parameter.high:
        edges, widths = np.array([-0.5, 0.5]), np.ones(1)
    else:
        numbers = np.array(values, dtype=np.float64)
        lower = _place(parameter, _below(parameter, numbers))
        upper = _place(parameter, numbers + 0.5 * float(parameter.step or 0.0))
        edges = _between(_place(parameter, numbers), lower[0], upper[-1])
        widths = upper - lower
    return Axis(
        parameter=parameter,
        values=values,
        low=low,
        high=high,
        given=given,
        edges=edges,
        masses=widths / widths.sum(),
    )


def _between(spots: Floats, first: float, last: float) -> Floats:
    """Borders halfway between neighbours, and the two outer ones."""
    return np.concatenate(([first], (spots[1:] + spots[:-1]) / 2, [last]))


def _listed(parameter: Parameter, conditions: Sequence[Condition]) -> tuple[Value, ...] | None:
    """The values that are possible, where they are few enough for a bin each."""
    named = next((c.choices for c in conditions if c.choices is not None), None)
    count = n_values(parameter)
    if isinstance(parameter, CategoricalParameter) or (count is not None and count <= N_BINS):
        candidates: Sequence[Value] | None = values_of(parameter)
    elif named is not None:
        candidates = sorted(named, key=float)
    else:
        return None
    name = parameter.name
    return tuple(v for v in candidates or () if all(c.holds({name: v}) for c in conditions))


def _range(parameter: Numeric, conditions: Sequence[Condition]) -> tuple[float, float, Floats]:
    """Ends, and borders of `N_BINS` equal stretches; with a step, each bent to whole values."""
    low = max([float(parameter.low), *(c.low for c in conditions if c.low is not None)])
    high = min([float(parameter.high), *(c.high for c in conditions if c.high is not None)])
    if parameter.step is None:
        ends = _place(parameter, np.array([low, high]))
        edges = np.linspace(ends[0], ends[1], N_BINS + 1)
    else:
        step, start = float(parameter.step), float(parameter.low)
        first, last = (
            math.ceil((low - start) / step - 1e-9),
            math.floor((high - start) / step + 1e-9),
        )
        low, high = start + first * step, start + last * step
        borders = np.array([first, last + 1], dtype=np.float64)
        ends = _place(parameter, _below(parameter, start + borders * step))
        even = number_at(parameter, np.linspace(ends[0], ends[1], N_BINS + 1))
        cells = np.unique(np.clip(np.rint((even - start) / step + 0.5), first, last + 1))
        edges = _place(parameter, _below(parameter, start + cells * step))
    # A range of one number, or of too few floats to tell its ends apart, is one bin.
    return low, high, edges if (np.diff(edges) > 0).all() else edges[0] + np.array([0.0, 1.0])


def _below(parameter: Numeric, numbers: Floats) -> Floats:
    """Half a step below numbers; with `log`, never below half of `low`."""
    lower = numbers - 0.5 * float(parameter.step or 0.0)
    return np.maximum(lower, 0.5 * parameter.low) if parameter.log else lower
