"""Boxes of what a front leaves open: disjoint, complete, few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from app.domain.front import hypervolume
from app.suggest.boxes import Boxes, open_boxes
from app.suggest.numerics import Array


def _front(k: int, m: int, seed: int) -> Array:
    """Rows near a sphere about the far corner, some of them dominated or repeated."""
    rng = np.random.default_rng(seed)
    rows = rng.random((k, m))
    rows[: k // 2] = 1.0 - rows[: k // 2] / np.linalg.norm(rows[: k // 2], axis=1)[:, None]
    return np.vstack([rows, rows[:2]])


def _holds(boxes: Boxes, y: Array) -> Array:
    """How many boxes hold each of the values (n, m), shape (n,)."""
    inside = (y[:, None, :] > boxes.lower) & (y[:, None, :] <= boxes.upper)
    return np.asarray(inside.all(axis=2).sum(axis=1))


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("k", [2, 3, 10, 60])
def test_every_open_value_lies_in_one_box_and_no_other_value_in_any(m: int, k: int) -> None:
    front, reference = _front(k, m, seed=k), np.full(m, 1.1)
    y = np.random.default_rng(1).uniform(-0.3, 1.3, (4000, m))
    is_open = (y < reference).all(axis=1) & ~(front[:, None, :] <= y).all(axis=2).any(axis=0)
    np.testing.assert_array_equal(_holds(open_boxes(front, reference), y), is_open)


@pytest.mark.parametrize("m", [2, 3])
def test_volume_of_the_boxes_and_of_the_front_fill_the_whole(m: int) -> None:
    front, reference = _front(40, m, seed=3), np.full(m, 1.1)
    boxes = open_boxes(front, reference)
    volume = np.prod(boxes.upper - np.maximum(boxes.lower, -2.0), axis=1).sum()
    dominated = hypervolume(front.tolist(), reference.tolist())
    assert dominated is not None
    assert volume + dominated == pytest.approx(3.1**m, rel=1e-12)


@pytest.mark.parametrize("m", [2, 3])
def test_there_are_at_most_two_boxes_a_point_and_one(m: int) -> None:
    rng = np.random.default_rng(0)
    sphere = np.abs(rng.standard_normal((80, m)))
    front = 1.0 - sphere / np.linalg.norm(sphere, axis=1)[:, None]
    boxes = open_boxes(front, np.full(m, 1.1))
    assert len(boxes.upper) <= (81 if m == 2 else 161)
    assert (boxes.upper > boxes.lower).all()
    assert np.isfinite(boxes.upper).all()


@pytest.mark.parametrize("m", [1, 2, 3])
def test_without_a_front_there_is_one_box_up_to_the_reference(m: int) -> None:
    for rows in (np.empty((0, m)), np.full((2, m), 5.0)):
        boxes = open_boxes(rows, np.ones(m))
        np.testing.assert_array_equal(boxes.upper, np.ones((1, m)))
        np.testing.assert_array_equal(boxes.lower, np.full((1, m), -math.inf))


def test_points_that_tie_in_one_objective_leave_no_empty_box() -> None:
    front = np.array([[0.0, 1.0, 0.5], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5], [0.5, 0.5, 0.5]])
    boxes = open_boxes(front, np.full(3, 2.0))
    assert (boxes.upper > boxes.lower).all()


def test_more_than_three_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 3"):
        open_boxes(np.zeros((1, 4)), np.ones(4))
