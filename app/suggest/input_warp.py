"""Input warping: coordinates bent so that a stationary kernel fits better (Snoek et al. 2014).

A parameter whose effect crowds at one end of its range, such as a learning rate that was not
declared logarithmic, has one length scale there and another elsewhere. The distribution function
of Kumaraswamy (1980) maps [0, 1] onto itself and stretches an end, both or the middle. Which shape
a coordinate gets is chosen by the evidence of the first 20, 40, 80 or 160 trials, so it is a
function of the history alone; it has to be better by `GAIN` nats, and most coordinates stay
straight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from .gp_fit import MANY_SCALES, LogPosterior, default_hyper, maximise, to_theta
from .gp_kernel import Columns
from .numerics import Array

FIRST_ROWS = 20
"""With fewer trials no coordinate is bent."""
LAST_ROWS = 160
"""More trials are not looked at."""
GAIN = 1.0
"""A shape has to be better by more nats than this."""
_PASSES = 2
KEPT = 20
"""Choices remembered; each is a function of its data, so it is the same without."""


@dataclass(frozen=True, slots=True)
class Shape:
    """F(u) = 1 - (1 - u^a)^b of one coordinate, with a, b > 0 (Kumaraswamy 1980, eq. 2.4)."""

    a: float
    b: float

    def bend(self, u: Array) -> Array:
        """Coordinates in [0, 1] bent, NaN kept; any shape."""
        return np.asarray(1.0 - (1.0 - np.clip(u, 0.0, 1.0) ** self.a) ** self.b)

    def unbend(self, w: Array) -> Array:
        """The inverse of `bend`."""
        inner = 1.0 - (1.0 - np.clip(w, 0.0, 1.0)) ** (1.0 / self.b)
        return np.asarray(inner ** (1.0 / self.a))


SHAPES = (
    Shape(0.5, 1.0),
    Shape(2.0, 1.0),
    Shape(1.0, 0.5),
    Shape(1.0, 2.0),
    Shape(0.6, 0.6),
    Shape(1.7, 1.7),
)
"""The lower end stretched, compressed, the upper end likewise, both ends, the middle."""

Shapes: TypeAlias = Mapping[int, Shape]
"""The shapes of bent coordinates by the parameter's place; the others are straight."""

STRAIGHT: Shapes = MappingProxyType({})

_kept: dict[tuple[bytes, bytes, tuple[int, ...], bool], Shapes] = {}


def n_looked_at(n: int) -> int:
    """How many of the first trials decide on the shapes when n have finished: 0, 20, ..., 160."""
    if n < FIRST_ROWS:
        return 0
    return min(int(FIRST_ROWS * 2 ** np.floor(np.log2(n / FIRST_ROWS))), LAST_ROWS)


def chosen_shapes(
    x: Array, z: Array, columns: Columns, places: Mapping[int, int], *, has_trend: bool
) -> Shapes:
    """The shapes by which the data are likeliest.

    Args:
        x: features with straight coordinates, shape (n, c), NaN nowhere.
        z: standardised targets, shape (n,).
        columns: what the columns are.
        places: the feature column of each parameter that may be bent.
        has_trend: whether the processes have a quadratic trend.

    Returns:
        The shapes of those that gain by one; none where no process can be fitted, or with more than
        `MANY_SCALES` length scales.
    """
    if not places or columns.n_scales > MANY_SCALES:
        return STRAIGHT
    key = (x.tobytes(), z.tobytes(), tuple(places), has_trend)
    if key not in _kept:
        try:
            _kept[key] = _Choice(x, z, columns, has_trend).made(places)
        except np.linalg.LinAlgError:
            _kept[key] = STRAIGHT
        while len(_kept) > KEPT:
            _kept.pop(next(iter(_kept)))
    return _kept[key]


class _Choice:
    """A greedy choice: one coordinate after another, the hyper-parameters fitted in between."""

    def __init__(self, x: Array, z: Array, columns: Columns, has_trend: bool) -> None:
        self._straight, self._x, self._z, self._columns = x, x, z, columns
        start = default_hyper(columns.n_scales, has_trend=has_trend)
        self._hyper, self._value = maximise(self._posterior(x), [start])
        self._shapes: dict[int, Shape] = {}

    def made(self, places: Mapping[int, int]) -> Shapes:
        for _ in range(_PASSES):
            before = self._value
            for place, column in places.items():
                self._improve(place, column)
            if self._value == before:
                break
            self._hyper, self._value = maximise(self._posterior(self._x), [self._hyper])
        return MappingProxyType(self._shapes)

    def _improve(self, place: int, column: int) -> None:
        """Gives a coordinate the shape that gains most with the present hyper-parameters."""
        theta, present = to_theta(self._hyper), self._shapes.get(place)
        for shape in SHAPES:
            if shape == present:
                continue
            bent = self._x.copy()
            bent[:, column] = shape.bend(self._straight[:, column])
            value, _ = self._posterior(bent)(theta)
            if value < self._value - (GAIN if place not in self._shapes else 0.0):
                self._x, self._value, self._shapes[place] = bent, value, shape

    def _posterior(self, x: Array) -> LogPosterior:
        return LogPosterior(x=x, z=self._z, columns=self._columns)
