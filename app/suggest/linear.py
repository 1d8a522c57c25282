"""Known linear constraints on rows of the cube: rows moved into them, coordinates that follow.

Plain draws do not hit an equality, and seldom a thin slice. So candidates are moved into the
constraints, each value in proportion to its way to the end of its range; and while a row climbs,
one value for each equality (and for each inequality whose border it is on) follows from the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..domain.points import BALANCE_TOLERANCE
from ..domain.space import Space, Value
from .memory import SuggestMemory
from .numerics import Array
from .row_space import Mask, RowSpace

Places = NDArray[np.intp]

_ROUNDS = 50
"""How often all constraints are gone through in turn."""
_NUDGES = 40
"""How many whole steps mend what rounding to steps has broken."""
_ON_BORDER = 0.5
"""Share of spread rows that stay on the border of an inequality; the others go further in."""
_UNEVEN = 4.0
"""Values move in proportion to 1 - u ** 4 for u uniform: shares that make one come out as uniform
on their simplex, each in its order within 0.01 (in equal proportion the largest is too small).
"""
_TIGHT = 1e-6
"""A row is on a border when it is nearer, relative to the largest part of the sum."""


class _Spread(NamedTuple):
    """How rows that are moved are kept apart.

    Attributes:
        inward: what share of the way behind a border each goes on, shape (m, 1).
        weights: in which proportion its values move, in (0, 1], shape (m, k).
    """

    inward: Array
    weights: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator, m: int, k: int) -> _Spread:
        """Of m rows with k values."""
        inward = rng.random((m, 1)) * (rng.random((m, 1)) >= _ON_BORDER)
        return cls(inward, 1.0 - rng.random((m, k)) ** _UNEVEN)

    def of(self, rows: Places) -> _Spread:
        """That of some of the rows."""
        return _Spread(self.inward[rows], self.weights[rows])


class Linear:
    """The known linear constraints of one space, as sums at most a bound or equal to it.

    Rows of values (m, k) belong to the k parameters that stand in a constraint; the unit of each is
    the width of its range.

    Attributes:
        space: the search space.
        columns: places of those parameters in the space, shape (k,).
        factors, bounds: of the sums, scaled so that the largest part is about 1, shapes (c, k) and
            (c,).
        rounding: how far a sum may miss its bound in any case, on that scale, shape (c,).
        is_equality: shape (c,).
        has_equality: whether any is.
        low, high: ends of the parameters' ranges, shape (k,).
    """

    def __init__(self, space: RowSpace) -> None:
        constraints = space.space.constraints
        names = space.space.names
        used = sorted({names.index(name) for c in constraints for name in c.terms})
        self.space = space
        self.columns: Places = np.array(used, dtype=np.intp)
        lines = [space.line(j) for j in used]
        is_log, start, rise, low, high, step = (
            np.array(column) for column in zip(*lines, strict=True)
        )
        self._is_log, self._start, self._rise = is_log, start, rise
        self._unit = np.where(high > low, high - low, 1.0)
        self.low, self.high, self._steps = low / self._unit, high / self._unit, step / self._unit
        signs = np.array([-1.0 if c.op == ">=" else 1.0 for c in constraints])
        terms = np.array([[c.terms.get(names[j], 0.0) for j in used] for c in constraints])
        terms = terms * self._unit
        bounds = np.array([c.bound for c in constraints])
        largest = np.abs(terms * np.maximum(np.abs(self.low), np.abs(self.high))).max(axis=1)
        scale = signs / np.maximum(np.maximum(largest, np.abs(bounds)), 1e-300)
        self.factors, self.bounds = terms * scale[:, None], bounds * scale
        self.rounding = np.array([c.rounding for c in constraints]) * np.abs(scale)
        self.is_equality = np.array([c.op == "==" for c in constraints], dtype=bool)
        self.has_equality = bool(self.is_equality.any())

    def values(self, full: Array) -> Array:
        """Values (m, k) at full rows (m, p); between those of the cells where not snapped."""
        along = self._start + self._rise * full[:, self.columns]
        values = np.exp(along, out=along, where=self._is_log) / self._unit
        return np.clip(values, self.low, self.high)

    def with_values(self, full: Array, x: Array) -> Array:
        """Full rows (m, p) with other values (m, k)."""
        along = np.clip(x, self.low, self.high) * self._unit
        along = np.log(along, out=along, where=self._is_log)
        out = full.copy()
        out[:, self.columns] = np.clip((along - self._start) / self._rise, 0.0, 1.0)
        return out

    def slopes(self, full: Array) -> Array:
        """Derivatives (m, k) of the values by the coordinates."""
        return self._rise * np.where(self._is_log, self.values(full), 1.0 / self._unit)

    def active(self, full: Array) -> Mask:
        """Which of the parameters are active at full rows, shape (m, k)."""
        return self.space.active(self.space.snap(full))[:, self.columns]

    def excess(self, x: Array, is_active: Mask, tolerance: float) -> Array:
        """How far sums are above their bounds, shape (m, c); below them too for equalities.

        Args:
            x: values, shape (m, k).
            is_active: shape (m, k); inactive ones count as 0.
            tolerance: what is smaller, relative to the largest part of the sum, counts as 0, as
                does half of the rounding.
        """
        excess, scale = self._sums(x, is_active)
        slack = tolerance * scale + 0.5 * self.rounding
        return np.where(np.where(self.is_equality, np.abs(excess), excess) <= slack, 0.0, excess)

    def mended(
        self,
        full: Array,
        rng: np.random.Generator,
        *,
        is_spread: bool = False,
        is_held: Mask | None = None,
    ) -> Array:
        """Snapped full rows (m, p), those that broke a constraint moved until they keep all.

        Args:
            full: snapped full rows.
            rng: chooses how far rows are spread, and which steps mend what rounding broke.
            is_spread: half of the rows that broke an inequality are moved beyond its border.
            is_held: parameters that must not move, shape (p,).

        Returns:
            A new array, in which rows that could not be mended still break a constraint.
        """
        out = full.copy()
        rows = np.flatnonzero(~self.space.keeps_constraints(self.space.points(full)))
        if rows.size == 0:
            return out
        here = full[rows]
        is_active = self.active(here)
        spread = _Spread.drawn(rng, rows.size, self.columns.size) if is_spread else None
        may_move = is_active if is_held is None else is_active & ~is_held[self.columns]
        x = self._moved(self.values(here), is_active, may_move, spread)
        here = self.space.snap(self.with_values(here, x))
        x = self._moved(self.values(here), is_active, may_move & (self._steps == 0.0))
        x = self._nudged(x, is_active, may_move, rng)
        out[rows] = self.space.snap(self.with_values(here, x))
        return out

    def settled(self, full: Array) -> Array:
        """Full rows (m, p) whose sums that all but are at their bounds are exactly there, where one
        value for each of them can follow from the others.
        """
        out = full.copy()
        for rows, follower in self.grouped(full):
            followed, keeps = follower.followed(full[rows])
            out[rows[keeps]] = followed[keeps]
        return out

    def point(self, u: Array, rng: np.random.Generator) -> dict[str, Value] | None:
        """The point at coordinates (p,), moved into the constraints; None where that fails."""
        points = self.space.points(self.mended(self.space.snap(u[None, :]), rng))
        return self.space.decode(points[0]) if self.space.keeps_constraints(points)[0] else None

    def _moved(
        self, x: Array, is_active: Mask, may_move: Mask, spread: _Spread | None = None
    ) -> Array:
        """Values after moves towards the ends of the ranges, constraint by constraint in turn.

        Args:
            x: values, shape (m, k).
            is_active: shape (m, k).
            may_move: which values move, shape (m, k).
            spread: of the rows, for the first round.
        """
        x, rows = x.copy(), np.flatnonzero(may_move.any(axis=1))
        for k in range(_ROUNDS):
            broken = self.excess(x[rows], is_active[rows], 0.5 * BALANCE_TOLERANCE) != 0.0
            is_broken = broken.any(axis=1)
            rows, broken = rows[is_broken], broken[is_broken]
            if rows.size == 0:
                break
            before = x[rows]
            for c in np.flatnonzero(broken.any(axis=0)).tolist():
                some = rows[broken[:, c]]
                apart = spread.of(some) if spread is not None and k == 0 else None
                x[some] = self._shifted(c, x[some], is_active[some], may_move[some], apart)
            rows = rows[(x[rows] != before).any(axis=1)]
        return x

    def _shifted(
        self, c: int, x: Array, is_active: Mask, may_move: Mask, spread: _Spread | None
    ) -> Array:
        """Values (m, k) after all terms of a constraint have gone the same share of their ways, or,
        spread, shares in random proportion.
        """
        factors = self.factors[c]
        excess = np.where(is_active, x, 0.0) @ factors - self.bounds[c]
        if not self.is_equality[c]:
            excess = np.maximum(excess, 0.0)
        excess = excess[:, None]
        way = np.where(factors * np.sign(excess) > 0.0, self.low, self.high) - x
        way = np.where(may_move & (factors != 0.0), way, 0.0)
        reach = np.abs(way * factors).sum(axis=1, keepdims=True)
        wanted = np.abs(excess)
        if spread is None:
            return x + _gone(way, wanted, reach)
        if not self.is_equality[c]:
            wanted += np.where(excess > 0.0, spread.inward * np.maximum(reach - wanted, 0.0), 0.0)
        uneven = way * spread.weights
        first = _gone(uneven, wanted, np.abs(uneven * factors).sum(axis=1, keepdims=True))
        reached = np.abs(first * factors).sum(axis=1, keepdims=True)
        return x + first + _gone(way - first, wanted - reached, reach - reached)

    def _nudged(self, x: Array, is_active: Mask, may_move: Mask, rng: np.random.Generator) -> Array:
        """Values whose steps are taken one parameter at a time, at random, until the sums fit."""
        x = x.copy()
        is_stepped = may_move & (self._steps > 0.0)
        for _ in range(_NUDGES):
            excess = self.excess(x, is_active, 0.5 * BALANCE_TOLERANCE)
            rows = np.flatnonzero((excess != 0.0).any(axis=1))
            if rows.size == 0 or not is_stepped[rows].any():
                break
            c = np.argmax(rng.random((rows.size, self.bounds.size)) * (excess[rows] != 0.0), axis=1)
            may_step = is_stepped[rows] & (self.factors[c] != 0.0)
            k = np.argmax(rng.random(may_step.shape) * may_step, axis=1)
            can = may_step[np.arange(rows.size), k]
            rows, c, k = rows[can], c[can], k[can]
            count = np.rint(-excess[rows, c] / (self.factors[c, k] * self._steps[k]))
            count = np.where(count == 0.0, rng.choice([-1.0, 1.0], size=rows.size), count)
            moved = np.clip(x[rows, k] + count * self._steps[k], self.low[k], self.high[k])
            x[rows, k] = moved
            rest = may_move[rows] & (self._steps == 0.0)
            x[rows] = self._moved(x[rows], is_active[rows], rest)
        return x

    def grouped(self, full: Array) -> Iterator[tuple[Places, Follower]]:
        """Rows (m, p) that may climb together, and what follows from what in them."""
        x, is_active = self.values(full), self.active(full)
        excess, scale = self._sums(x, is_active)
        is_tight = self.is_equality | (-excess <= _TIGHT * scale)
        room = np.minimum(x - self.low, self.high - x)
        room = np.where(is_active & self.space.is_smooth[self.columns], room, 0.0)
        groups: dict[tuple[bytes, tuple[int, ...], tuple[int, ...]], list[int]] = {}
        for r in range(full.shape[0]):
            pivots = _pivots(self.factors * is_active[r], np.flatnonzero(is_tight[r]), room[r])
            sums, followers = tuple(pivots), tuple(pivots.values())
            groups.setdefault((is_active[r].tobytes(), sums, followers), []).append(r)
        for (_, sums, followers), rows in groups.items():
            yield np.array(rows), Follower.of(self, is_active[rows[0]], sums, followers)

    def _sums(self, x: Array, is_active: Mask) -> tuple[Array, Array]:
        """How far sums are above their bounds, and the largest part of each, both (m, c)."""
        counted = np.where(is_active, x, 0.0)
        largest = [np.abs(counted * factors).max(axis=1) for factors in self.factors]
        scale = np.maximum(np.stack(largest, axis=1), np.abs(self.bounds))
        return counted @ self.factors.T - self.bounds, scale


def _gone(way: Array, wanted: Array, reach: Array) -> Array:
    """That part of ways (m, k) that makes the wanted difference (m, 1) to a sum, all making
    `reach`; at most the whole.
    """
    return np.asarray(way * np.clip(wanted / np.maximum(reach, 1e-300), 0.0, 1.0))


def linear_of(memory: SuggestMemory, space: Space) -> Linear | None:
    """The constraints of a study's space, kept in its memory; None where it has none."""
    if not space.constraints:
        return None
    return memory.thing("linear", space, lambda: Linear(RowSpace(space)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Values that follow from the others, so that some sums stay at their bounds.

    Attributes:
        linear: the constraints.
        sums: the sums that are held, shape (e,).
        places: which values follow, shape (e,), among the k.
        inverse: of their factors in those sums, shape (e, e).
        jacobian: their derivatives by all values, shape (e, k), nought by each other.
    """

    linear: Linear
    sums: Places
    places: Places
    inverse: Array
    jacobian: Array

    @classmethod
    def of(
        cls, linear: Linear, is_active: Mask, sums: tuple[int, ...], places: tuple[int, ...]
    ) -> Follower:
        """Of rows with the given active parameters, shape (k,)."""
        held, following = np.array(sums, dtype=np.intp), np.array(places, dtype=np.intp)
        factors = linear.factors[held] * is_active
        inverse = np.linalg.inv(factors[:, following])
        jacobian = -inverse @ factors
        jacobian[:, following] = 0.0
        return cls(linear=linear, sums=held, places=following, inverse=inverse, jacobian=jacobian)

    def followed(self, full: Array) -> tuple[Array, Mask]:
        """Full rows (m, p) with the values that follow, and which of them keep the constraints."""
        linear = self.linear
        x, is_active = linear.values(full), linear.active(full)
        held = linear.factors[self.sums]
        rest = linear.bounds[self.sums] - np.where(is_active, x, 0.0) @ held.T
        x[:, self.places] += rest @ self.inverse.T
        following = x[:, self.places]
        is_inside = (following >= linear.low[self.places]) & (following <= linear.high[self.places])
        out = linear.with_values(full, x)
        keeps = (linear.excess(x, linear.active(out), _TIGHT) == 0.0).all(axis=1)
        return out, is_inside.all(axis=1) & keeps

    def folded(self, full: Array, gradient: Array) -> Array:
        """The gradient (m, p) by the coordinates that do not follow, at followed rows."""
        linear, columns = self.linear, self.linear.columns
        slopes = linear.slopes(full)
        by_value = gradient[:, columns[self.places]] / slopes[:, self.places]
        out = gradient.copy()
        out[:, columns] += (by_value @ self.jacobian) * slopes
        out[:, columns[self.places]] = 0.0
        return out


def _pivots(factors: Array, sums: Places, room: Array) -> dict[int, int]:
    """For each sum that can be held, the value that follows: the one with most room left.

    Args:
        factors: of all sums, shape (c, k), nought where inactive.
        sums: which are to be held.
        room: how far each value may go either way, shape (k,); 0 where it must not follow.
    """
    left = factors.copy()
    chosen: dict[int, int] = {}
    for c in sums:
        weight = np.abs(left[c]) * room
        weight[list(chosen.values())] = 0.0
        k = int(np.argmax(weight))
        if weight[k] <= 1e-9 * max(float(np.abs(factors[c]).max()), 1e-300):
            continue
        chosen[int(c)] = k
        for other in sums:
            if other != c:
                left[other] -= left[other, k] / left[c, k] * left[c]
    return chosen
