"""Parses the parts of a study definition that may be changed later: limits, labels, resources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checking import Faults, as_object, as_text, child
from .limit_fields import FAILURE_FIELDS, LIMIT_FIELDS, NO_PROGRESS_FIELDS, RESOURCE_FIELDS
from .settings_parsing import parse_settings
from .sizes import limit_of
from .study import FailurePolicy, Limits, NoProgress, Resources

NO_PROGRESS = "no_progress"


def parse_description(raw: object, pointer: str, faults: Faults) -> str | None:
    """A text of any length up to its bound, line breaks included."""
    return as_text(
        raw, pointer, faults, limit="description_chars", is_name=False, may_be_empty=True
    )


def parse_limits(raw: object, pointer: str, faults: Faults) -> Limits:
    """The limits; those left out or null are not set."""
    given = parse_given_limits(raw, pointer, faults)
    return Limits(**given) if raw is not None else Limits()


def parse_given_limits(raw: object, pointer: str, faults: Faults) -> dict[str, Any]:
    """Only the limits that are given, None for a null: what a PATCH changes."""
    item = {} if raw is None else as_object(raw, pointer, faults)
    plain = {name: value for name, value in (item or {}).items() if name != NO_PROGRESS}
    found = parse_settings(plain, _WITH_NO_PROGRESS, pointer, faults, fill=False)
    if item is not None and NO_PROGRESS in item:
        at = child(pointer, NO_PROGRESS)
        found[NO_PROGRESS] = _no_progress(item[NO_PROGRESS], at, faults)
    return found


# `no_progress` stands in the table so that it is named among the known limits and as a near miss.
_WITH_NO_PROGRESS = {**LIMIT_FIELDS, NO_PROGRESS: LIMIT_FIELDS["target"]}


def _no_progress(raw: object, pointer: str, faults: Faults) -> NoProgress | None:
    if raw is None:
        return None
    before = len(faults)
    found = parse_settings(raw, NO_PROGRESS_FIELDS, pointer, faults)
    if len(faults) > before:
        return None
    if found["trials"] is None and found["seconds"] is None:
        rule = "no_progress needs trials or seconds or both, found neither."
        faults.add(pointer, "missing-field", rule)
        return None
    return NoProgress(**found)


def parse_failure_policy(raw: object, pointer: str, faults: Faults) -> FailurePolicy:
    """The failure policy with its defaults."""
    before = len(faults)
    found = parse_settings(raw, FAILURE_FIELDS, pointer, faults)
    return FailurePolicy(**found) if len(faults) == before else FailurePolicy()


def parse_resources(raw: object, pointer: str, faults: Faults) -> Resources:
    """The resources of one trial with their defaults."""
    before = len(faults)
    found = parse_settings(raw, RESOURCE_FIELDS, pointer, faults)
    return Resources(**found) if len(faults) == before else Resources()


def parse_given_resources(raw: object, pointer: str, faults: Faults) -> dict[str, Any]:
    """Only the resources that are given; a null becomes the default."""
    found = parse_settings(raw, RESOURCE_FIELDS, pointer, faults, fill=False)
    return {n: RESOURCE_FIELDS[n].default if v is None else v for n, v in found.items()}


def parse_labels(raw: object, pointer: str, faults: Faults) -> Mapping[str, str]:
    """Labels: strings by string, neither with control characters; a value may be empty."""
    item = as_object(raw, pointer, faults)
    if item is None:
        return {}
    most = limit_of("labels")
    if len(item) > most:
        rule = f"May have {most} labels at most, found {len(item):,}."
        faults.add(pointer, "too-many", rule)
        return {}
    found = {}
    for key, value in item.items():
        at = child(pointer, key)
        name = as_text(key, at, faults, limit="label_chars")
        text = as_text(value, at, faults, limit="label_chars", may_be_empty=True)
        if name is not None and text is not None:
            found[name] = text
    return found
