"""Batched projected BFGS: many starts climb together, each with a curvature of its own.

One evaluation serves all starts that still move; their steps and curvatures stay apart (Nocedal &
Wright 2006, eq. 6.17, with projection on the box and backtracking). The matrices are dense: with
tens of parameters one batched product is quicker than a dozen small ones over a limited memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from .numerics import Array

Function: TypeAlias = Callable[[Array], tuple[Array, Array]]

_ARMIJO = 1e-4
_SHRINK = 0.3
_FIRST_STEP = 0.1
"""Longest move of a coordinate while nothing is known of the curvature, in scaled units."""
_SMALLEST = 1e-7
"""A start whose step or projected gradient is smaller has arrived, in scaled units."""
_SMALLEST_GAIN = 1e-6
"""A start that gains less has arrived."""


class _Climb:
    """State of all starts: positions (s, d), values (s,), gradients (s, d), curvatures (s, d, d).

    `inverse` approximates the inverse of minus the Hessian; nought where nothing is known yet.
    """

    def __init__(self, function: Function, u: Array, lower: Array, upper: Array) -> None:
        self.function, self.lower, self.upper = function, lower, upper
        self.u = u
        self.value, self.gradient = function(u)
        s, d = u.shape
        self.inverse = np.zeros((s, d, d))
        self.has_memory = np.zeros(s, dtype=bool)
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
        direction = np.matmul(self.inverse[rows], free[:, :, None])[:, :, 0]
        direction[blocked] = 0.0
        is_plain = ~(self.has_memory[rows] & ((direction * free).sum(axis=1) > 0.0))
        longest = np.maximum(np.abs(free).max(axis=1, initial=0.0), 1e-300)
        direction[is_plain] = free[is_plain] * (_FIRST_STEP / longest[is_plain])[:, None]
        self.direction[rows] = direction
        self.step[rows] = 1.0
        self.is_moving[rows] &= longest > _SMALLEST

    def advance(self) -> None:
        """One evaluation: accepted starts move and turn, the others shorten their step."""
        rows = np.flatnonzero(self.is_moving)
        here = self.u[rows]
        target = here + self.step[rows, None] * self.direction[rows]
        target = np.minimum(np.maximum(target, self.lower[rows]), self.upper[rows])
        move = target - here
        value, gradient = self.function(target)
        gain = _ARMIJO * (move * self.gradient[rows]).sum(axis=1)
        length = np.abs(move).max(axis=1, initial=0.0)
        is_better = np.isfinite(value) & (length > 0.0)
        is_better &= value >= self.value[rows] + np.maximum(gain, 0.0)
        kept = rows[is_better]
        self._remember(kept, move[is_better], self.gradient[kept] - gradient[is_better])
        self.u[kept] = target[is_better]
        gained = value[is_better] - self.value[kept]
        self.value[kept] = value[is_better]
        self.gradient[kept] = gradient[is_better]
        self.redirect(kept)
        self.is_moving[kept] &= gained > _SMALLEST_GAIN
        held = rows[~is_better]
        self.step[held] *= _SHRINK
        self.is_moving[held] &= length[~is_better] * _SHRINK > _SMALLEST

    def _remember(self, rows: NDArray[np.intp], moves: Array, turns: Array) -> None:
        """Takes in moves s and turns y of the gradient, both (k, d).

        H <- H + (s'y + y'Hy) s s' / (s'y)^2 - (Hy s' + s (Hy)') / s'y, from H = (s'y / y'y) I.
        """
        curvature = (moves * turns).sum(axis=1)
        square = (turns * turns).sum(axis=1)
        useful = curvature > 1e-10 * square
        rows, s, y = rows[useful], moves[useful], turns[useful]
        if rows.size == 0:
            return
        sy, h = curvature[useful], self.inverse[rows]
        is_first = ~self.has_memory[rows]
        h[is_first] = np.eye(s.shape[1]) * (sy / square[useful])[is_first, None, None]
        hy = np.matmul(h, y[:, :, None])[:, :, 0]
        first = ((sy + (y * hy).sum(axis=1)) / sy**2)[:, None] * s - hy / sy[:, None]
        h += first[:, :, None] * s[:, None, :] - s[:, :, None] * (hy / sy[:, None])[:, None, :]
        self.inverse[rows] = h
        self.has_memory[rows] = True


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
