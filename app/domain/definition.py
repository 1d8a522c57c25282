"""Parses and checks a study definition: every fault at once, each with its JSON pointer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import InvalidInput
from .catalog import EARLY_STOPPING, SUGGESTERS, SuggesterInfo
from .changes import UNSET, Changes, apply_changes, differences, parse_changes
from .checking import Faults, Fields, as_object, as_text, child, names_of, shown
from .definition_json import definition_to_json
from .early_stopping_check import check_early_stopping, early_stopping_warnings
from .grid_size import grid_points
from .limit_fields import TOP_FIELDS
from .metric_parsing import parse_constraints, parse_metrics
from .objective_check import check_parameters, objective_warnings, parse_objective
from .part_parsing import (
    parse_description,
    parse_failure_policy,
    parse_labels,
    parse_limits,
    parse_resources,
)
from .settings_parsing import as_setting, parse_settings
from .sizes import limit_of
from .space import LinearConstraint, Parameter, Space
from .space_parsing import parse_space
from .study import EarlyStoppingRef, ObjectiveRef, StudyDefinition, SuggesterRef
from .webhook import parse_webhook
from .worker import ObjectiveOffer

__all__ = [
    "FIELDS",
    "UNSET",
    "Changes",
    "Checked",
    "apply_changes",
    "definition_from_json",
    "definition_to_json",
    "differences",
    "parse_changes",
    "parse_definition",
]

FIELDS = (
    "name",
    "description",
    "objective",
    "metrics",
    "space",
    "constraints",
    "suggester",
    "early_stopping",
    "limits",
    "failure_policy",
    "resources",
    "labels",
    "priority",
    "webhook",
)
"""The fields of a study definition; name, metrics and space are required."""

_REF_FIELDS = ("name", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A definition without faults.

    Attributes:
        definition: the definition, normalised.
        warnings: one sentence each on what a person should know before submitting it.
        seed_given: whether the suggester's seed was given, not drawn.
    """

    definition: StudyDefinition
    warnings: tuple[str, ...] = ()
    seed_given: bool = True


def parse_definition(
    raw: object,
    *,
    draw_seed: Callable[[], int],
    offers: Sequence[ObjectiveOffer] | None = (),
) -> Checked:
    """A checked study definition from untyped JSON.

    Args:
        raw: the body: an object of `FIELDS`; optional fields may be null.
        draw_seed: gives the suggester's seed when the body has none; called at most once.
        offers: what the workers now registered can evaluate; the objective's options and
            parameters are held against it, or against the built-in one of the name. None: they
            are not checked.

    Raises:
        InvalidInput: invalid-study, with all faults (1,000 at most).
    """
    faults = Faults()
    item = as_object(raw, "", faults)
    if item is None:
        faults.refuse("study definition", code="invalid-study")
    checked = _definition(Fields(item, "", faults, FIELDS), draw_seed, offers)
    if checked is None or len(faults):
        faults.refuse("study definition", code="invalid-study")
    return checked


def definition_from_json(raw: object) -> StudyDefinition:
    """A definition from the JSON of `definition_to_json`, for the store.

    The objective's options and parameters are not checked again: what workers offer may have
    changed since, and a study that exists stays readable.

    Raises:
        InvalidInput: invalid-study, when it is no such JSON.
    """
    return parse_definition(raw, draw_seed=_no_seed, offers=None).definition


def _no_seed() -> int:
    raise InvalidInput("A stored study definition has a seed.", code="invalid-study")


def _definition(
    fields: Fields, draw_seed: Callable[[], int], offers: Sequence[ObjectiveOffer] | None
) -> Checked | None:
    faults = fields.faults
    name = fields.read("name", as_text, is_required=True)
    description = fields.read("description", parse_description) or ""
    objective = fields.read("objective", partial(parse_objective, offers=offers))
    metrics = fields.read("metrics", parse_metrics, is_required=True) or ()
    parameters = fields.read("space", parse_space, is_required=True) or ()
    space = Space(parameters=parameters, constraints=_constraints(fields, parameters))
    if objective is not None:
        names, at = names_of(_items(fields)), fields.at("space")
        check_parameters(objective, names, parameters, at, faults, offers)
    suggester = _suggester(fields, space)
    stopping = _early_stopping(fields, objective, parameters, offers)
    limits = parse_limits(fields.raw("limits"), fields.at("limits"), faults)
    policy = parse_failure_policy(fields.raw("failure_policy"), fields.at("failure_policy"), faults)
    resources = parse_resources(fields.raw("resources"), fields.at("resources"), faults)
    labels = fields.read("labels", parse_labels) or {}
    priority = fields.read("priority", _scalar("priority"))
    webhook = fields.read("webhook", parse_webhook)
    if name is None or len(faults):
        return None
    definition = StudyDefinition(
        name=name,
        description=description,
        objective=objective,
        metrics=metrics,
        space=space,
        suggester=SuggesterRef(
            name=suggester.name,
            seed=draw_seed() if suggester.seed is None else suggester.seed,
            options=suggester.options,
        ),
        early_stopping=stopping,
        limits=limits,
        failure_policy=policy,
        resources=resources,
        labels=labels,
        priority=priority or 0,
        webhook=webhook,
    )
    return Checked(
        definition=definition,
        warnings=tuple(_warnings(definition, offers)),
        seed_given=suggester.seed is not None,
    )


