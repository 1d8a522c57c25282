"""Checks a flat object of scalars against a table of `OptionSpec`: options, limits, resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalog import OptionSpec
from .checking import (
    Faults,
    as_bool,
    as_float,
    as_integer,
    as_object,
    child,
    one_of,
    shown,
)


def as_setting(value: object, spec: OptionSpec, pointer: str, faults: Faults) -> Any:
    """A scalar that obeys its spec, or None with a fault."""
    if spec.type == "bool":
        return as_bool(value, pointer, faults)
    if spec.type == "str":
        words = spec.choices or ()
        return one_of(value, words, pointer, faults, code="unknown-value", what="value")
    read = as_integer if spec.type == "int" else as_float
    number = read(value, pointer, faults)
    if number is None or _is_within(number, spec):
        return number
    faults.add(pointer, "out-of-range", f"Must be {range_text(spec)}, found {shown(number)}.")
    return None


def _is_within(number: float, spec: OptionSpec) -> bool:
    if spec.low is not None and (number < spec.low or (spec.is_low_open and number == spec.low)):
        return False
    if spec.high is None:
        return True
    return number < spec.high if spec.is_high_open else number <= spec.high


def range_text(spec: OptionSpec) -> str:
    """The accepted range of a number in words, e.g. "> 0 and <= 0.5"."""
    parts = []
    if spec.low is not None:
        parts.append(f"{'>' if spec.is_low_open else '>='} {_grouped(spec.low)}")
    if spec.high is not None:
        parts.append(f"{'<' if spec.is_high_open else '<='} {_grouped(spec.high)}")
    return " and ".join(parts) or "any number"


def _grouped(number: float) -> str:
    """A number with its thousands set apart; whole ones without a fraction."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:,}"


def parse_settings(
    raw: object,
    specs: Mapping[str, OptionSpec],
    pointer: str,
    faults: Faults,
    *,
    what: str = "field",
    fill: bool = True,
) -> dict[str, Any]:
    """The settings of an object, each checked against its spec.

    Args:
        raw: the object as it came; None counts as empty.
        specs: what may be in it.
        what: "field" or "option": the word and the fault code for an unknown one.
        fill: whether those left out get their default; otherwise only given ones are returned,
            with None for a null.
    """
    found: dict[str, Any] = {n: s.default for n, s in specs.items()} if fill else {}
    given = {} if raw is None else as_object(raw, pointer, faults)
    for name, value in (given or {}).items():
        if faults.is_full:
            break
        at = child(pointer, name)
        if not isinstance(name, str) or name not in specs:
            faults.add(at, f"unknown-{what}", _unknown(name, specs, what, faults))
        elif value is not None:
            found[name] = as_setting(value, specs[name], at, faults)
        elif not fill:
            found[name] = None
    return found


def _unknown(name: object, specs: Mapping[str, OptionSpec], what: str, faults: Faults) -> str:
    known = f" Known: {', '.join(specs)}." if specs else f" It takes no {what}s."
    return f"Unknown {what} {shown(name)}{faults.near_miss(name, specs)}{known}"
