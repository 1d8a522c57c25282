"""Points that users enqueue: normalised, or named with what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.fault_codes import FAULT_CODES
from app.domain.points import check_point, constraint_holds, is_complete
from app.domain.space import LinearConstraint, Space

from .building import CATEGORICAL, FLOAT, INT, check, raw_study

STEPPED = {"name": "rate", "type": "float", "low": 0, "high": 1, "step": 0.1}
CHILD = {
    "name": "depth",
    "type": "int",
    "low": 2,
    "high": 8,
    "step": 2,
    "when": {"param": "kind", "in": ["wide"]},
}
GRANDCHILD = {
    "name": "skip",
    "type": "categorical",
    "choices": [True, False],
    "when": {"param": "depth", "low": 4},
}
GOOD: dict[str, Any] = {"lr": 0.05, "units": 3, "kind": "plain", "rate": 0.5}
WIDE: dict[str, Any] = GOOD | {"kind": "wide", "depth": 4, "skip": False}


def space(**changes: Any) -> Space:
    parameters = [FLOAT, INT, CATEGORICAL, STEPPED, CHILD, GRANDCHILD]
    return check(raw_study(space=parameters, **changes)).definition.space


def faults(params: object, *, partial: bool = False, **changes: Any) -> set[tuple[str, str]]:
    _, found = check_point(space(**changes), params, partial=partial, pointer="/p")
    assert {fault.code for fault in found} <= set(FAULT_CODES)
    return {(fault.pointer, fault.code) for fault in found}


@pytest.mark.parametrize("params", [GOOD, WIDE])
def test_a_good_point_is_kept_in_the_order_of_the_space(params: dict[str, Any]) -> None:
    point, found = check_point(space(), dict(reversed(params.items())), partial=False, pointer="/p")
    assert found == []
    assert point == params
    assert list(point) == [name for name in space().names if name in params]


def test_values_get_the_type_of_their_parameter() -> None:
    given = GOOD | {"units": 3.0, "rate": 1}
    point, found = check_point(space(), given, partial=False, pointer="/p")
    assert found == []
    assert (type(point["units"]), type(point["rate"])) == (int, float)


@pytest.mark.parametrize("given", [0.3, 0.1 * 3, 0.3 + 1e-11])
def test_a_value_near_a_step_becomes_that_step(given: float) -> None:
    point, found = check_point(space(), GOOD | {"rate": given}, partial=False, pointer="/p")
    assert found == []
    assert point["rate"] == 3 * 0.1


@pytest.mark.parametrize(
    ("changes", "where", "code"),
    [
        ({"lr": 1.0}, "/lr", "out-of-range"),
        ({"lr": "0.05"}, "/lr", "wrong-type"),
        ({"lr": True}, "/lr", "wrong-type"),
        ({"lr": None}, "/lr", "wrong-type"),
        ({"lr": float("nan")}, "/lr", "not-finite"),
        ({"units": 2.5}, "/units", "not-an-integer"),
        ({"units": 10}, "/units", "out-of-range"),
        ({"rate": 0.35}, "/rate", "off-step"),
        ({"rate": 1.1}, "/rate", "out-of-range"),
        ({"kind": "thin"}, "/kind", "not-a-choice"),
        ({"kind": 1}, "/kind", "not-a-choice"),
        ({"kind": ["plain"]}, "/kind", "not-a-choice"),
        ({"depth": 4}, "/depth", "inactive-parameter"),
        ({"skip": True}, "/skip", "inactive-parameter"),
        ({"unit": 3}, "/unit", "unknown-parameter"),
        ({"kind": "wide"}, "/depth", "missing-parameter"),
        ({"kind": "wide", "depth": 3}, "/depth", "off-step"),
        ({"kind": "wide", "depth": 2, "skip": True}, "/skip", "inactive-parameter"),
        ({"kind": "wide", "depth": 4, "skip": 1}, "/skip", "not-a-choice"),
    ],
)
def test_a_faulty_value_is_named(changes: dict[str, Any], where: str, code: str) -> None:
    assert faults(GOOD | changes) == {(f"/p{where}", code)}


def test_all_missing_parameters_are_named() -> None:
    assert faults({"lr": 0.05}) == {
        (f"/p/{name}", "missing-parameter") for name in ("units", "kind", "rate")
    }


@pytest.mark.parametrize("params", [None, [], 3, "lr"])
def test_a_point_that_is_no_object_is_refused(params: object) -> None:
    assert faults(params) == {("/p", "wrong-type")}


def test_a_partial_point_may_leave_parameters_out() -> None:
    point, found = check_point(space(), {"kind": "wide"}, partial=True, pointer="/p")
    assert (point, found) == ({"kind": "wide"}, [])
    assert not is_complete(space(), point)
    assert is_complete(space(), WIDE)


def test_a_child_without_its_parent_is_refused() -> None:
    assert faults({"depth": 4}, partial=True) == {("/p/depth", "missing-parent")}


def test_a_partial_point_has_no_inactive_parameters() -> None:
    given = {"kind": "plain", "depth": 4}
    assert faults(given, partial=True) == {("/p/depth", "inactive-parameter")}


def test_values_on_a_faulty_parent_are_still_checked() -> None:
    given = GOOD | {"kind": "thin", "depth": 3}
    assert faults(given) == {("/p/kind", "not-a-choice"), ("/p/depth", "off-step")}


CONSTRAINT = {"terms": {"units": 1, "depth": 2}, "op": "<=", "bound": 9}


def test_a_complete_point_has_to_meet_the_constraints() -> None:
    for partial in (False, True):
        broken = faults(WIDE, partial=partial, constraints=[CONSTRAINT])
        assert broken == {("/p", "constraint-violated")}
    assert faults(GOOD, constraints=[CONSTRAINT]) == set()
    assert faults({"units": 9}, partial=True, constraints=[CONSTRAINT]) == set()


@pytest.mark.parametrize(
    ("op", "bound", "holds"),
    [("<=", 0.3, True), (">=", 0.3, True), ("==", 0.3, True), ("<=", 0.2, False), ("==", 1, False)],
)
def test_a_constraint_forgives_rounding(op: str, bound: float, holds: bool) -> None:
    constraint = LinearConstraint(terms={"a": 1.0, "b": 1.0, "c": 5.0}, op=op, bound=bound)
    assert constraint_holds(constraint, {"a": 0.1, "b": 0.2}) is holds


def test_a_value_that_ought_to_be_nought_need_not_be_exactly() -> None:
    """No coordinate of [-1, 10] comes to 0: the nearest one is some 1e-16."""
    space = [{"name": "a", "type": "float", "low": -1.0, "high": 10.0}]
    constraints = [{"terms": {"a": 2.0}, "op": "==", "bound": 0.0}]
    definition = check(raw_study(space=space, constraints=constraints)).definition
    (constraint,) = definition.space.constraints
    assert constraint_holds(constraint, {"a": 1.1e-16})
    assert not constraint_holds(constraint, {"a": 1e-13})
