"""How many points a grid over a space has, counted without walking it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from .space import CategoricalParameter, Condition, Parameter, Space, n_values
from .values import choice_key


def grid_points(space: Space) -> int | None:
    """Distinct points of a space whose parameters are all discrete; None with a continuous one.

    Linear constraints are not looked at: the count is an upper bound where there are any.
    Every parameter hangs on one parent at most, so the space is a forest: a parameter counts the
    sum over its values of the product over the children which that value switches on.
    """
    if any(n_values(parameter) is None for parameter in space.parameters):
        return None
    count: dict[str, int] = {}
    for parameter in reversed(space.parameters):  # children stand behind their parents
        children = [p for p in space.parameters if p.when and p.when.param == parameter.name]
        count[parameter.name] = _count(parameter, children, count)
    return math.prod(count[p.name] for p in space.parameters if p.when is None)


def _count(parameter: Parameter, children: Sequence[Parameter], count: dict[str, int]) -> int:
    """Points of a parameter with all that hangs on it."""
    toggles: Counter[int] = Counter()
    switched: dict[int, int] = {}
    for bit, inner in enumerate(children):
        for first, last in _runs(parameter, inner.when):
            switched[first] = switched.get(first, 0) ^ (1 << bit)
            switched[last + 1] = switched.get(last + 1, 0) ^ (1 << bit)
    # Sweep over the value indices; between two switches the same children are on.
    total, mask, start = n_values(parameter) or 0, 0, 0
    for index in sorted(switched):
        toggles[mask] += min(index, total) - start
        mask, start = mask ^ switched[index], min(index, total)
    toggles[mask] += total - start
    sizes = [count[inner.name] for inner in children]
    return sum(width * _product(sizes, mask) for mask, width in toggles.items() if width)


def _product(sizes: Sequence[int], mask: int) -> int:
    return math.prod(size for bit, size in enumerate(sizes) if mask >> bit & 1)


def _runs(parameter: Parameter, when: Condition | None) -> list[tuple[int, int]]:
    """Runs of value indices (first, last) for which a condition holds."""
    total = n_values(parameter) or 0
    if when is None:
        return []
    if when.choices is not None:
        return [(k, k) for k in _indices(parameter, when)]
    if isinstance(parameter, CategoricalParameter):
        return []
    step = parameter.step or 1
    low = parameter.low if when.low is None else when.low
    high = parameter.high if when.high is None else when.high
    first = max(0, math.ceil((low - parameter.low) / step - 1e-9))
    last = min(total - 1, math.floor((high - parameter.low) / step + 1e-9))
    return [(first, last)] if first <= last else []


def _indices(parameter: Parameter, when: Condition) -> list[int]:
    choices = when.choices or ()
    if isinstance(parameter, CategoricalParameter):
        positions = {choice_key(choice): k for k, choice in enumerate(parameter.choices)}
        found = [positions.get(choice_key(choice)) for choice in choices]
        return [k for k in found if k is not None]
    step = parameter.step or 1
    numbers = [c for c in choices if not isinstance(c, (str, bool))]
    return [round((c - parameter.low) / step) for c in numbers]
