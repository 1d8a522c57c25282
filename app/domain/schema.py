"""A small subset of JSON Schema (draft 2020-12): the options and parameters of objectives.

Understood: type, enum, const, minimum, maximum, exclusiveMinimum, exclusiveMaximum, minLength,
maxLength, properties, patternProperties (a literal prefix and [0-9]+ only), additionalProperties,
required, default. A worker whose schema has one of these written wrongly is refused; other keywords
are passed over, and a study is not refused for what a schema leaves unclear.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .checking import Faults, as_object, child, encodable, listed, shown
from .space import same_value

Schema = Mapping[str, Any]

_TYPES: Mapping[str, Callable[[object], bool]] = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "integer": lambda v: (
        not isinstance(v, bool)
        and (isinstance(v, int) or (isinstance(v, float) and v.is_integer()))
    ),
    "object": lambda v: isinstance(v, Mapping),
    "array": lambda v: isinstance(v, (list, tuple)),
}

# Patterns are written by workers: one that is more than this could take for ever to match.
_SAFE_PATTERN = re.compile(r"\^[A-Za-z0-9_-]*(?:\[0-9\]|\\d)\+\$")


def _are_names(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)


def _is_type(value: object) -> bool:
    names = value if isinstance(value, (list, tuple)) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _is_length(value: object) -> bool:
    return _TYPES["integer"](value) and isinstance(value, (int, float)) and value >= 0


_BOUND = (_TYPES["number"], "is a number")
_LENGTH = (_is_length, "is an integer of 0 or more")
_KEYWORDS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "type": (_is_type, f"is one or several of {', '.join(_TYPES)}"),
    "enum": (_TYPES["array"], "is a list"),
    "required": (_are_names, "is a list of names"),
    "properties": (_TYPES["object"], "is an object of schemas"),
    "patternProperties": (_TYPES["object"], "is an object of schemas"),
    "minimum": _BOUND,
    "maximum": _BOUND,
    "exclusiveMinimum": _BOUND,
    "exclusiveMaximum": _BOUND,
    "minLength": _LENGTH,
    "maxLength": _LENGTH,
}
"""What a keyword's value has to be, for those where not everything is right."""


def check_schema(schema: object, pointer: str, faults: Faults) -> None:
    """Note what is no schema, and the understood keywords that are written wrongly, at any depth;
    true and false are schemas.
    """
    todo = [(schema, pointer)]
    while todo and not faults.is_full:
        value, at = todo.pop()
        item = {} if isinstance(value, bool) else as_object(value, at, faults) or {}
        for keyword, (is_right, rule) in _KEYWORDS.items():
            if keyword in item and not is_right(item[keyword]):
                detail = f'"{keyword}" {rule}, found {shown(item[keyword])}.'
                faults.add(child(at, keyword), "malformed", detail)
        inner = {k: item[k] for k in ("properties", "patternProperties") if k in item}
        for keyword, members in inner.items():
            where = child(at, str(keyword))
            todo += [(each, child(where, name)) for name, each in as_schema(members).items()]
        if "additionalProperties" in item:
            todo.append((item["additionalProperties"], child(at, "additionalProperties")))


def as_schema(value: object) -> Schema:
    """A schema, empty (anything goes) for what is none."""
    return value if isinstance(value, Mapping) else {}


def properties_of(schema: Schema) -> Mapping[str, Schema]:
    """The named properties of an object's schema."""
    found = as_schema(schema.get("properties"))
    return {name: as_schema(inner) for name, inner in found.items() if isinstance(name, str)}


def property_of(schema: Schema, name: str) -> Schema | None:
    """The schema of a property; empty when any is welcome, None when the object refuses it."""
    named = properties_of(schema)
    if name in named:
        return named[name]
    patterns = as_schema(schema.get("patternProperties"))
    for pattern, inner in patterns.items():
        if not isinstance(pattern, str) or not _SAFE_PATTERN.fullmatch(pattern):
            return {}
        if re.fullmatch(pattern[1:-1], name, re.ASCII):
            return as_schema(inner)
    extra = schema.get("additionalProperties", True)
    return None if extra is False else as_schema(extra)


