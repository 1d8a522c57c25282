"""What a Pareto front leaves open, cut into disjoint boxes: for expected hypervolume improvement.

Two objectives: the strips of the staircase. Three: a sweep along the third objective that keeps the
strips of the staircase built so far; a point that lands closes those it touches and opens at most
as many, so a front of k points gives at most 2k + 1 boxes, as many as the local upper bounds of
Lacour, Klamroth & Fonseca 2017 (arXiv 1510.01963), whose decomposition this is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .numerics import Array

MAX_OBJECTIVES = 3
"""With more objectives boxes become too many to be worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """Disjoint boxes (lower, upper] of objective values, all to be minimised.

    Attributes:
        lower: shape (b, m); minus infinity where a box has no end.
        upper: shape (b, m), finite, above `lower`.
    """

    lower: Array
    upper: Array


def open_boxes(front: Array, reference: Array) -> Boxes:
    """The boxes of all values below the reference that no row of the front dominates.

    Args:
        front: values to minimise, shape (k, m), 1 <= m <= 3; dominated and repeated rows do no
            harm, nor do rows beyond the reference.
        reference: shape (m,), finite.

    Raises:
        ValueError: more than three objectives.
    """
    m = reference.size
    if m > MAX_OBJECTIVES:
        raise ValueError(f"boxes of {m} objectives, at most {MAX_OBJECTIVES}")
    rows = front[(front < reference).all(axis=1)]
    if m == 1:
        top = min([*rows[:, 0].tolist(), float(reference[0])])
        return Boxes(lower=np.array([[-math.inf]]), upper=np.array([[top]]))
    if m == 2:
        rows = np.column_stack([rows, np.full(rows.shape[0], -math.inf)])
    found = _Sweep(float(reference[0]), float(reference[1]))
    for x, y, z in rows[np.argsort(rows[:, 2], kind="stable")].tolist():
        found.land(x, y, z)
    # With two objectives all points lie at minus infinity: what is left at the end are the strips.
    found.close(float(reference[2]) if m == 3 else math.inf)
    boxes = np.array(found.boxes).reshape(-1, 2, 3)[:, :, :m]
    return Boxes(lower=boxes[:, 0], upper=boxes[:, 1])


@dataclass(slots=True)
class _Strip:
    """Values x in (left, right], y up to top, z from `since` on, that are still open."""

    left: float
    right: float
    top: float
    since: float


class _Sweep:
    """The staircase of the points that have landed, as strips by ascending x, falling top."""

    def __init__(self, right: float, top: float) -> None:
        self._strips = [_Strip(-math.inf, right, top, -math.inf)]
        self.boxes: list[tuple[tuple[float, float, float], tuple[float, float, float]]] = []

    def land(self, x: float, y: float, z: float) -> None:
        """From z on nothing at or beyond (x, y) is open."""
        kept: list[_Strip] = []
        reach: float | None = None  # right end of what the point cuts off
        for strip in self._strips:
            if strip.right <= x or strip.top <= y:
                if reach is not None:
                    kept.append(_Strip(x, reach, y, z))
                    reach = None
                kept.append(strip)
                continue
            self._close(strip, z)
            if strip.left < x:
                kept.append(_Strip(strip.left, x, strip.top, z))
            reach = strip.right
        if reach is not None:
            kept.append(_Strip(x, reach, y, z))
        self._strips = kept

    def close(self, z: float) -> None:
        """Ends every strip at z."""
        for strip in self._strips:
            self._close(strip, z)

    def _close(self, strip: _Strip, z: float) -> None:
        if z > strip.since:
            lower = (strip.left, -math.inf, strip.since)
            self.boxes.append((lower, (strip.right, strip.top, z)))
