"""Parses the search space of a study definition: parameters in order, each checked on its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

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
from .values import check_value

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
    """The parameters of a space; those with faults are left out of the answer.

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
    item = as_object(raw, pointer, faults)
    if item is None:
        return None
    before = len(faults)
    given = item.get("type")
    known = FIELDS.get(given, _ANY) if isinstance(given, str) else _ANY
    fields = Fields(item, pointer, faults, known)
    name = fields.read("name", as_text, is_required=True) or ""
    read_type = word(FIELDS, code="unknown-type", what="parameter type")
    kind = fields.read("type", read_type, is_required=True)
    when = fields.read("when", partial(parse_condition, declared=declared, index=index))
    parameter: Parameter | None = None
    if kind == "categorical":
        parameter = _categorical(fields, name)
    elif kind == "int":
        parameter = _integer(fields, name)
    elif kind == "float":
        parameter = _float(fields, name)
    if parameter is None or len(faults) > before:
        return None
    return _with_default(replace(parameter, when=when), fields)


def _with_default(parameter: Parameter, fields: Fields) -> Parameter | None:
    """The parameter with its default, which has to be one of its values."""
    if not fields.has("default"):
        return parameter
    value = check_value(
        parameter, fields.raw("default"), fields.at("default"), fields.faults, prefix="default-"
    )
    if value is None:
        return None
    if isinstance(parameter, CategoricalParameter):
        return replace(parameter, default=value)
    if isinstance(parameter, IntParameter):
        return replace(parameter, default=int(value))
    return replace(parameter, default=float(value))


def _integer(fields: Fields, name: str) -> IntParameter | None:
    low = fields.read("low", as_integer, is_required=True)
    high = fields.read("high", as_integer, is_required=True)
    log, step = fields.flag("log"), fields.read("step", as_integer)
    if low is None or high is None or not _has_range(fields, low, high, log):
        return None
    if step is not None and not _step_fits(fields, low, high, step):
        return None
    return IntParameter(name=name, low=low, high=high, log=log, step=1 if step is None else step)


def _float(fields: Fields, name: str) -> FloatParameter | None:
    low = fields.read("low", as_float, is_required=True)
    high = fields.read("high", as_float, is_required=True)
    log, step = fields.flag("log"), fields.read("step", as_float)
    if log and step is not None:
        rule = f"A float has either log or step, found log true and step {shown(step)}."
        fields.faults.add(fields.at("step"), "log-with-step", rule)
    if low is None or high is None or not _has_range(fields, low, high, log):
        return None
    if step is not None and not _step_fits(fields, low, high, step):
        return None
    return FloatParameter(name=name, low=low, high=high, log=log, step=step)


def _has_range(fields: Fields, low: float, high: float, log: bool) -> bool:
    """Whether low < high, a finite distance apart, and both positive under log."""
    before = len(fields.faults)
    found = f"found low {shown(low)} and high {shown(high)}."
    if low >= high:
        fields.faults.add(fields.at("low"), "low-not-below-high", f"low must be below high, {found}")
    elif not math.isfinite(high - low):
        fields.faults.add(fields.at("high"), "range-too-wide", f"high - low must be finite, {found}")
    if log and low <= 0:
        rule = f"With log, low must be above 0, found {shown(low)}."
        fields.faults.add(fields.at("low"), "log-not-positive", rule)
    return len(fields.faults) == before


def _step_fits(fields: Fields, low: float, high: float, step: float) -> bool:
    """Whether a step is positive, at most the range, and large enough to tell its values apart."""
    pointer = fields.at("step")
    if step <= 0:
        rule = f"step must be above 0, found {shown(step)}."
        fields.faults.add(pointer, "step-not-positive", rule)
    elif step > high - low:
        rule = f"step may be high - low = {high - low} at most, found {shown(step)}."
        fields.faults.add(pointer, "step-too-large", rule)
    elif (high - low) / step > limit_of("integer") or low + step == low or high - step == high:
        rule = f"step must be large enough to tell neighbours apart, found {shown(step)}."
        fields.faults.add(pointer, "step-too-small", rule)
    else:
        return True
    return False


def _categorical(fields: Fields, name: str) -> CategoricalParameter | None:
    raw = fields.read("choices", partial(as_list, limit="choices"), is_required=True)
    ordered = fields.flag("ordered")
    if raw is None:
        return None
    if not raw:
        rule = "A categorical parameter has at least one choice, found none."
        fields.faults.add(fields.at("choices"), "no-choices", rule)
        return None
    choices = parse_choices(raw, fields.at("choices"), fields.faults)
    return CategoricalParameter(name=name, choices=choices, ordered=ordered)


def parse_choices(raw: object, pointer: str, faults: Faults) -> tuple[Choice, ...]:
    """The valid choices of a list, without repeats; True and 1 differ, 1 and 1.0 do not."""
    seen: dict[tuple[bool, Choice], int] = {}
    for index, item in enumerate(raw if isinstance(raw, (list, tuple)) else ()):
        choice = _choice(item, child(pointer, index), faults)
        if choice is None:
            continue
        key = (isinstance(choice, bool), choice)
        if key in seen:
            rule = f"Choices differ from each other; {shown(choice)} stands at index {seen[key]} too."
            faults.add(child(pointer, index), "repeated-choice", rule)
        else:
            seen[key] = index
    return tuple(choice for _, choice in seen)


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
