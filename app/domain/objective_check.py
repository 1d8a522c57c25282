"""Checks a study's objective, its options and its space against what objectives take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..errors import Fault
from .checking import Faults, Fields, as_object, as_text, child, listed, near_miss, shown
from .free_json import parse_free_object
from .objectives import BUILT_IN
from .schema import (
    Schema,
    as_schema,
    bounds_of,
    check_options,
    enum_of,
    known_names,
    problem,
    properties_of,
    property_of,
    range_rule,
    required_of,
    types_of,
)
from .space import CategoricalParameter, FloatParameter, Parameter, n_values, values_of
from .study import Metric, ObjectiveRef
from .worker import ObjectiveOffer

_MOST_LISTED = 1_000  # values of a numeric parameter that are held against an enum one by one


Offers: TypeAlias = Sequence[ObjectiveOffer] | None


def known_offers(name: str, offers: Offers) -> tuple[ObjectiveOffer, ...]:
    """What is known of an objective: what workers offer under its name, else the built-in one.

    Nothing when `offers` is None.
    """
    if offers is None:
        return ()
    offered = tuple(offer for offer in offers if offer.name == name)
    built_in = BUILT_IN.get(name)
    return offered or (() if built_in is None else (built_in,))


def parse_objective(
    raw: object, pointer: str, faults: Faults, offers: Offers
) -> ObjectiveRef | None:
    """The objective with its options checked; None when clients evaluate the trials."""
    item = None if raw is None else as_object(raw, pointer, faults)
    if item is None:
        return None
    fields = Fields(item, pointer, faults, ("name", "options"))
    name = fields.read("name", as_text, is_required=True)
    options = fields.read("options", parse_free_object) or {}
    if name is None:
        return None
    known = known_offers(name, offers)

    def check(offer: ObjectiveOffer, found: Faults) -> None:
        check_options(options, as_schema(offer.options_schema), fields.at("options"), found)

    faults.extend(_fewest(known, check))
    return ObjectiveRef(name=name, options=_filled(name, options, known))


def _fewest(
    known: Sequence[ObjectiveOffer], check: Callable[[ObjectiveOffer, Faults], None]
) -> tuple[Fault, ...]:
    """The faults against the offer that fits best: workers may offer several versions."""
    best: tuple[Fault, ...] | None = None
    for offer in known:
        found = Faults()
        check(offer, found)
        if best is None or len(found) < len(best):
            best = found.items
    return best or ()


def _filled(
    name: str, options: Mapping[str, Any], known: Sequence[ObjectiveOffer]
) -> dict[str, Any]:
    """The options with the defaults of a built-in objective, unless a worker offers its own."""
    built_in = BUILT_IN.get(name)
    if (
        not known
        or built_in is None
        or any(o.options_schema != built_in.options_schema for o in known)
    ):
        return dict(options)
    properties = properties_of(as_schema(built_in.options_schema))
    defaults = {key: inner["default"] for key, inner in properties.items() if "default" in inner}
    return {**defaults, **options}


def check_parameters(
    objective: ObjectiveRef,
    names: Sequence[str | None],
    parameters: Sequence[Parameter],
    pointer: str,
    faults: Faults,
    offers: Offers,
) -> None:
    """Note parameters that the objective does not take, and values outside what it takes.

    Args:
        objective: the study's objective.
        names: name of every parameter in order, None where it has none.
        parameters: the parameters whose range or choices have no faults.
        pointer: of the space.
        faults: where faults go.
        offers: what workers offer.
    """
    by_name = {parameter.name: parameter for parameter in parameters}

    def check(offer: ObjectiveOffer, found: Faults) -> None:
        _parameters(names, by_name, pointer, offer, found)

    faults.extend(_fewest(known_offers(objective.name, offers), check))


def _parameters(
    names: Sequence[str | None],
    by_name: Mapping[str, Parameter],
    pointer: str,
    offer: ObjectiveOffer,
    faults: Faults,
) -> None:
    schema = as_schema(offer.params_schema)
    for index, name in enumerate(names):
        if name is None:
            continue
        inner, at = property_of(schema, name), child(pointer, index)
        if inner is None:
            takes = known_names(schema)
            what = f"The objective {shown(offer.name)} takes no parameter {shown(name)}"
            detail = f"{what}{near_miss(name, takes)} It takes {', '.join(takes) or 'none'}."
            faults.add(f"{at}/name", "unknown-objective-parameter", detail)
        elif name in by_name:
            _values(by_name[name], at, inner, faults)
    for name in required_of(schema):
        if name not in names:
            rule = f"The objective {shown(offer.name)} needs the parameter {shown(name)}."
            faults.add(pointer, "missing-objective-parameter", rule)


def _values(parameter: Parameter, pointer: str, schema: Schema, faults: Faults) -> None:
    """Hold every value that the parameter can take against the objective's schema of it."""
    if isinstance(parameter, CategoricalParameter):
        for index, choice in enumerate(parameter.choices):
            found = problem(choice, schema)
            if found is not None:
                rule = f"The objective takes no such value: it {found[1]}, found {shown(choice)}."
                faults.add(child(f"{pointer}/choices", index), "objective-refuses", rule)
        return
    fault = _numeric_problem(parameter, schema)
    if fault is not None:
        where, rule = fault
        faults.add(f"{pointer}/{where}", "objective-refuses", rule)