def required_of(schema: Schema) -> tuple[str, ...]:
    """Names of the properties that an object has to have."""
    names = schema.get("required")
    return tuple(n for n in names if isinstance(n, str)) if isinstance(names, list) else ()


def known_names(schema: Schema) -> tuple[str, ...]:
    """The names an object takes, patterns as they are written; for a sentence."""
    patterns = as_schema(schema.get("patternProperties"))
    return (*properties_of(schema), *(str(pattern) for pattern in patterns))


def bounds_of(schema: Schema) -> tuple[float, bool, float, bool]:
    """The range of a number: low, whether low is excluded, high, whether high is excluded."""
    low, above = _number(schema, "minimum"), _number(schema, "exclusiveMinimum")
    high, below = _number(schema, "maximum"), _number(schema, "exclusiveMaximum")
    is_low_open = above is not None and (low is None or above >= low)
    is_high_open = below is not None and (high is None or below <= high)
    least = above if is_low_open else low
    most = below if is_high_open else high
    return (
        -math.inf if least is None else least,
        is_low_open,
        math.inf if most is None else most,
        is_high_open,
    )


def _number(schema: Schema, keyword: str) -> float | None:
    value = schema.get(keyword)
    return value if _TYPES["number"](value) else None


def types_of(schema: Schema) -> tuple[str, ...]:
    """The type names that a schema admits; empty when it names none that is known."""
    given = schema.get("type")
    names = given if isinstance(given, (list, tuple)) else [given]
    return tuple(name for name in names if isinstance(name, str) and name in _TYPES)


def enum_of(schema: Schema) -> tuple[Any, ...] | None:
    """The values that a schema lists, or None."""
    if "const" in schema:
        return (schema["const"],)
    values = schema.get("enum")
    return tuple(values) if isinstance(values, (list, tuple)) else None


def problem(value: object, schema: Schema) -> tuple[str, str] | None:
    """Why a scalar does not fit a schema: fault code and rule; None when it fits."""
    types = types_of(schema)
    if types and not any(_TYPES[name](value) for name in types):
        return "wrong-type", f"must be of type {' or '.join(types)}"
    values = enum_of(schema)
    if values is not None and not any(same_value(value, item) for item in values):
        return "unknown-value", f"must be one of {listed(values)}"
    if isinstance(value, str):
        return _length_problem(value, schema)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return None if _is_within(value, schema) else ("out-of-range", range_rule(schema))
    return None


def _length_problem(value: str, schema: Schema) -> tuple[str, str] | None:
    least, most = _number(schema, "minLength"), _number(schema, "maxLength")
    if least is not None and len(value) < least:
        return "out-of-range", f"must have {least} characters or more"
    if most is not None and len(value) > most:
        return "too-long", f"may have {most} characters at most"
    return None


def _is_within(value: float, schema: Schema) -> bool:
    low, is_low_open, high, is_high_open = bounds_of(schema)
    is_above = value > low if is_low_open else value >= low
    return is_above and (value < high if is_high_open else value <= high)


def range_rule(schema: Schema) -> str:
    """The range of a number in words."""
    low, is_low_open, high, is_high_open = bounds_of(schema)
    parts = []
    if low > -math.inf:
        parts.append(f"{'>' if is_low_open else '>='} {low}")
    if high < math.inf:
        parts.append(f"{'<' if is_high_open else '<='} {high}")
    return f"must be {' and '.join(parts)}" if parts else "must be a number"


def check_options(options: Mapping[str, Any], schema: Schema, pointer: str, faults: Faults) -> None:
    """Note what is wrong with the options of an objective: unknown, wrong or missing ones."""
    for name, value in options.items():
        inner = property_of(schema, name)
        at = child(pointer, name)
        if inner is None:
            known = known_names(schema)
            miss = faults.near_miss(name, known)
            detail = f"Unknown option {shown(name)}{miss} Known: {', '.join(known) or 'none'}."
            faults.add(at, "unknown-option", encodable(detail))
            continue
        found = problem(value, inner)
        if found is not None:
            code, rule = found
            faults.add(at, code, f"Option {shown(name)} {rule}, found {shown(value)}.")
    for name in required_of(schema):
        if name not in options:
            rule = f"The option {shown(name)} is required."
            faults.add(child(pointer, name), "missing-field", rule)
