"""Parses the search space of a study definition: parameters in order, each checked on its own."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from .checking import (
    Faults,
    Fields,
    as_bool,
    as_float,
    as_integer,
    as_list,
    as_number,
    as_object,
    as_text,
    child,
    names_of,
    note_repeats,
    shown,
    word,
)
from .condition_parsing import Declared, parse_condition
from .sizes import limit_of
from .space import (
    CategoricalParameter,
    Choice,
    FloatParameter,
    IntParameter,
    Parameter,
)
from .values import check_value, choice_key

N = TypeVar("N", int, float)

LEAST_LOG_RANGE = 1e-9
"""high - low over low under log: below, logarithms of neighbours are the same number."""
LEAST_ULPS = 4
"""A step is at least so many of the gaps between floats at the range's larger end."""

_COMMON = ("name", "type", "default", "when")
_NUMERIC = (*_COMMON, "low", "high", "log", "step")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "float": _NUMERIC,
    "int": _NUMERIC,
    "categorical": (*_COMMON, "choices", "ordered"),
}
"""Parameter type -> its fields."""
_ANY = tuple(dict.fromkeys(name for names in FIELDS.values() for name in names))


def parse_space(raw: object, pointer: str, faults: Faults) -> tuple[Parameter, ...]:
    """The parameters of a space; those whose range or choices have faults are left out.

    Args:
        raw: the list as it came.
        pointer: where it stands, "/space".
        faults: where faults go.
    """
    items = as_list(raw, pointer, faults, limit="parameters")
    if items is None:
        return ()
    if not items:
        faults.add(pointer, "empty", "A search space has at least one parameter, found none.")
    names = names_of(items)
    note_repeats(names, pointer, faults, what="Parameter")
    declared = Declared(names)
    kept = []
    for index, item in enumerate(items):
        parameter = _parameter(item, child(pointer, index), faults, declared, index)
        declared.put(index, parameter)
        if parameter is not None:
            kept.append(parameter)
    return tuple(kept)


def _parameter(
    raw: object, pointer: str, faults: Faults, declared: Declared, index: int
) -> Parameter | None:
    """One parameter; its parts are checked apart, so that no fault hides another."""
    item = as_object(raw, pointer, faults)
    if item is None:
        return None
    given = item.get("type")
    known = FIELDS.get(given, _ANY) if isinstance(given, str) else _ANY
    fields = Fields(item, pointer, faults, known)
    name = fields.read("name", as_text, is_required=True) or ""
    read_type = word(FIELDS, code="unknown-type", what="parameter type")
    kind = fields.read("type", read_type, is_required=True)
    parameter = _BODIES[kind](fields, name) if kind is not None else None
    if parameter is not None and fields.has("default"):
        parameter = _with_default(parameter, fields)
    when = fields.read("when", partial(parse_condition, declared=declared, index=index))
    return None if parameter is None else replace(parameter, when=when)


def _with_default(parameter: Parameter, fields: Fields) -> Parameter:
    """The parameter with its default, which has to be one of its values."""
    raw, pointer = fields.raw("default"), fields.at("default")
    value = check_value(parameter, raw, pointer, fields.faults, prefix="default-")
    if value is None:
        return parameter
    if isinstance(parameter, CategoricalParameter):
        return replace(parameter, default=value)
    if isinstance(parameter, IntParameter):
        return replace(parameter, default=int(value))
    return replace(parameter, default=float(value))


def _integer(fields: Fields, name: str) -> IntParameter | None:
    low = fields.read("low", as_integer, is_required=True)
    high = fields.read("high", as_integer, is_required=True)
    log = fields.flag("log")
    step = _step(fields, fields.read("step", as_integer), low, high)
    if not _has_range(fields, low, high, log) or low is None or high is None:
        return None
    return IntParameter(name=name, low=low, high=high, log=log, step=1 if step is None else step)


def _float(fields: Fields, name: str) -> FloatParameter | None:
    low = fields.read("low", as_float, is_required=True)
    high = fields.read("high", as_float, is_required=True)
    log = fields.flag("log")
    step = _step(fields, fields.read("step", as_float), low, high)
    if log and fields.has("step"):
        found = shown(fields.raw("step"))
        rule = f"A float has either log or step, found log true and step {found}."
        fields.faults.add(fields.at("step"), "log-with-step", rule)
    if not _has_range(fields, low, high, log) or low is None or high is None:
        return None
    return FloatParameter(name=name, low=low, high=high, log=log, step=step)


