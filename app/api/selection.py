"""The `where` parameter of trial lists: ranges and choices by parameter name, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import Fault, InvalidInput, MalformedRequest
from ..store.trials import ChoicesFilter, RangeFilter
from .bodies import parse_json

MAX_NAMES, MAX_CHOICES = 64, 1_000


def read_selection(text: str | None) -> Mapping[str, RangeFilter | ChoicesFilter]:
    """The filters of a `where` parameter; none without it.

    Raises:
        InvalidInput: it is not JSON, or not of that form.
    """
    if text is None:
        return {}
    try:
        value = parse_json(text.encode("utf-8", "surrogatepass"))
    except MalformedRequest as error:
        raise _wrong(f"where is not JSON: {error.detail}") from error
    if not isinstance(value, dict) or len(value) > MAX_NAMES:
        raise _wrong(f"where is an object of at most {MAX_NAMES} names")
    return {name: _filter(name, given) for name, given in value.items()}


def _filter(name: str, given: Any) -> RangeFilter | ChoicesFilter:
    if isinstance(given, dict) and given:
        if set(given) == {"in"} and _is_choices(given["in"]):
            return ChoicesFilter(choices=tuple(given["in"]))
        if set(given) <= {"low", "high"} and all(_is_number(bound) for bound in given.values()):
            return RangeFilter(low=given.get("low"), high=given.get("high"))
    raise _wrong(f'{name[:60]!r} needs {{"low": ..., "high": ...}} or {{"in": [...]}}')


def _is_choices(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= MAX_CHOICES
        and all(isinstance(item, (str, int, float, bool)) for item in value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _wrong(detail: str) -> InvalidInput:
    return InvalidInput(detail, faults=[Fault(pointer="/where", code="selection", detail=detail)])
