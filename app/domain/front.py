"""The Pareto front of several metrics and the hypervolume that it dominates."""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Sequence
from typing import TypeAlias

from .study import Direction

Point: TypeAlias = tuple[float, ...]


def _costs(values: Sequence[Sequence[float]], directions: Sequence[Direction]) -> list[Point]:
    """The values with every metric to be minimised."""
    signs = [-1.0 if direction is Direction.MAXIMIZE else 1.0 for direction in directions]
    return [tuple(s * v for s, v in zip(signs, row, strict=True)) for row in values]


def pareto_front(values: Sequence[Sequence[float]], directions: Sequence[Direction]) -> list[int]:
    """Indices of the rows that no other row dominates, in ascending order.

    A row dominates another when it is at least as good in every metric and better in one. Equal
    rows stand on the front together. Rows with a value that is not finite are left out.

    Args:
        values: (n, m) values as reported.
        directions: (m,) which values are better.

    Raises:
        ValueError: a row has not one value for each direction.
    """
    places: dict[Point, list[int]] = {}
    for index, row in enumerate(_costs(values, directions)):
        if all(math.isfinite(v) for v in row):
            places.setdefault(row, []).append(index)
    rows = sorted(places)
    kept = _lowest_stairs(rows) if len(directions) <= 2 else _undominated(rows)
    return sorted(index for row in kept for index in places[row])


def _lowest_stairs(rows: Sequence[Point]) -> list[Point]:
    """The front of distinct rows of one or two metrics in lexicographic order: one sweep."""
    front: list[Point] = []
    for row in rows:
        if not front or (len(row) == 2 and row[1] < front[-1][1]):
            front.append(row)
    return front


def _undominated(rows: Sequence[Point]) -> list[Point]:
    """The front of distinct rows in lexicographic order: no row is dominated by a later one.

    Of three metrics the rows before one are a staircase along the other two: O(n log n).
    """
    stairs: list[Point] = []
    if rows and len(rows[0]) == 3:
        return [row for row in rows if _add_stair(stairs, row[1:]) is not None]
    front: list[Point] = []
    for row in rows:
        if not any(_dominates(other, row) for other in reversed(front)):
            front.append(row)
    return front


def _dominates(a: Point, b: Point) -> bool:
    """Whether a is at least as good as b in every metric; the two are not equal."""
    return all(map(operator.le, a, b))


def reference_point(
    front: Sequence[Sequence[float]], directions: Sequence[Direction]
) -> Point | None:
    """The reference point when nobody gave one; None for an empty front, and where a coordinate
    would be larger than any float.

    Per metric, taken as one to be minimised: 1.1 times the worst value on the front, 0.9 times
    it where it is negative; a worst value of 0 is the reference itself. Given back in the raw
    direction.

    Args:
        front: (n, m) values of the front's trials, as reported.
        directions: (m,) which values are better.
    """
    costs = _costs(front, directions)
    if not costs:
        return None
    worst = [max(column) for column in zip(*costs, strict=True)]
    moved = tuple(value * (1.1 if value > 0.0 else 0.9) for value in worst)
    return _costs([moved], directions)[0] if all(map(math.isfinite, moved)) else None


def hypervolume(
    front: Sequence[Sequence[float]],
    reference: Sequence[float] | None,
    directions: Sequence[Direction] | None = None,
) -> float | None:
    """The volume between the front and the reference point, exact.

    None without a reference point, above three metrics, and where it is larger than any float.

    Rows that are not better than the reference in every metric add nothing.

    Args:
        front: (n, m) values; dominated rows do no harm.
        reference: (m,) the reference point, in the same direction as the values.
        directions: (m,) which values are better; every metric is minimised when None.
    """
    if reference is None or not 1 <= len(reference) <= 3:
        return None
    ways = directions or [Direction.MINIMIZE] * len(reference)
    corner = _costs([tuple(reference)], ways)[0]
    costs = [
        row
        for row in _costs(front, ways)
        if all(v < r for v, r in zip(row, corner, strict=True)) and all(map(math.isfinite, row))
    ]
    if not costs:
        return 0.0
    found = _MEASURES[len(corner)](costs, corner)
    return found if math.isfinite(found) else None


def _length(costs: Sequence[Point], corner: Point) -> float:
    return corner[0] - min(costs)[0]


def _area(costs: Sequence[Point], corner: Point) -> float:
    """Sum of the strips of a staircase, from the left: O(n log n)."""
    strips, lowest = [], corner[1]
    for x, y in sorted(costs):
        if y < lowest:
            strips.append((corner[0] - x) * (lowest - y))
            lowest = y
    return _sum(strips)


def _volume(costs: Sequence[Point], corner: Point) -> float:
    """Slices along the third axis, each as large as the staircase built so far: O(n log n)."""
    slices: list[float] = []
    stairs: list[Point] = []  # (x, y) by ascending x, descending y
    area, last = 0.0, 0.0
    for x, y, z in sorted(costs, key=lambda row: row[2]):
        slices.append(area * (z - last))
        dropped = _add_stair(stairs, (x, y))
        if dropped is not None:
            area += _gain(stairs, (x, y), dropped, corner)
        last = z
    slices.append(area * (corner[2] - last))
    return _sum(slices)


_MEASURES = {1: _length, 2: _area, 3: _volume}
"""By the number of metrics; infinite or NaN where a float cannot hold it."""


def _sum(parts: Sequence[float]) -> float:
    total = sum(parts)
    return math.fsum(parts) if math.isfinite(total) else total


def _add_stair(stairs: list[Point], point: Point) -> list[Point] | None:
    """Adds a point to a staircase and drops those that it dominates, which are returned; None when
    it is dominated itself.
    """
    at = bisect.bisect_right(stairs, point)
    if at and stairs[at - 1][1] <= point[1]:
        return None
    end = at
    while end < len(stairs) and stairs[end][1] >= point[1]:
        end += 1
    dropped = stairs[at:end]
    stairs[at:end] = [point]
    return dropped


def _gain(stairs: Sequence[Point], point: Point, dropped: Sequence[Point], corner: Point) -> float:
    """The area that a point has brought to a staircase: strips between it and what stood there."""
    at, (x, y) = bisect.bisect_left(stairs, point), point
    height = stairs[at - 1][1] if at else corner[1]
    end = stairs[at + 1][0] if at + 1 < len(stairs) else corner[0]
    strips = []
    for following, below in (*dropped, (end, y)):
        strips.append((following - x) * (height - y))
        x, height = following, below
    return _sum(strips)