def _numeric_problem(parameter: Any, schema: Schema) -> tuple[str, str] | None:
    types, values = types_of(schema), enum_of(schema)
    is_float = isinstance(parameter, FloatParameter)
    if types and "number" not in types and ("integer" not in types or is_float):
        kind = "float" if is_float else "int"
        return "type", f"The objective takes type {' or '.join(types)} here, found type {kind}."
    low, is_low_open, high, is_high_open = bounds_of(schema)
    rule = range_rule(schema)
    if parameter.low < low or (is_low_open and parameter.low == low):
        return "low", f"The objective's parameter {rule}, found low {shown(parameter.low)}."
    if parameter.high > high or (is_high_open and parameter.high == high):
        return "high", f"The objective's parameter {rule}, found high {shown(parameter.high)}."
    if values is not None and not _all_listed(parameter, schema):
        return "type", f"The objective takes only {listed(values)}; make the parameter categorical."
    return None


def _all_listed(parameter: Parameter, schema: Schema) -> bool:
    count = n_values(parameter)
    if count is None or count > _MOST_LISTED:
        return False
    return all(problem(value, schema) is None for value in values_of(parameter) or ())


def objective_warnings(
    objective: ObjectiveRef | None, metrics: Sequence[Metric], offers: Offers
) -> list[str]:
    """Warnings: an objective that nobody offers, a metric that it does not report, or reversed."""
    if objective is None or offers is None:
        return []
    known = known_offers(objective.name, offers)
    if not known:
        names = sorted({*BUILT_IN, *(offer.name for offer in offers)})
        miss = near_miss(objective.name, names)
        return [f"No worker offers the objective {shown(objective.name)} yet{miss}"]
    reported: dict[str, str] = {}
    for offer in known:
        reported.update(offer.metrics)
    return _metric_warnings(objective.name, metrics, reported) if reported else []


def _metric_warnings(
    objective: str, metrics: Sequence[Metric], reported: Mapping[str, str]
) -> list[str]:
    found = []
    for metric in metrics:
        better = reported.get(metric.name)
        if better is None:
            miss = near_miss(metric.name, reported)
            what = f"The objective {shown(objective)} does not report the metric"
            detail = f"{what} {shown(metric.name)}{miss} It reports {', '.join(sorted(reported))}."
            found.append(detail)
        elif better != metric.direction.value and metric.role == "objective":
            rule = f"The metric {shown(metric.name)} of {shown(objective)} is better when"
            found.append(f"{rule} {better}d, but the study says {metric.direction.value}.")
    return found
