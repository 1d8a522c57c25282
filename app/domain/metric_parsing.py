"""Parses metrics and known linear constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .checking import (
    Faults,
    Fields,
    as_float,
    as_list,
    as_object,
    as_text,
    child,
    names_of,
    note_repeats,
    shown,
    word,
)
from .space import CategoricalParameter, LinearConstraint, Parameter
from .study import Direction, Metric

ROLES = ("objective", "constraint")
OPERATORS = ("<=", ">=", "==")
LARGEST_SUM = 1e300
"""Of the terms of a constraint: room enough that no sum or tolerance overflows."""
ROUNDING = 2.0**-49
"""Of a constraint, by the largest sum: eight units in the last place."""


def parse_metrics(raw: object, pointer: str, faults: Faults) -> tuple[Metric, ...]:
    """The declared metrics: at least one, names unique, at least one of role objective."""
    items = as_list(raw, pointer, faults, limit="metrics")
    if items is None:
        return ()
    if not items:
        faults.add(pointer, "no-metric", "A study has at least one metric, found none.")
        return ()
    metrics = [_metric(item, child(pointer, k), faults) for k, item in enumerate(items)]
    kept = tuple(metric for metric in metrics if metric is not None)
    note_repeats(names_of(items), pointer, faults, what="Metric")
    if all(isinstance(item, Mapping) and item.get("role") == "constraint" for item in items):
        rule = "At least one metric has the role objective, found constraints only."
        faults.add(pointer, "no-objective-metric", rule)
    return kept


def _metric(raw: object, pointer: str, faults: Faults) -> Metric | None:
    item = as_object(raw, pointer, faults)
    if item is None:
        return None
    before = len(faults)
    fields = Fields(item, pointer, faults, ("name", "direction", "role", "threshold"))
    name = fields.read("name", as_text, is_required=True)
    direction = fields.read("direction", word(Direction, what="direction"), is_required=True)
    role = fields.read("role", word(ROLES, what="role")) or "objective"
    threshold = fields.read("threshold", as_float)
    if role == "constraint" and not fields.has("threshold"):
        rule = "A metric of role constraint needs a threshold, found none."
        faults.add(fields.at("threshold"), "no-threshold", rule)
    elif role == "objective" and fields.has("threshold"):
        rule = f"Only a metric of role constraint has a threshold, found {shown(threshold)}."
        faults.add(fields.at("threshold"), "threshold-without-constraint", rule)
    if name is None or direction is None or len(faults) > before:
        return None
    return Metric(name=name, direction=Direction(direction), role=role, threshold=threshold)


def parse_constraints(
    raw: object, pointer: str, faults: Faults, *, parameters: Sequence[Parameter], names: set[str]
) -> tuple[LinearConstraint, ...]:
    """The known linear constraints.

    Args:
        raw: the list as it came.
        pointer: where it stands.
        faults: where faults go.
        parameters: the parameters without faults.
        names: names of all parameters, those with faults too.
    """
    items = as_list(raw, pointer, faults, limit="constraints")
    by_name = {parameter.name: parameter for parameter in parameters}
    found = [
        _constraint(item, child(pointer, k), faults, by_name, names)
        for k, item in enumerate(items or ())
    ]
    return tuple(constraint for constraint in found if constraint is not None)


def _constraint(
    raw: object, pointer: str, faults: Faults, by_name: Mapping[str, Parameter], names: set[str]
) -> LinearConstraint | None:
    item = as_object(raw, pointer, faults)
    if item is None:
        return None
    before = len(faults)
    fields = Fields(item, pointer, faults, ("terms", "op", "bound"))
    terms = fields.read("terms", as_object, is_required=True)
    op = fields.read("op", word(OPERATORS, what="operator"), is_required=True)
    bound = fields.read("bound", as_float, is_required=True)
    if terms is not None and not terms:
        faults.add(fields.at("terms"), "empty", "A constraint has at least one term, found none.")
    kept = _terms(terms or {}, fields.at("terms"), faults, by_name, names)
    if op is None or bound is None or len(faults) > before:
        return None
    largest = _largest_sum(kept, bound, by_name)
    if not largest <= LARGEST_SUM:
        rule = f"The terms at their largest and the bound add up to {LARGEST_SUM:.0e} at most."
        faults.add(pointer, "out-of-range", rule)
        return None
    return LinearConstraint(terms=kept, op=op, bound=bound, rounding=ROUNDING * largest)


def _largest_sum(
    terms: Mapping[str, float], bound: float, by_name: Mapping[str, Parameter]
) -> float:
    """The bound and every term at the far end of its range, without their signs; parameters with
    faults of their own are left out.
    """
    total = abs(bound)
    for name, factor in terms.items():
        parameter = by_name.get(name)
        if parameter is not None and not isinstance(parameter, CategoricalParameter):
            total += abs(factor) * max(abs(parameter.low), abs(parameter.high))
    return total


def _terms(
    terms: Mapping[object, object],
    pointer: str,
    faults: Faults,
    by_name: Mapping[str, Parameter],
    names: set[str],
) -> dict[str, float]:
    """Coefficients by parameter name, each of a numeric parameter of the space."""
    kept: dict[str, float] = {}
    for name, value in terms.items():
        if faults.is_full:
            break
        at = child(pointer, name)
        if not isinstance(name, str) or name not in names:
            rule = f"There is no parameter {shown(name)}{faults.near_miss(name, names)}"
            faults.add(at, "constraint-on-unknown", rule)
        elif isinstance(by_name.get(name), CategoricalParameter):
            rule = f"A constraint is over numeric parameters; {shown(name)} is categorical."
            faults.add(at, "constraint-on-categorical", rule)
        else:
            coefficient = as_float(value, at, faults)
            if coefficient is not None:
                kept[name] = coefficient
    return kept
