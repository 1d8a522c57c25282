"""Random points within known linear constraints that plain draws do not hit: equalities, thin
slices, branches that only a constraint asks for.
"""

from __future__ import annotations

import numpy as np

from ..domain.points import constraint_holds
from ..domain.space import CategoricalParameter, Params, Value
from .feasible import NOTHING_HELD, point_within
from .linear import Linear
from .numerics import Array
from .row_space import Mask, RowSpace

_DRAWN = 32
"""Rows that are drawn at once."""
_TIMES = 2
"""How often they are drawn."""
_SWITCHES = 3
"""How often parameters are switched on in the rows of a draw that cannot be moved as they are."""


def drawn_within(
    linear: Linear, rng: np.random.Generator, held: Params = NOTHING_HELD
) -> dict[str, Value] | None:
    """A random point that keeps the constraints: uniform draws, moved into them.

    Args:
        linear: the constraints of a space.
        rng: draws the point.
        held: values that the point has to have.

    Returns:
        A point, or None when none was found.
    """
    space = linear.space
    is_held = np.array([name in held for name in space.space.names])
    fixed = space.encoder.to_unit(held)
    for _ in range(_TIMES):
        full = space.snap(np.where(is_held, fixed, rng.random((_DRAWN, space.p))))
        for switched in range(_SWITCHES + 1 if space.has_conditions else 1):
            if switched:
                for row in full:
                    _switch_on(space, row, is_held, rng)
            full = linear.mended(full, rng, is_held=is_held, is_spread=True)
            kept = full[space.keeps_constraints(space.points(full))]
            for row in kept:
                params = space.decode(row)
                if all(name in params for name in held):
                    return _holding(params, held)
    return None


def solved_within(
    linear: Linear, rng: np.random.Generator, held: Params = NOTHING_HELD
) -> dict[str, Value] | None:
    """A point that keeps the constraints where draws cannot be moved into them; arguments and
    result as of `drawn_within`.
    """
    space = linear.space
    is_held = np.array([name in held for name in space.space.names])
    found = point_within(space.space, rng, held)
    if found is None:
        return None
    row = space.encoder.to_unit(found)[None, :]
    full = space.snap(np.where(np.isnan(row), 0.5, row))
    points = space.points(linear.mended(linear.settled(full), rng, is_held=is_held))
    return _holding(space.decode(points[0]), held) if space.keeps_constraints(points)[0] else None


def _holding(params: Params, held: Params) -> dict[str, Value]:
    """A point with the values that were given, not those of their coordinates."""
    return {name: held.get(name, value) for name, value in params.items()}


def _switch_on(space: RowSpace, row: Array, is_held: Mask, rng: np.random.Generator) -> None:
    """Makes an inactive parameter of a broken constraint active in a full row (p,), by the
    parameters that it depends on, as far as its conditions and theirs agree and none is held.
    """
    params = space.decode(row)
    broken = [c for c in space.space.constraints if not constraint_holds(c, params)]
    inactive = sorted({name for c in broken for name in c.terms} - set(params))
    if not inactive:
        return
    axes = {axis.parameter.name: (j, axis) for j, axis in enumerate(space.axes)}
    name = inactive[int(rng.integers(len(inactive)))]
    while (condition := axes[name][1].parameter.when) is not None:
        name = condition.param
        j, parent = axes[name]
        if is_held[j]:
            continue
        if condition.choices is not None:
            row[j] = parent.to_unit(condition.choices[int(rng.integers(len(condition.choices)))])
            continue
        ends = parent.parameter
        assert not isinstance(ends, CategoricalParameter)
        low = ends.low if condition.low is None else max(ends.low, condition.low)
        high = ends.high if condition.high is None else min(ends.high, condition.high)
        left, right = parent.to_unit(low), parent.to_unit(high)
        row[j] = left + (right - left) * rng.random()
