"""Numbering finite spaces: every point once, there and back, without listing them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.grid_size import grid_points
from app.domain.space import (
    CategoricalParameter,
    Condition,
    FloatParameter,
    IntParameter,
    Parameter,
    Space,
    point_key,
    values_of,
)
from app.suggest.enumeration import Enumeration, is_finite
from app.suggest.shuffle import Shuffle

from ..domain.building import keep_active


@st.composite
def forests(draw: st.DrawFn) -> Space:
    """A small finite space with conditions on earlier parameters."""
    parameters: list[Parameter] = []
    for k in range(draw(st.integers(1, 5))):
        when = None
        if parameters and draw(st.booleans()):
            parent = draw(st.sampled_from(parameters))
            values = values_of(parent) or ()
            if isinstance(parent, CategoricalParameter) or draw(st.booleans()):
                chosen = draw(st.lists(st.sampled_from(list(values)), min_size=1, unique=True))
                when = Condition(param=parent.name, choices=tuple(chosen))
            else:
                low, high = sorted(draw(st.tuples(st.integers(-1, 5), st.integers(-1, 5))))
                when = Condition(
                    param=parent.name, low=low, high=draw(st.sampled_from([high, None]))
                )
        name, count = f"p{k}", draw(st.integers(1, 4))
        kind = draw(st.sampled_from(["int", "float", "category"]))
        if kind == "int":
            parameters.append(IntParameter(name=name, low=0, high=count, step=1, when=when))
        elif kind == "float":
            parameters.append(
                FloatParameter(name=name, low=0.0, high=0.5 * count, step=0.5, when=when)
            )
        else:
            choices = ("a", True, 1, 2.5)[:count]
            parameters.append(CategoricalParameter(name=name, choices=choices, when=when))
    return Space(parameters=tuple(parameters))


def brute_force(space: Space) -> set[str]:
    """Keys of all points, by walking through every combination."""
    rows: list[dict[str, Any]] = [{}]
    for parameter in space.parameters:
        rows = [{**row, parameter.name: v} for row in rows for v in values_of(parameter) or ()]
    return {point_key(keep_active(space, row)) for row in rows}


@given(space=forests())
@settings(deadline=None)
def test_every_point_has_one_number(space: Space) -> None:
    points = Enumeration(space)
    listed = [points.point(number) for number in range(points.total)]
    keys = [point_key(params) for params in listed]
    assert len(set(keys)) == len(keys)
    assert set(keys) == brute_force(space)
    assert [points.number(params) for params in listed] == list(range(points.total))
    assert points.total == grid_points(space)
    assert all(list(p) == [n for n in space.names if n in p] for p in listed)


def test_the_last_parameter_moves_fastest() -> None:
    space = Space(
        parameters=(
            IntParameter(name="a", low=1, high=2),
            CategoricalParameter(name="b", choices=("x", "y")),
        )
    )
    points = Enumeration(space)
    assert [tuple(points.point(k).values()) for k in range(4)] == [
        (1, "x"),
        (1, "y"),
        (2, "x"),
        (2, "y"),
    ]


def test_a_space_beyond_counting_is_still_numbered() -> None:
    space = Space(parameters=tuple(IntParameter(name=f"i{k}", low=0, high=9) for k in range(60)))
    points = Enumeration(space)
    assert points.total == 10**60
    assert points.number(points.point(10**59 + 7)) == 10**59 + 7


def test_what_is_no_point_has_no_number() -> None:
    space = Space(parameters=(IntParameter(name="a", low=0, high=8, step=2),))
    points = Enumeration(space)
    assert points.number({"a": 3}) is None
    assert points.number({}) is None
    assert points.numbers([{"a": 3}, {"a": 4}]) == {2}


def test_continuous_spaces_are_refused() -> None:
    space = Space(parameters=(FloatParameter(name="x", low=0.0, high=1.0),))
    assert not is_finite(space)
    with pytest.raises(ValueError, match="continuous"):
        Enumeration(space)


@given(size=st.integers(1, 3_000), seed=st.integers(0, 2**63))
@settings(deadline=None)
def test_a_shuffle_is_a_permutation(size: int, seed: int) -> None:
    order = Shuffle(size, seed)
    assert sorted(order[k] for k in range(size)) == list(range(size))


def test_a_shuffle_mixes_and_depends_on_the_seed() -> None:
    first, second = Shuffle(1_000, 1), Shuffle(1_000, 2)
    rows = [first[k] for k in range(1_000)]
    assert rows != [second[k] for k in range(1_000)]
    assert sum(abs(a - b) == 1 for a, b in pairwise(rows)) < 20
    assert abs(sum(rows[:100]) / 100 - 500) < 120
