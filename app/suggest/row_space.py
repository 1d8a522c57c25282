"""A search space as arrays, for the Gaussian process: cells, conditions, features, enumeration.

Points are rows of the unit cube, one coordinate a parameter. A *full* row has a coordinate for
every parameter; a *point* is snapped to the cells and NaN where a parameter is inactive, exactly
what `Encoder.to_unit` gives for the decoded point. Nothing loops over rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..domain.points import BALANCE_TOLERANCE
from ..domain.space import CategoricalParameter, Condition, LinearConstraint, Params, Space, Value
from .encode import CATEGORY, Axis, Encoder
from .gp_kernel import Columns
from .numerics import Array

Mask = NDArray[np.bool_]

SWEPT = 16
"""A discrete parameter of at most so many values is swept; a larger one moves like a real one."""
CROWDED = 1e-3
"""A point nearer to one under way, by each parameter's share of its range, is passed over."""
_DRAWN = 1024
"""Random points by which it is told how often a parameter is active."""
_ONE_HOT = math.sqrt(0.5)
"""Two different choices are at distance 1 (each differs in two columns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Coordinate = shift + factor * ln(value) of a logarithmic axis with cells."""

    shift: float
    factor: float


class Line(NamedTuple):
    """How the values of a numeric parameter follow its coordinate u, as if it had no steps.

    Attributes:
        is_log: ln value = start + rise * u; else the value itself is.
        start, rise: see there.
        low, high: the smallest and the largest value.
        step: what neighbouring values differ by; 0 for a continuous parameter.
    """

    is_log: bool
    start: float
    rise: float
    low: float
    high: float
    step: float


