"""The size of a grid against walking it."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.grid_size import grid_points
from app.domain.space import Space, point_key, values_of

from .building import check, keep_active, raw_study


def walked(space: Space) -> int:
    """Distinct active points, by walking every combination."""
    lists = [values_of(parameter) or () for parameter in space.parameters]
    points = (dict(zip(space.names, row, strict=True)) for row in itertools.product(*lists))
    return len({point_key(keep_active(space, point)) for point in points})


def space_of(*parameters: dict[str, Any]) -> Space:
    return check(raw_study(space=list(parameters))).definition.space


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to five small discrete parameters with random conditions on earlier ones."""
    raw: list[dict[str, Any]] = []
    for k in range(draw(st.integers(1, 5))):
        item: dict[str, Any] = {"name": f"p{k}"}
        kind = draw(st.sampled_from(["int", "float", "categorical"]))
        if kind == "categorical":
            item |= {"type": kind, "choices": ["a", True, 1, 2.5][: draw(st.integers(1, 4))]}
        else:
            step = 2 if kind == "int" else 0.1
            item |= {"type": kind, "low": 0, "high": 5 if kind == "int" else 0.3, "step": step}
        if raw and draw(st.booleans()):
            parent = draw(st.sampled_from(raw))
            values = parent.get("choices") or ([0, 2, 4] if parent["type"] == "int" else [0, 0.1])
            if parent["type"] == "categorical" or draw(st.booleans()):
                picked = draw(st.lists(st.sampled_from(values), min_size=1, unique_by=repr))
                item["when"] = {"param": parent["name"], "in": picked}
            else:
                item["when"] = {"param": parent["name"], "low": values[1]}
        raw.append(item)
    return space_of(*raw)


@settings(deadline=None)
@given(spaces())
def test_the_count_is_what_walking_the_grid_gives(space: Space) -> None:
    assert grid_points(space) == walked(space)


def test_a_continuous_parameter_has_no_count() -> None:
    assert grid_points(space_of({"name": "x", "type": "float", "low": 0, "high": 1})) is None


def test_a_huge_grid_is_counted_without_walking_it() -> None:
    parameters = [{"name": f"p{k}", "type": "int", "low": 1, "high": 10**9} for k in range(50)]
    assert grid_points(space_of(*parameters)) == 10**450
