"""Changes to a study that exists, and the differences between two definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from .checking import Faults, Fields, as_object, child, shown
from .definition_json import definition_to_json
from .limit_fields import RESOURCE_FIELDS, TOP_FIELDS
from .part_parsing import (
    parse_description,
    parse_given_limits,
    parse_given_resources,
    parse_labels,
)
from .settings_parsing import as_setting
from .space import same_value
from .study import Limits, StudyDefinition
from .webhook import Webhook, parse_webhook

CHANGEABLE = ("limits", "priority", "labels", "description", "resources", "webhook")
"""What a PATCH may change."""

_FIXED = (
    "name",
    "objective",
    "metrics",
    "space",
    "constraints",
    "suggester",
    "early_stopping",
    "failure_policy",
)


class _Unset(Enum):
    """The one value that says: not given."""

    UNSET = "unset"

    def __bool__(self) -> Literal[False]:
        return False


UNSET: Final = _Unset.UNSET
Unset: TypeAlias = Literal[_Unset.UNSET]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a PATCH changes; `UNSET` is left as it is.

    Attributes:
        limits: the given limits by name, None for one that is taken away.
        priority: the new priority.
        labels: all labels that the study then has.
        description: the new description.
        resources: the given resources by name.
        webhook: the new webhook, None for none.
    """

    limits: Mapping[str, Any] | Unset = UNSET
    priority: int | Unset = UNSET
    labels: Mapping[str, str] | Unset = UNSET
    description: str | Unset = UNSET
    resources: Mapping[str, Any] | Unset = UNSET
    webhook: Webhook | Unset | None = UNSET


def parse_changes(raw: object) -> Changes:
    """The changes of a PATCH body, in the sense of a merge patch.

    `limits` and `resources` are taken field by field; a null limit is taken away, a null resource
    gets its default. `labels` is replaced whole. A null `labels`, `description` or `priority`
    is emptied, or 0; a null `limits` takes all of them away, a null `webhook` takes it away.

    Raises:
        InvalidInput: invalid-study, with all faults.
    """
    faults = Faults()
    item = as_object(raw, "", faults)
    if item is None:
        faults.refuse("change", code="invalid-study")
    open_fields = {name: value for name, value in item.items() if name not in _FIXED}
    fields = Fields(open_fields, "", faults, CHANGEABLE)
    for name in item:
        if name in _FIXED:
            rule = f"{shown(name)} cannot be changed once the study exists."
            faults.add(child("", name), "not-changeable", rule)
    changes = Changes(
        limits=_limits(fields) if "limits" in item else UNSET,
        priority=_priority(fields) if "priority" in item else UNSET,
        labels=fields.read("labels", parse_labels) or {} if "labels" in item else UNSET,
        description=_description(fields) if "description" in item else UNSET,
        resources=_resources(fields) if "resources" in item else UNSET,
        webhook=fields.read("webhook", parse_webhook) if "webhook" in item else UNSET,
    )
    if len(faults):
        faults.refuse("change", code="invalid-study")
    return changes


def _limits(fields: Fields) -> Mapping[str, Any]:
    if not fields.has("limits"):
        return {field.name: None for field in dataclass_fields(Limits)}
    return parse_given_limits(fields.raw("limits"), fields.at("limits"), fields.faults)


def _resources(fields: Fields) -> Mapping[str, Any]:
    if not fields.has("resources"):
        return {name: spec.default for name, spec in RESOURCE_FIELDS.items()}
    return parse_given_resources(fields.raw("resources"), fields.at("resources"), fields.faults)


def _priority(fields: Fields) -> int:
    spec = TOP_FIELDS["priority"]
    found = fields.read("priority", lambda v, p, f: as_setting(v, spec, p, f))
    return int(spec.default if found is None else found)


def _description(fields: Fields) -> str:
    return fields.read("description", parse_description) or ""


def apply_changes(definition: StudyDefinition, changes: Changes) -> StudyDefinition:
    """The definition with the changes made."""
    limits, resources = changes.limits, changes.resources
    return replace(
        definition,
        limits=replace(definition.limits, **limits) if limits else definition.limits,
        resources=replace(definition.resources, **resources) if resources else definition.resources,
        priority=definition.priority if changes.priority is UNSET else changes.priority,
        labels=definition.labels if changes.labels is UNSET else changes.labels,
        description=definition.description if changes.description is UNSET else changes.description,
        webhook=definition.webhook if changes.webhook is UNSET else changes.webhook,
    )


def differences(
    a: StudyDefinition, b: StudyDefinition, *, seed_given: bool = True
) -> list[dict[str, Any]]:
    """Where two definitions differ: `{pointer, stored, given}` each, without what may be changed.

    Args:
        a: the stored definition.
        b: the given one.
        seed_given: False when the seed of `b` was drawn: then the seeds are not compared.
    """
    stored, given = definition_to_json(a), definition_to_json(b)
    for name in CHANGEABLE:
        del stored[name], given[name]
    if not seed_given:
        del stored["suggester"]["seed"], given["suggester"]["seed"]
    return [
        {"pointer": pointer, "stored": left, "given": right}
        for pointer, left, right in _differences(stored, given, "")
    ]


def _differences(stored: Any, given: Any, pointer: str) -> Iterator[tuple[str, Any, Any]]:
    """Leaves that differ; a member that one side does not have counts as null."""
    if isinstance(stored, dict) and isinstance(given, dict):
        for name in dict.fromkeys((*stored, *given)):
            yield from _differences(stored.get(name), given.get(name), child(pointer, name))
    elif isinstance(stored, list) and isinstance(given, list):
        for index in range(max(len(stored), len(given))):
            left = stored[index] if index < len(stored) else None
            right = given[index] if index < len(given) else None
            yield from _differences(left, right, child(pointer, index))
    elif not same_value(stored, given):
        yield pointer, stored, given