class RowSpace:
    """One search space, ready for vectorised search.

    Attributes:
        encoder: the scalar mapping this one agrees with.
        p: number of parameters.
        columns: what the feature columns are.
        column_of: first feature column of each parameter, -1 for one that never varies.
        is_category, is_swept, is_smooth: shape (p,): unordered; changed by trying values; moved
            by the gradient. A parameter that never varies is none of them.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.encoder = Encoder(space)
        self.axes = self.encoder.axes
        self.p = len(self.axes)
        self._index = {name: j for j, name in enumerate(space.names)}
        self._scales = tuple(_log_scale(axis) for axis in self.axes)
        varies = np.array([axis.n_cells != 1 for axis in self.axes], dtype=bool)
        self.is_category = np.array([axis.kind == CATEGORY for axis in self.axes]) & varies
        few = np.array([axis.n_cells is not None and axis.n_cells <= SWEPT for axis in self.axes])
        self.is_swept = varies & (few | self.is_category)
        self.is_smooth = varies & ~self.is_swept
        self.has_conditions = any(axis.parameter.when is not None for axis in self.axes)
        self._numbers = np.flatnonzero(varies & ~self.is_category)
        is_even = [axis.n_cells is not None and not s for axis, s in self._axes_and_scales()]
        self._even = np.flatnonzero(is_even)
        self._even_counts = np.array([float(self.axes[j].n_cells or 1) for j in self._even])
        self._uneven = [j for j, (_, scale) in enumerate(self._axes_and_scales()) if scale]
        self.column_of, self.columns = self._lay_columns(varies)

    def _axes_and_scales(self) -> list[tuple[Axis, _Scale | None]]:
        return list(zip(self.axes, self._scales, strict=True))

    def _lay_columns(self, varies: Mask) -> tuple[NDArray[np.intp], Columns]:
        first = np.full(self.p, -1, dtype=np.intp)
        scale_of: list[int] = []
        is_numeric: list[bool] = []
        n_scales = 0
        for j, axis in enumerate(self.axes):
            if not varies[j]:
                continue
            first[j] = len(scale_of)
            width = int(axis.n_cells or 1) if self.is_category[j] else 1
            scale_of += [n_scales] * width
            is_numeric += [not self.is_category[j]] * width
            n_scales += 1
        columns = Columns(
            scale_of=np.array(scale_of, dtype=np.intp),
            is_numeric=np.array(is_numeric, dtype=bool),
            active_share=self._active_share()[varies] if self.has_conditions else None,
        )
        return first, columns

    def _active_share(self) -> Array:
        """Share of random points in which each parameter is active, shape (p,)."""
        drawn = np.random.default_rng(0).random((_DRAWN, self.p))
        return np.asarray(self.active(self.snap(drawn)).mean(axis=0))

    def encode(self, points: Sequence[Params]) -> Array:
        """Points as rows (n, p), NaN where inactive; equal points give equal bits."""
        rows = self.encoder.to_unit_many(points)
        is_active = ~np.isnan(rows)
        return np.where(is_active, self.snap(np.where(is_active, rows, 0.5)), math.nan)

    def decode(self, row: Array) -> dict[str, Value]:
        """The parameters of one row (p,)."""
        return self.encoder.from_unit(row)

    def snap(self, full: Array) -> Array:
        """Full rows (m, p) with every coordinate at the middle of its cell."""
        out = np.minimum(np.maximum(full, 0.0), 1.0)
        if self._even.size:
            counts = self._even_counts
            cells = np.minimum(np.floor(out[:, self._even] * counts), counts - 1.0)
            out[:, self._even] = (cells + 0.5) / counts
        for j in self._uneven:
            out[:, j] = self._centre(j, self.cell(j, out[:, j]))
        return out

    def cell(self, j: int, u: Array) -> Array:
        """Cells (as floats) of coordinates (m,) of a discrete parameter."""
        axis, scale = self.axes[j], self._scales[j]
        count = axis.n_cells or 1
        if scale is None:
            raw = np.floor(u * count)
        else:
            low, step = _low_and_step(axis)
            raw = np.floor((np.exp((u - scale.shift) / scale.factor) - low) / step + 0.5)
        return np.clip(raw, 0.0, count - 1.0)

    def _centre(self, j: int, cells: Array) -> Array:
        scale = self._scales[j]
        if scale is None:
            return (cells + 0.5) / (self.axes[j].n_cells or 1)
        low, step = _low_and_step(self.axes[j])
        return np.asarray(scale.shift + scale.factor * np.log(low + cells * step))

    def to_cell_centre(self, j: int, cells: Array) -> Array:
        """Coordinates (m,) of cells, cut to those that exist."""
        return self._centre(j, np.clip(cells, 0.0, (self.axes[j].n_cells or 1) - 1.0))

    def points(self, full: Array) -> Array:
        """Points (m, p) of full rows: snapped, NaN where inactive."""
        snapped = self.snap(full)
        if not self.has_conditions:
            return snapped
        return np.where(self.active(snapped), snapped, math.nan)

    def active(self, snapped: Array) -> Mask:
        """Which parameters of snapped full rows are active, shape (m, p)."""
        out = np.ones(snapped.shape, dtype=bool)
        if not self.has_conditions:
            return out
        for j, axis in enumerate(self.axes):
            when = axis.parameter.when
            if when is not None:
                parent = self._index[when.param]
                out[:, j] = out[:, parent] & self._holds(when, parent, snapped[:, parent])
        return out

    def _holds(self, when: Condition, parent: int, u: Array) -> Mask:
        axis = self.axes[parent]
        parameter = axis.parameter
        if isinstance(parameter, CategoricalParameter):
            table = np.array([when.holds({when.param: c}) for c in parameter.choices], dtype=bool)
            return table[self.cell(parent, u).astype(np.intp)]
        value = self.numbers(parent, u)
        if when.choices is not None:
            return np.isin(value, [float(c) for c in when.choices if not isinstance(c, str)])
        low = -math.inf if when.low is None else when.low
        high = math.inf if when.high is None else when.high
        return (value >= low) & (value <= high)

    def numbers(self, j: int, u: Array) -> Array:
        """Values (m,) of a numeric parameter at snapped coordinates."""
        axis = self.axes[j]
        p = axis.parameter
        if isinstance(p, CategoricalParameter):
            choices = [0.0 if isinstance(c, str) else float(c) for c in p.choices]
            return np.array(choices)[self.cell(j, u).astype(np.intp)]
        if axis.n_cells is not None:
            low, step = _low_and_step(axis)
            return np.minimum(low + self.cell(j, u) * step, float(p.high))
        if p.log:
            ends = math.log(p.low), math.log(p.high)
            return np.clip(np.exp(ends[0] + u * (ends[1] - ends[0])), p.low, p.high)
        return np.clip(p.low * (1.0 - u) + p.high * u, p.low, p.high)

    def line(self, j: int) -> Line:
        """How the values of a numeric parameter follow its coordinate.

        Raises:
            ValueError: the parameter is a category.
        """
        axis, scale = self.axes[j], self._scales[j]
        p, count = axis.parameter, axis.n_cells
        if isinstance(p, CategoricalParameter):
            raise ValueError("a category has no line")
        low, high = float(p.low), float(p.high)
        if count is None:
            start, end = (math.log(low), math.log(high)) if p.log else (low, high)
            return Line(p.log, start, end - start, low, high, 0.0)
        step = _low_and_step(axis)[1]
        high = float(axis.value_of_cell(count - 1))
        if scale is not None:
            return Line(True, -scale.shift / scale.factor, 1.0 / scale.factor, low, high, step)
        return Line(False, low - 0.5 * step, count * step, low, high, step)

    def keeps_constraints(self, points: Array) -> Mask:
        """Which points (m, p) keep the known linear constraints; inactive parameters count as 0."""
        out = np.ones(points.shape[0], dtype=bool)
        for constraint in self.space.constraints:
            out &= self._keeps(constraint, points)
        return out

    def _keeps(self, constraint: LinearConstraint, points: Array) -> Mask:
        total, largest = np.zeros(points.shape[0]), np.full(points.shape[0], abs(constraint.bound))
        for name, factor in constraint.terms.items():
            u = points[:, self._index[name]]
            is_active = ~np.isnan(u)
            filled = np.where(is_active, u, 0.5)
            part = np.where(is_active, factor * self.numbers(self._index[name], filled), 0.0)
            total += part
            largest = np.maximum(largest, np.abs(part))
        slack = BALANCE_TOLERANCE * largest + constraint.rounding
        gap = total - constraint.bound
        if constraint.op == "<=":
            return np.asarray(gap <= slack)
        return np.asarray(gap >= -slack if constraint.op == ">=" else np.abs(gap) <= slack)

    def is_crowded(self, point: Array, pending: Array) -> bool:
        """Whether a point (p,) all but repeats one of those under way, (q, p)."""
        is_same = np.isnan(pending) & np.isnan(point)
        return bool((is_same | (np.abs(pending - point) < CROWDED)).all(axis=1).any())

    def features(self, points: Array) -> Array:
        """Feature rows (m, c) of points: an inactive number at 0.5, an inactive category at nought.

        The parent's own distance keeps the branches apart (imputation; Zaefferer & Horn 2018).
        """
        out = np.zeros((points.shape[0], self.columns.scale_of.size))
        u = points[:, self._numbers]
        out[:, self.column_of[self._numbers]] = np.where(np.isnan(u), 0.5, u)
        for j in np.flatnonzero(self.is_category):
            u = points[:, j]
            rows = np.flatnonzero(~np.isnan(u))
            cells = self.cell(int(j), u[rows]).astype(np.intp)
            out[rows, self.column_of[j] + cells] = _ONE_HOT
        return out

    def enumerate(self, limit: int) -> Array | None:
        """All points (m, p) of a finite space that keep the constraints; None for more than
        `limit`.
        """
        rows = np.empty((1, 0))
        for j, axis in enumerate(self.axes):
            is_active = self._grown_active(j, rows)
            count = axis.n_cells
            n_active = int(is_active.sum())
            if n_active and (count is None or n_active * count + (~is_active).sum() > limit):
                return None
            times = np.where(is_active, count or 1, 1)
            column = np.full(int(times.sum()), math.nan)
            grown_active = np.repeat(is_active, times)
            if n_active:
                cells = np.tile(np.arange(count or 1, dtype=float), n_active)
                column[grown_active] = self._centre(j, cells)
            rows = np.column_stack([np.repeat(rows, times, axis=0), column])
        return rows[self.keeps_constraints(rows)]

    def _grown_active(self, j: int, rows: Array) -> Mask:
        """Which points that have their first j coordinates have parameter j active."""
        when = self.axes[j].parameter.when
        if when is None:
            return np.ones(rows.shape[0], dtype=bool)
        parent = self._index[when.param]
        u = rows[:, parent]
        is_active = ~np.isnan(u)
        return is_active & self._holds(when, parent, np.where(is_active, u, 0.5))


def row_keys(points: Array) -> list[bytes]:
    """A key for each point (m, p); equal where all discrete and continuous coordinates are."""
    plain = np.ascontiguousarray(np.where(np.isnan(points), -1.0, points))
    return [row.tobytes() for row in plain]


def _low_and_step(axis: Axis) -> tuple[float, float]:
    p = axis.parameter
    if isinstance(p, CategoricalParameter):
        return 0.0, 1.0
    return float(p.low), float(p.step or 1.0)


def _log_scale(axis: Axis) -> _Scale | None:
    """The logarithmic scale of an uneven axis, from the coordinates of its two end values."""
    p = axis.parameter
    if not axis.is_uneven or isinstance(p, CategoricalParameter):
        return None
    top = float(p.low) + ((axis.n_cells or 1) - 1) * float(p.step or 1.0)
    u_low, u_top = axis.to_unit(p.low), axis.to_unit(top)
    factor = (u_top - u_low) / (math.log(top) - math.log(p.low))
    return _Scale(shift=u_low - factor * math.log(p.low), factor=factor)
