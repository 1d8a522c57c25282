"""Batched projected L-BFGS: many starts climb together, each with a memory of its own.

One evaluation serves all starts that still move; their steps and curvatures stay apart (Nocedal &
Wright 2006, algorithm 7.4, with projection on the box and backtracking).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .numerics import Array

Function: TypeAlias = Callable[[Array], tuple[Array, Array]]

MEMORY = 6
_ARMIJO = 1e-4
_SHRINK = 0.3
_FIRST_STEP = 0.1
"""Longest move of a coordinate while nothing is known of the curvature, in scaled units."""
_SMALLEST = 1e-7
"""A start whose step or projected gradient is smaller has arrived, in scaled units."""


class _Climb:
    """State of all starts: positions (s, d), values (s,), gradients (s, d), memories (s, m, d)."""

    def __init__(self, function: Function, u: Array, lower: Array, upper: Array) -> None:
        self.function, self.lower, self.upper = function, lower, upper
        self.u = u
        self.value, self.gradient = function(u)
        s, d = u.shape
        self.moves = np.zeros((s, MEMORY, d))
        self.turns = np.zeros((s, MEMORY, d))
        self.rho = np.zeros((s, MEMORY))
        self.step = np.ones(s)
        self.direction = np.zeros((s, d))
        self.is_moving = np.isfinite(self.value)
        self.redirect(np.flatnonzero(self.is_moving))

    def redirect(self, rows: NDArray[np.intp]) -> None:
        """New directions for some starts; those at a stationary point of the box stop."""
        u, gradient = self.u[rows], self.gradient[rows]
        blocked = ((u <= self.lower[rows]) & (gradient < 0)) | (
            (u >= self.upper[rows]) & (gradient > 0)
        )
        free = np.where(blocked, 0.0, gradient)
        direction = np.where(blocked, 0.0, self._two_loops(rows, free))
        is_uphill = np.einsum("ij,ij->i", direction, free) > 0.0
        has_memory = self.rho[rows, -1] > 0.0
        plain = ~(is_uphill & has_memory)
        longest = np.maximum(np.abs(free).max(axis=1, initial=0.0), 1e-300)
        direction[plain] = free[plain] * (_FIRST_STEP / longest[plain])[:, None]
        self.direction[rows] = direction
        self.step[rows] = 1.0
        self.is_moving[rows] &= longest > _SMALLEST

    def _two_loops(self, rows: NDArray[np.intp], gradient: Array) -> Array:
        q = gradient.copy()
        alphas = np.zeros((MEMORY, rows.size))
        for k in range(MEMORY - 1, -1, -1):
            alphas[k] = self.rho[rows, k] * np.einsum("ij,ij->i", self.moves[rows, k], q)
            q -= alphas[k][:, None] * self.turns[rows, k]
        last_s, last_y = self.moves[rows, -1], self.turns[rows, -1]
        yy = np.einsum("ij,ij->i", last_y, last_y)
        sy = np.einsum("ij,ij->i", last_s, last_y)
        q *= np.where(yy > 0.0, sy / np.where(yy > 0.0, yy, 1.0), 1.0)[:, None]
        for k in range(MEMORY):
            beta = self.rho[rows, k] * np.einsum("ij,ij->i", self.turns[rows, k], q)
            q += (alphas[k] - beta)[:, None] * self.moves[rows, k]
        return q

    def advance(self) -> None:
        """One evaluation: accepted starts move and turn, the others shorten their step."""
        rows = np.flatnonzero(self.is_moving)
        target = self.u[rows] + self.step[rows, None] * self.direction[rows]
        target = np.clip(target, self.lower[rows], self.upper[rows])
        move = target - self.u[rows]
        value, gradient = self.function(target)
        gain = _ARMIJO * np.einsum("ij,ij->i", move, self.gradient[rows])
        is_better = np.isfinite(value) & (value >= self.value[rows] + np.maximum(gain, 0.0))
        length = np.abs(move).max(axis=1, initial=0.0)
        is_better &= length > 0.0
        kept = rows[is_better]
        self._remember(kept, move[is_better], self.gradient[kept] - gradient[is_better])
        self.u[kept] = target[is_better]
        gained = value[is_better] - self.value[kept]
        self.value[kept] = value[is_better]
        self.gradient[kept] = gradient[is_better]
        self.redirect(kept)
        self.is_moving[kept] &= gained > _SMALLEST
        held = rows[~is_better]
        self.step[held] *= _SHRINK
        self.is_moving[held] &= length[~is_better] * _SHRINK > _SMALLEST

    def _remember(self, rows: NDArray[np.intp], moves: Array, turns: Array) -> None:
        curvature = np.einsum("ij,ij->i", moves, turns)
        scale = np.einsum("ij,ij->i", turns, turns)
        useful = curvature > 1e-10 * scale
        rows, moves, turns = rows[useful], moves[useful], turns[useful]
        for store, new in ((self.moves, moves), (self.turns, turns)):
            store[rows, :-1] = store[rows, 1:]
            store[rows, -1] = new
        self.rho[rows, :-1] = self.rho[rows, 1:]
        self.rho[rows, -1] = 1.0 / curvature[useful]


def climb(
    function: Function, start: Array, lower: Array, upper: Array, *, evaluations: int = 40
) -> tuple[Array, Array]:
    """Local maxima of a function in boxes, from several starts at once.

    Args:
        function: rows (s, d) to values (s,) and gradients (s, d); called with any subset of rows,
            so it must treat each row alike.
        start: shape (s, d), inside the boxes.
        lower: shape (s, d); equal to `upper` where a coordinate is held.
        upper: shape (s, d).
        evaluations: how many batched evaluations at most, after the first.

    Returns:
        Positions (s, d) and values (s,), never worse than the starts.
    """
    state = _Climb(function, start.copy(), lower, upper)
    for _ in range(evaluations):
        if not state.is_moving.any():
            break
        state.advance()
    return state.u, state.value
