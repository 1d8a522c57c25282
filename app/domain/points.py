"""Checks and normalises one point of a search space: what users enqueue and clients send back."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..errors import Fault
from .checking import Faults, as_object, child, shown
from .space import (
    Condition,
    LinearConstraint,
    Parameter,
    Params,
    Space,
    Value,
    is_active,
)
from .values import check_value

BALANCE_TOLERANCE = 1e-9
"""How far, relative to its largest part, the sum of a linear constraint may miss the bound."""


def check_point(
    space: Space, params: object, *, partial: bool, pointer: str
) -> tuple[dict[str, Value], list[Fault]]:
    """The point as the space keeps it, in the order of the space, and what is wrong with it.

    Args:
        space: the search space.
        params: values by parameter name, as they came.
        partial: whether active parameters may be left out, to be completed by the suggester. A
            parameter with a condition may then be given only along with its parent.
        pointer: where the point stands, e.g. "/trials/0/params".

    A point that is complete also has to meet the space's linear constraints.

    Returns:
        The valid values, and the faults; only without faults is the point fit for use.
    """
    faults = Faults()
    given = as_object(params, pointer, faults)
    if given is None:
        return {}, list(faults.items)
    names = space.names
    for name in given:
        if faults.is_full:
            break
        if name not in names:
            miss = faults.near_miss(name, names)
            detail = f"There is no parameter {shown(name)}{miss}"
            faults.add(child(pointer, name), "unknown-parameter", detail)
    point = _walk(space, given, partial, pointer, faults)
    if not len(faults) and is_complete(space, point):
        _check_constraints(space, point, pointer, faults)
    return point, list(faults.items)


def _walk(
    space: Space, given: Mapping[object, object], partial: bool, pointer: str, faults: Faults
) -> dict[str, Value]:
    """Check the parameters in order; whether one is active is known once its parents are."""
    point: dict[str, Value] = {}
    unknown: set[str] = set()  # faulty or left out: what hangs on them cannot be judged
    for parameter in space.parameters:
        name, at = parameter.name, child(pointer, parameter.name)
        when = parameter.when
        if when is not None and when.param in unknown:
            unknown.add(name)
            if name in given:
                check_value(parameter, given[name], at, faults)
                _note_missing_parent(parameter, when, given, at, faults)
        elif not is_active(parameter, point):
            if name in given:
                faults.add(at, "inactive-parameter", _inactive(parameter, point))
        elif name in given:
            value = check_value(parameter, given[name], at, faults)
            if value is None:
                unknown.add(name)
            else:
                point[name] = value
        else:
            unknown.add(name)
            if not partial:
                rule = f"The active parameter {shown(name)} has no value."
                faults.add(at, "missing-parameter", rule)
    return point


def _note_missing_parent(
    parameter: Parameter,
    when: Condition,
    given: Mapping[object, object],
    pointer: str,
    faults: Faults,
) -> None:
    """A value whose parent is left out: nobody could say whether it counts."""
    if when.param not in given:
        rule = f"{shown(parameter.name)} is active only for some values of {shown(when.param)}"
        faults.add(pointer, "missing-parent", f"{rule}; give that one too.")


def _inactive(parameter: Parameter, point: Params) -> str:
    when = parameter.when
    if when is None or when.param not in point:
        return f"{shown(parameter.name)} is inactive here: leave it out."
    found = f"{shown(when.param)} {shown(point[when.param])}"
    return f"{shown(parameter.name)} is inactive with {found}: leave it out."


def constraint_holds(constraint: LinearConstraint, params: Params) -> bool:
    """Whether a point meets a linear constraint; a parameter that is not in the point counts as 0.

    Rounding is forgiven: `BALANCE_TOLERANCE` times the largest of the bound and the terms, and that
    of the ranges.
    """
    parts = [
        coefficient * _number(params.get(name)) for name, coefficient in constraint.terms.items()
    ]
    total = math.fsum(parts)
    largest = max(1e-300, abs(constraint.bound), *(abs(part) for part in parts))
    slack = BALANCE_TOLERANCE * largest + constraint.rounding
    if constraint.op == "<=":
        return total <= constraint.bound + slack
    if constraint.op == ">=":
        return total >= constraint.bound - slack
    return abs(total - constraint.bound) <= slack


def _number(value: Value | None) -> float:
    return 0.0 if value is None or isinstance(value, (str, bool)) else float(value)


def _check_constraints(space: Space, point: Params, pointer: str, faults: Faults) -> None:
    for index, constraint in enumerate(space.constraints):
        if not constraint_holds(constraint, point):
            terms = " + ".join(f"{c} * {shown(name)}" for name, c in constraint.terms.items())
            rule = f"Constraint {index} of the study: {terms} {constraint.op} {constraint.bound}"
            faults.add(pointer, "constraint-violated", f"{rule}; the point does not meet it.")


def is_complete(space: Space, params: Params) -> bool:
    """Whether a valid point has a value for every parameter that is active in it."""
    return all(p.name in params or not is_active(p, params) for p in space.parameters)
