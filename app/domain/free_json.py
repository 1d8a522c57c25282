"""Checks JSON of no fixed shape (the options of an objective): bounded, finite, storable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .checking import Faults, as_number, as_object, as_text, child, shown
from .sizes import limit_of


def parse_free_object(raw: object, pointer: str, faults: Faults) -> dict[str, Any]:
    """A JSON object as plain dicts and lists of its own; empty when it has faults.

    The walk is a loop, not a recursion: a body may be nested far deeper than the bound.
    """
    item = as_object(raw, pointer, faults)
    if item is None or not _is_bounded(item, pointer, faults):
        return {}
    before = len(faults)
    for value, at in _walk(item, pointer):
        _check_leaf(value, at, faults)
    return {} if len(faults) > before else {str(k): _copy(v) for k, v in item.items()}


def _is_bounded(root: object, pointer: str, faults: Faults) -> bool:
    """Whether the count of values and the depth are within bounds."""
    most, deepest = limit_of("options"), limit_of("options_depth")
    todo: list[tuple[object, int]] = [(root, 0)]
    count = 0
    while todo:
        value, depth = todo.pop()
        count += 1
        inner = _members(value)
        if count + len(todo) + len(inner) > most + 1:
            faults.add(pointer, "too-many", f"May hold {most:,} values at most, found more.")
            return False
        if inner and depth >= deepest:
            rule = f"May be nested {deepest} levels deep at most, found more."
            faults.add(pointer, "too-deep", rule)
            return False
        todo.extend((member, depth + 1) for _, member in inner)
    return True


def _members(value: object) -> list[tuple[object, object]]:
    if isinstance(value, Mapping):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, (list, tuple)) else []


def _walk(root: object, pointer: str) -> Iterator[tuple[object, str]]:
    """Every value below the root and every key, with its pointer."""
    todo = [(root, pointer)]
    while todo:
        value, at = todo.pop()
        for key, member in reversed(_members(value)):
            if isinstance(value, Mapping):
                yield key, child(at, key)
            todo.append((member, child(at, key)))
        if not isinstance(value, (Mapping, list, tuple)):
            yield value, at


def _check_leaf(value: object, pointer: str, faults: Faults) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        as_text(value, pointer, faults, limit="option_chars", is_name=False, may_be_empty=True)
    elif isinstance(value, (int, float)):
        as_number(value, pointer, faults)
    else:
        faults.add(pointer, "wrong-type", f"Must be a JSON value, found {shown(value)}.")


def _copy(value: Any) -> Any:
    """A copy of a value whose depth is known to be bounded."""
    if isinstance(value, Mapping):
        return {str(key): _copy(member) for key, member in value.items()}
    return [_copy(member) for member in value] if isinstance(value, (list, tuple)) else value
