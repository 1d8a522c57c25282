"""Empty regions are found at creation, and only those."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    LinearConstraint,
    Parameter,
    Space,
)
from app.suggest.design import satisfies
from app.suggest.enumeration import Enumeration
from app.suggest.feasible import has_point, point_within

A, B = (IntParameter(name=name, low=0, high=3) for name in "ab")
X, Y = (FloatParameter(name=name, low=0.0, high=3.0) for name in "xy")


def constraint(op: str, bound: float, **terms: float) -> LinearConstraint:
    return LinearConstraint(terms=terms, op=op, bound=bound)


@pytest.mark.parametrize(
    ("parameters", "constraints", "is_there"),
    [
        ((A, B), (), True),
        ((A, B), (constraint(">=", 6, a=1, b=1),), True),
        ((A, B), (constraint(">=", 7, a=1, b=1),), False),
        ((A, B), (constraint("==", 5, a=2, b=4),), False),  # even, so no whole numbers
        ((X, Y), (constraint("==", 5, x=2, y=4),), True),
        ((X, Y), (constraint("<=", 1, x=1, y=1), constraint(">=", 2, x=1, y=1)), False),
        ((X, Y), (constraint("<=", 1, x=1, y=1), constraint(">=", 1, x=1, y=1)), True),
        ((X, A), (constraint("==", 2.5, a=1), constraint("<=", 3, x=1)), False),
        (
            (FloatParameter(name="s", low=0.1, high=0.7, step=0.2),),
            (constraint("==", 0.5, s=1),),
            True,
        ),
        (
            (FloatParameter(name="s", low=0.1, high=0.7, step=0.2),),
            (constraint("==", 0.4, s=1),),
            False,
        ),
        ((IntParameter(name="n", low=1, high=2**50),), (constraint("<=", -(2**49), n=1),), False),
        ((IntParameter(name="n", low=1, high=2**50),), (constraint("<=", 2**49, n=1),), True),
        ((FloatParameter(name="r", low=1e-9, high=1e-6),), (constraint(">=", 2e-6, r=1),), False),
        ((FloatParameter(name="r", low=-1e300, high=1e-6),), (constraint("<=", 0, r=1),), True),
    ],
)
def test_known_regions(
    parameters: tuple[Parameter, ...], constraints: tuple[LinearConstraint, ...], is_there: bool
) -> None:
    assert has_point(Space(parameters=parameters, constraints=constraints)) is is_there


def test_an_inactive_parameter_counts_as_nought() -> None:
    kind = CategoricalParameter(name="kind", choices=("on", "off"))
    depth = IntParameter(name="depth", low=2, high=4, when=Condition(param="kind", choices=("on",)))
    width = FloatParameter(name="width", low=5.0, high=9.0, when=Condition(param="depth", low=3.5))
    parameters = (kind, depth, width)

    def region(*constraints: LinearConstraint) -> bool:
        return has_point(Space(parameters=parameters, constraints=constraints))

    assert region(constraint("==", 0, depth=1))
    assert region(constraint("==", 0, width=1), constraint("==", 3, depth=1))
    assert not region(constraint("==", 0, width=1), constraint("==", 4, depth=1))
    assert not region(constraint(">=", 5, width=1), constraint("<=", 3, depth=1))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_finite_space_is_empty_exactly_when_none_of_its_points_will_do(
    data: st.DataObject,
) -> None:
    number = st.integers(-3, 3)
    root = IntParameter(name="a", low=data.draw(number), high=4, step=1)
    low = data.draw(st.one_of(st.none(), number))
    inside = Condition(param="a", low=low, high=None if low is not None else data.draw(number))
    child = IntParameter(name="b", low=1, high=5, step=2, when=inside)
    listed = Condition(param="b", choices=(data.draw(st.sampled_from([1, 3, 5])),))
    grandchild = FloatParameter(name="c", low=-1.0, high=1.0, step=0.5, when=listed)
    made = tuple(
        LinearConstraint(
            terms={name: data.draw(number) for name in "abc"},
            op=data.draw(st.sampled_from(["<=", ">=", "=="])),
            bound=data.draw(st.integers(-12, 12)) / 2,
        )
        for _ in range(data.draw(st.integers(1, 3)))
    )
    space = Space(parameters=(root, child, grandchild), constraints=made)
    points = Enumeration(space)
    every = (points.point(k) for k in range(points.total))
    is_there = any(satisfies(space, point) for point in every)
    assert has_point(space) == is_there
    found = point_within(space, np.random.default_rng(data.draw(st.integers(0, 99))))
    assert satisfies(space, found) if found is not None else not is_there


def test_a_point_has_the_values_that_are_held() -> None:
    kind = CategoricalParameter(name="kind", choices=("on", "off"))
    width = FloatParameter(
        name="width", low=5.0, high=9.0, when=Condition(param="kind", choices=("on",))
    )
    space = Space(parameters=(kind, X, A, width), constraints=(constraint("==", 9, x=1, width=1),))
    rng = np.random.default_rng(1)
    found = point_within(space, rng, {"width": 6.5, "a": 2})
    assert found == {"kind": "on", "x": pytest.approx(2.5), "a": 2, "width": pytest.approx(6.5)}
    assert point_within(space, rng, {"width": 5.5}) is None  # x would have to be 3.5


def test_real_numbers_are_drawn_between_corners() -> None:
    space = Space(parameters=(X, Y), constraints=(constraint("==", 5, x=2, y=4),))
    rng = np.random.default_rng(1)
    found = [point_within(space, rng) for _ in range(20)]
    assert all(point and 2 * point["x"] + 4 * point["y"] == pytest.approx(5) for point in found)
    assert len({str(point) for point in found}) > 5
