"""Points within known linear constraints that plain draws do not hit: equalities, thin slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from types import MappingProxyType

import numpy as np

from ..domain.points import constraint_holds
from ..domain.space import (
    CategoricalParameter,
    LinearConstraint,
    Params,
    Space,
    Value,
    keep_active,
)
from .encode import Axis, Encoder

_STARTS = 20
_MOVES = 300
_SWITCHED = 0.25
"""How often a broken constraint has an inactive parameter of its terms switched on."""


def repaired_point(
    space: Space, rng: np.random.Generator, held: Params = MappingProxyType({})
) -> dict[str, Value] | None:
    """A point that keeps the constraints, from a random one whose coordinates are moved in turn.

    A coordinate of a broken constraint is drawn anew from the interval that its constraints leave
    it, the other coordinates held (Gibbs sampling); where the interval is empty, between its value
    and the end of its range that is nearer to the interval.

    Args:
        space: the search space.
        rng: draws the point and chooses the coordinates.
        held: values that the point has to have.

    Returns:
        A point, or None when none was found.
    """
    axes = {axis.parameter.name: axis for axis in Encoder(space).axes}
    for _ in range(_STARTS):
        full = {name: axis.from_unit(float(rng.random())) for name, axis in axes.items()}
        params = _settled(space, axes, full | dict(held), rng, held.keys())
        if params is not None and all(name in params for name in held):
            return params
    return None


def _settled(
    space: Space,
    axes: Mapping[str, Axis],
    full: dict[str, Value],
    rng: np.random.Generator,
    held: Set[str],
) -> dict[str, Value] | None:
    """The active part of `full` after its coordinates, but for those held, were moved until the
    constraints hold.
    """
    for move in range(_MOVES):
        params = keep_active(space, full)
        broken = [c for c in space.constraints if not constraint_holds(c, params)]
        if not broken:
            return params
        constraint = broken[int(rng.integers(len(broken)))]
        names = sorted((set(constraint.terms) & set(params)) - held)
        inactive = sorted(set(constraint.terms) - set(params))
        if inactive and (not names or rng.random() < _SWITCHED):
            _switch_on(axes, full, inactive[int(rng.integers(len(inactive)))], rng, held)
            continue
        if not names:
            return None
        name = names[int(rng.integers(len(names)))]
        share = float(rng.random())
        is_late = 2 * move >= _MOVES
        full[name] = _moved(axes[name], space, constraint, params, share, is_late=is_late)
    return None


def _switch_on(
    axes: Mapping[str, Axis],
    full: dict[str, Value],
    name: str,
    rng: np.random.Generator,
    held: Set[str],
) -> None:
    """Gives the parameters that one depends on, but for those held, values with which it is active,
    as far as its conditions and theirs agree.
    """
    while (condition := axes[name].parameter.when) is not None:
        parent = axes[condition.param]
        if condition.choices is not None:
            value = condition.choices[int(rng.integers(len(condition.choices)))]
        else:
            ends = parent.parameter
            assert not isinstance(ends, CategoricalParameter)
            low = ends.low if condition.low is None else max(ends.low, condition.low)
            high = ends.high if condition.high is None else min(ends.high, condition.high)
            left, right = parent.to_unit(low), parent.to_unit(high)
            value = parent.from_unit(left + (right - left) * float(rng.random()))
        if condition.param not in held:
            full[condition.param] = value
        name = condition.param


def _moved(
    axis: Axis,
    space: Space,
    constraint: LinearConstraint,
    params: Params,
    share: float,
    *,
    is_late: bool,
) -> Value:
    """A value of one parameter that mends a constraint, and breaks no other where possible.

    Args:
        axis: of the parameter.
        space: gives all constraints.
        constraint: the broken one.
        params: the point as it is.
        share: where in the interval the value lies, in [0, 1].
        is_late: go to the border at once where the interval is empty; the last resort, since
            what is left may be a corner. Before, only part of the way, or every coordinate would
            end on its border.
    """
    p = axis.parameter
    if isinstance(p, CategoricalParameter):
        return params[p.name]
    low, high = float(p.low), float(p.high)
    for constraints in (space.constraints, (constraint,)):
        left, right = _interval(constraints, p.name, params)
        if max(left, low) <= min(right, high):
            left, right = max(left, low), min(right, high)
            break
    else:
        right = high if left > high else low
        left = right if is_late else float(params[p.name])
    value = left + (right - left) * share
    if axis.n_cells is None:
        return min(max(value, low), high)
    cell = axis.cell_of_value(value)
    inside = [k for k in (cell, cell - 1, cell + 1) if 0 <= k < axis.n_cells]
    snapped = [v for k in inside if _is_between(v := axis.value_of_cell(k), left, right)]
    return snapped[0] if snapped else axis.value_of_cell(cell)


def _is_between(value: Value, left: float, right: float) -> bool:
    slack = 1e-12 * max(abs(left), abs(right))
    return not isinstance(value, str) and left - slack <= value <= right + slack


def _interval(
    constraints: tuple[LinearConstraint, ...], name: str, params: Params
) -> tuple[float, float]:
    """Between which values of one parameter the constraints hold, the others as they are."""
    left, right = -math.inf, math.inf
    for constraint in constraints:
        factor = constraint.terms.get(name, 0.0)
        if not factor:
            continue
        limit = (constraint.bound - _rest(constraint.terms, name, params)) / factor
        if constraint.op == "==" or (constraint.op == "<=") == (factor > 0):
            right = min(right, limit)
        if constraint.op == "==" or (constraint.op == ">=") == (factor > 0):
            left = max(left, limit)
    return left, right


def _rest(terms: Mapping[str, float], name: str, params: Params) -> float:
    parts = [
        factor * float(params[other])
        for other, factor in terms.items()
        if other != name and other in params
    ]
    return math.fsum(parts)
