"""Copies with some fields changed: as the standard library makes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from app.domain.copies import with_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Two fields, one with a default."""

    x: int
    y: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Open:
    """No slots."""

    x: int = 0
    y: int = 0


@dataclass(frozen=True, slots=True)
class Checked:
    """Looks at itself."""

    x: int = 0
    y: int = 0

    def __post_init__(self) -> None:
        assert self.x >= 0


def test_a_copy_is_that_of_the_standard_library() -> None:
    point = Point(x=1)
    assert with_fields(point, x=2) == replace(point, x=2)
    assert with_fields(point, y=(3,), x=0) == Point(x=0, y=(3,))
    assert with_fields(point).y is point.y
    assert point == Point(x=1)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Point has no field 'z'"):
        with_fields(Point(x=1), z=2)


@pytest.mark.parametrize("value", [Open(), Checked(), 3])
def test_only_what_can_be_copied_so_is(value: object) -> None:
    with pytest.raises(TypeError, match=r"is no dataclass|checks itself"):
        with_fields(value, x=1)
