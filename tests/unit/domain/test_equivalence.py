"""Canonical points: what counts as the same."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.equivalence import digest_of


def test_the_order_of_a_points_members_does_not_matter() -> None:
    assert digest_of({"a": 1, "b": {"c": 2, "d": 3}}) == digest_of({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize(("one", "other"), [(16, 16.0), (0, -0.0), ([1, 2.0], [1.0, 2])])
def test_numbers_that_are_equal_are_the_same(one: Any, other: Any) -> None:
    assert digest_of({"a": one}) == digest_of({"a": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, "1"), (1, True), (0, False), (None, 0), (0.1, 0.1 + 2**-50), ([1, 2], [2, 1]), (1e300, 1)],
)
def test_values_that_differ_are_not_the_same(one: Any, other: Any) -> None:
    assert digest_of({"a": one}) != digest_of({"a": other})


def test_a_member_more_is_another_point() -> None:
    assert digest_of({"a": 1}) != digest_of({"a": 1, "b": None})
