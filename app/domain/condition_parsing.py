"""Parses `when`: the condition under which a parameter is active."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .checking import (
    Faults,
    Fields,
    as_list,
    as_number,
    as_object,
    as_text,
    child,
    shown,
)
from .space import (
    CategoricalParameter,
    Choice,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    n_values,
)
from .values import STEP_TOLERANCE, check_value, choice_index, choice_key, snap

_FIELDS = ("param", "in", "low", "high")


class Declared:
    """The parameters of a space under parsing: all names, and those parsed so far."""

    def __init__(self, names: Sequence[str | None]) -> None:
        self.names = tuple(names)
        self._parsed: dict[str, Parameter | None] = {}

    def put(self, index: int, parameter: Parameter | None) -> None:
        """Keep a parsed parameter (None: it has faults); the first of a name counts."""
        name = self.names[index]
        if name is not None:
            self._parsed.setdefault(name, parameter)

    def parent(self, name: str) -> Parameter | None:
        """A parameter parsed before, or None when it has faults."""
        return self._parsed.get(name)

    def is_earlier(self, name: str) -> bool:
        """Whether a parameter of this name was parsed before, with faults or without."""
        return name in self._parsed


def parse_condition(
    raw: object, pointer: str, faults: Faults, *, declared: Declared, index: int
) -> Condition | None:
    """The condition of the parameter at `index`, or None with faults.

    It has to look at a parameter that stands earlier, and at values which that one can take.
    """
    item = as_object(raw, pointer, faults)
    if item is None:
        return None
    fields = Fields(item, pointer, faults, _FIELDS)
    name = fields.read("param", as_text, is_required=True)
    has_range = fields.has("low") or fields.has("high")
    if fields.has("in") == has_range:
        rule = "A condition has either `in` or `low` and/or `high`, found "
        found = "both." if has_range else "neither."
        faults.add(pointer, "condition-mixed" if has_range else "condition-empty", rule + found)
        return None
    if name is None or not _stands_earlier(name, fields, declared, index):
        return None
    parent = declared.parent(name)
    if parent is None:
        return None
    return _choices(fields, parent) if fields.has("in") else _range(fields, parent)


def _stands_earlier(name: str, fields: Fields, declared: Declared, index: int) -> bool:
    pointer, known = fields.at("param"), [n for n in declared.names if n is not None]
    if declared.is_earlier(name):
        return True
    if name == declared.names[index]:
        rule = f"A condition may not look at its own parameter, found {shown(name)}."
        fields.faults.add(pointer, "condition-on-itself", rule)
    elif name in known:
        rule = f"A condition looks at a parameter that stands earlier; {shown(name)} stands later."
        fields.faults.add(pointer, "condition-on-later", rule)
    else:
        rule = f"There is no parameter {shown(name)}{fields.faults.near_miss(name, known)}"
        fields.faults.add(pointer, "condition-on-unknown", rule)
    return False


def _choices(fields: Fields, parent: Parameter) -> Condition | None:
    """A condition by `in`; every value has to be one that the parent can take."""
    pointer, faults = fields.at("in"), fields.faults
    items = as_list(fields.raw("in"), pointer, faults, limit="choices")
    if items is None:
        return None
    if n_values(parent) is None:
        rule = f"{shown(parent.name)} is continuous: give `low` and `high`, found `in`."
        faults.add(pointer, "condition-on-continuous", rule)
        return None
    if not items:
        faults.add(pointer, "no-choices", "`in` lists at least one value, found none.")
        return None
    before = len(faults)
    kept = _possible_values(items, pointer, faults, parent)
    return Condition(param=parent.name, choices=kept) if len(faults) == before else None


def _possible_values(
    items: Sequence[object], pointer: str, faults: Faults, parent: Parameter
) -> tuple[Choice, ...]:
    """The values of `in` as the parent has them, without repeats."""
    kept: dict[tuple[bool, object], Choice] = {}
    index = choice_index(parent) if isinstance(parent, CategoricalParameter) else {}
    for k, item in enumerate(items):
        if faults.is_full:
            break
        at, key = child(pointer, k), choice_key(item)
        value = index[key] if key in index else _possible(item, at, faults, parent)
        if value is None:
            continue
        if choice_key(value) in kept:
            rule = f"The values of `in` differ from each other, found {shown(value)} twice."
            faults.add(at, "repeated-choice", rule)
        kept[choice_key(value)] = value
    return tuple(kept.values())


def _possible(item: object, pointer: str, faults: Faults, parent: Parameter) -> Choice | None:
    """A value of the parent; any reason why it is none becomes the one code of conditions."""
    inner = Faults(faults.searched)
    value = check_value(parent, item, pointer, inner)
    for fault in inner.items:
        faults.add(pointer, "condition-impossible", f"The parent cannot take it: {fault.detail}")
    faults.searched = inner.searched
    return value


def _range(fields: Fields, parent: Parameter) -> Condition | None:
    """A condition by `low` and/or `high`; the range has to hold a value of the parent."""
    before = len(fields.faults)
    low, high = fields.read("low", as_number), fields.read("high", as_number)
    if isinstance(parent, CategoricalParameter):
        rule = f"{shown(parent.name)} is categorical: give `in`, found `low` or `high`."
        fields.faults.add(fields.pointer, "condition-on-categorical", rule)
    elif len(fields.faults) == before and not _is_possible(parent, low, high):
        bounds = f"[{shown(low)}, {shown(high)}]"
        rule = f"{shown(parent.name)} takes no value in {bounds}; it lies in "
        detail = f"{rule}[{parent.low}, {parent.high}]."
        fields.faults.add(fields.pointer, "condition-impossible", detail)
    if len(fields.faults) > before:
        return None
    return Condition(param=parent.name, low=_bound(parent, low), high=_bound(parent, high))


def _is_possible(
    parent: FloatParameter | IntParameter, low: float | None, high: float | None
) -> bool:
    first = parent.low if low is None else max(parent.low, low)
    last = parent.high if high is None else min(parent.high, high)
    if first > last or parent.step is None:
        return first <= last
    # On a grid of steps: the first step at or above `first` may not lie beyond `last`.
    lowest = math.ceil((first - parent.low) / parent.step - STEP_TOLERANCE)
    highest = math.floor((last - parent.low) / parent.step + STEP_TOLERANCE)
    return lowest <= highest


def _bound(parent: Parameter, bound: float | None) -> float | None:
    """A bound near a step is taken for it, as values are, so that comparing them is exact."""
    if bound is None or not isinstance(parent, FloatParameter):
        return bound
    snapped = snap(parent, bound)
    return float(bound) if snapped is None else snapped