def _has_range(fields: Fields, low: float | None, high: float | None, log: bool) -> bool:
    """Whether low < high, a finite distance apart, and low is positive under log."""
    before, faults = len(fields.faults), fields.faults
    if low is not None and high is not None:
        found = f"found low {shown(low)} and high {shown(high)}."
        if low >= high:
            rule = f"low must be below high, {found}"
            faults.add(fields.at("low"), "low-not-below-high", rule)
        elif not math.isfinite(high - low):
            faults.add(fields.at("high"), "range-too-wide", f"high - low must be finite, {found}")
        elif high - low < sys.float_info.min:
            rule = f"high - low must be {sys.float_info.min} at least, {found}"
            faults.add(fields.at("high"), "range-too-narrow", rule)
        elif log and low > 0 and high - low < LEAST_LOG_RANGE * low:
            rule = f"With log, high must be above low by 1e-9 of it at least, {found}"
            faults.add(fields.at("high"), "range-too-narrow", rule)
    if log and low is not None and low <= 0:
        rule = f"With log, low must be above 0, found {shown(low)}."
        faults.add(fields.at("low"), "log-not-positive", rule)
    return len(faults) == before


def _step(fields: Fields, step: N | None, low: N | None, high: N | None) -> N | None:
    """The step when it is positive, at most the range, and large enough to tell values apart."""
    if step is None:
        return None
    pointer, found = fields.at("step"), f"found {shown(step)}."
    if step <= 0:
        fields.faults.add(pointer, "step-not-positive", f"step must be above 0, {found}")
        return None
    if low is None or high is None or low >= high:
        return step
    if step > high - low:
        rule = f"step may be high - low = {shown(high - low)} at most, {found}"
        fields.faults.add(pointer, "step-too-large", rule)
        return None
    least = LEAST_ULPS * math.ulp(max(abs(low), abs(high)))
    if (high - low) / step > limit_of("integer") or (isinstance(step, float) and step < least):
        rule = f"step must be large enough to tell neighbours apart, {found}"
        fields.faults.add(pointer, "step-too-small", rule)
        return None
    return step


def _categorical(fields: Fields, name: str) -> CategoricalParameter | None:
    raw = fields.read("choices", partial(as_list, limit="choices"), is_required=True)
    ordered = fields.flag("ordered")
    if raw is None:
        return None
    if not raw:
        rule = "A categorical parameter has at least one choice, found none."
        fields.faults.add(fields.at("choices"), "no-choices", rule)
        return None
    before = len(fields.faults)
    choices = parse_choices(raw, fields.at("choices"), fields.faults)
    # A default that repeats a faulty choice is no fault of its own.
    if len(fields.faults) > before and any(item is fields.raw("default") for item in raw):
        return None
    return CategoricalParameter(name=name, choices=choices, ordered=ordered) if choices else None


def parse_choices(raw: object, pointer: str, faults: Faults) -> tuple[Choice, ...]:
    """The valid choices of a list, without repeats; True and 1 differ, 1 and 1.0 do not."""
    seen: dict[tuple[bool, object], tuple[int, Choice]] = {}
    for index, item in enumerate(raw if isinstance(raw, (list, tuple)) else ()):
        choice = _choice(item, child(pointer, index), faults)
        if choice is None:
            continue
        key = choice_key(choice)
        if key in seen:
            twin = f"{shown(choice)} stands at index {seen[key][0]} too"
            rule = f"Choices differ from each other; {twin}."
            faults.add(child(pointer, index), "repeated-choice", rule)
        else:
            seen[key] = (index, choice)
    return tuple(choice for _, choice in seen.values())


def _choice(item: object, pointer: str, faults: Faults) -> Choice | None:
    if isinstance(item, bool):
        return as_bool(item, pointer, faults)
    if isinstance(item, str):
        if not item:
            faults.add(pointer, "empty-choice", 'A choice may not be empty, found "".')
            return None
        return as_text(item, pointer, faults, limit="string_chars", may_be_empty=True)
    if isinstance(item, (int, float)):
        return as_number(item, pointer, faults)
    rule = f"A choice is a string, a number or a boolean, found {shown(item)}."
    faults.add(pointer, "wrong-type", rule)
    return None


_BODIES: Mapping[str, Callable[[Fields, str], Parameter | None]] = {
    "float": _float,
    "int": _integer,
    "categorical": _categorical,
}