def _scalar(name: str) -> Callable[[object, str, Faults], Any]:
    """A reader of a field of `TOP_FIELDS`."""
    return lambda value, pointer, faults: as_setting(value, TOP_FIELDS[name], pointer, faults)


def _constraints(fields: Fields, parameters: Sequence[Parameter]) -> tuple[LinearConstraint, ...]:
    names = {name for name in names_of(_items(fields)) if name is not None}
    read = partial(parse_constraints, parameters=parameters, names=names)
    return fields.read("constraints", read) or ()


def _items(fields: Fields) -> Sequence[object]:
    """The items of the space as they came, up to the bound."""
    raw = fields.raw("space")
    return raw[: limit_of("parameters")] if isinstance(raw, (list, tuple)) else ()


@dataclass(frozen=True, slots=True)
class _Suggester:
    """A suggester whose seed may still have to be drawn."""

    name: str
    seed: int | None
    options: Mapping[str, Any]


def _suggester(fields: Fields, space: Space) -> _Suggester:
    inner = _reference(fields, "suggester", ("name", "seed", "options"))
    name = _known_name(inner, SUGGESTERS, "suggester", "auto")
    seed = inner.read("seed", _scalar("seed"))
    options = _options(inner, SUGGESTERS.get(name or ""))
    if name == "grid":
        _check_grid(fields, space)
    return _Suggester(name or "auto", seed, options)


def _early_stopping(
    fields: Fields,
    objective: ObjectiveRef | None,
    parameters: Sequence[Parameter],
    offers: Sequence[ObjectiveOffer] | None,
) -> EarlyStoppingRef:
    inner = _reference(fields, "early_stopping", _REF_FIELDS)
    name = _known_name(inner, EARLY_STOPPING, "early-stopping rule", "none")
    before = len(fields.faults)
    rule = EarlyStoppingRef(
        name=name or "none", options=_options(inner, EARLY_STOPPING.get(name or ""))
    )
    if len(fields.faults) > before:
        return rule
    at = fields.at("early_stopping")
    return check_early_stopping(rule, objective, parameters, at, fields.faults, offers)


def _reference(fields: Fields, name: str, known: Sequence[str]) -> Fields:
    """The fields of an object that names something; empty when it is left out or wrong."""
    return Fields(fields.read(name, as_object) or {}, fields.at(name), fields.faults, known)


def _known_name(
    fields: Fields,
    table: Mapping[str, SuggesterInfo],
    what: str,
    default: str,
) -> str | None:
    """The name of a table's entry, `default` when left out, None with a fault."""
    if not fields.has("name"):
        return default
    name, pointer = fields.raw("name"), fields.at("name")
    if isinstance(name, str) and name in table:
        return name
    known = f"Known: {', '.join(table)}."
    if isinstance(name, str):
        code = f"unknown-{what.replace(' ', '-').removesuffix('-rule')}"
        detail = f"Unknown {what} {shown(name)}{fields.faults.near_miss(name, table)} {known}"
        fields.faults.add(pointer, code, detail)
    else:
        fields.faults.add(pointer, "wrong-type", f"Must be a string, found {shown(name)}.")
    return None


def _options(fields: Fields, info: SuggesterInfo | None) -> Mapping[str, Any]:
    """The options of a known entry with defaults; those of an unknown one are not judged."""
    if info is None:
        fields.read("options", as_object)
        return {}
    raw, pointer = fields.raw("options"), fields.at("options")
    return parse_settings(raw, info.options, pointer, fields.faults, what="option")


def _check_grid(fields: Fields, space: Space) -> None:
    """Note what keeps a space from being run as a grid."""
    for index, item in enumerate(_items(fields)):
        if isinstance(item, Mapping) and item.get("type") == "float" and item.get("step") is None:
            rule = f"The suggester grid needs a step for every float, {shown(item.get('name'))} has"
            at = child(fields.at("space"), index)
            fields.faults.add(f"{at}/step", "grid-needs-step", f"{rule} none.")
    count, most = grid_points(space), limit_of("grid_points")
    if count is not None and count > most:
        rule = f"A grid may have {most:,} points at most, this space has {_rounded(count)}."
        fields.faults.add(fields.at("suggester"), "grid-too-large", rule)


def _rounded(count: int) -> str:
    return f"{count:,}" if count < 10**15 else f"about 10^{len(str(count)) - 1}"


def _warnings(definition: StudyDefinition, offers: Sequence[ObjectiveOffer] | None) -> list[str]:
    limits = definition.limits
    found = []
    if limits.max_trials is None and definition.suggester.name != "grid":
        found.append("There is no max_trials: the study goes on until another limit or a person.")
    most, at_once = limits.max_trials, limits.max_parallel
    if most is not None and at_once is not None and at_once > most:
        found.append(f"max_parallel {at_once} is larger than max_trials {most}.")
    found += objective_warnings(definition.objective, definition.metrics, offers)
    return found + early_stopping_warnings(definition, offers)
