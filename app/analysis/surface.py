"""A metric over two parameters, all others averaged out: the forest of importance on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..domain.space import CategoricalParameter, Space
from .axes import Axis, Bools, Floats, Integers, active_axes, choice_indices, number_at, required
from .forest import MIN_TRIALS, TooFewTrials, grow, marginal
from .importance import clip_losses, finite_losses, rows_of

N_CELLS = 40
"""Cells of a continuous parameter; any other has a cell for each of its bins."""
REACH = 2
"""Cells from the nearest trial up to which the surface is shown."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """The forest over x and y, rows along x.

    Attributes:
        x_edges: borders of the cells in the parameter's unit, shape (a + 1,); for choices 0, 1, ...
        y_edges: likewise, shape (b + 1,).
        x_choices: index of the choice of each cell, shape (a,); None for a number.
        y_choices: likewise, shape (b,).
        mean: mean over trees in the metric's unit, shape (a, b).
        sd: standard deviation over trees, shape (a, b): what sampling does to the mean.
        counts: trials in each cell, shape (a, b).
        is_explored: whether a trial lies within `REACH` cells, for choices without order in the
            same one; the rest is a guess and not to be shown; shape (a, b).
        n: trials that the forest learned from.
        r2_oob: what it explains of trials that it did not see.
    """

    x_edges: Floats
    y_edges: Floats
    x_choices: Integers | None
    y_choices: Integers | None
    mean: Floats
    sd: Floats
    counts: Integers
    is_explored: Bools
    n: int
    r2_oob: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grid:
    """The cells along one axis: their borders as places, and how much of each bin each holds."""

    axis: Axis
    edges: Floats
    mix: Floats  # (cells, bins), rows sum to 1

    def cells(self, places: Floats) -> Integers:
        return np.searchsorted(self.edges[1:-1], places, side="right").astype(np.int64)


def surface(
    space: Space,
    places: Floats,
    values: Floats,
    *,
    x: str,
    y: str,
    is_maximized: bool,
    clip: float = 0.9,
    seed: int = 0,
) -> Surface:
    """The surface over two parameters, on the trials where both are active.

    Args:
        space: the search space.
        places: places of the trials' parameters as `axes.places` gives them, shape (n, p).
        values: shape (n,); trials whose value is not finite are left out.
        x: name of a parameter.
        y: name of another one.
        is_maximized: which end of the values is the worse one.
        clip: values worse than this quantile count as that quantile; 1 for none.
        seed: of the forest.

    Raises:
        TooFewTrials: fewer than `MIN_TRIALS` with a finite value where both are active.
        ValueError: x and y are not two parameters of the space, or clip is outside (0, 1].
    """
    if x == y or x not in space.names or y not in space.names:
        raise ValueError(f"x and y name two parameters of the space, found {x!r} and {y!r}")
    j, k = space.names.index(x), space.names.index(y)
    losses, scale = finite_losses(values, is_maximized=is_maximized)
    both = np.isfinite(losses) & np.isfinite(places[:, j]) & np.isfinite(places[:, k])
    if both.sum() < MIN_TRIALS:
        raise TooFewTrials(int(both.sum()))
    conditions = [p.when for p in space.parameters if p.name in (x, y) and p.when is not None]
    axes = active_axes(space, required(space, conditions))
    rows = rows_of(axes, places, losses)
    part = places[rows]
    forest = grow(
        list(axes.values()), part[:, list(axes)], clip_losses(losses[rows], clip), seed=seed
    )
    across, along = _grid(axes[j]), _grid(axes[k])
    one, two = list(axes).index(j), list(axes).index(k)
    sheets = np.stack(
        [
            across.mix @ (tree.mean + marginal(forest.layout, tree, one, two)) @ along.mix.T
            for tree in forest.trees
        ]
    )
    shape = len(across.mix), len(along.mix)
    cells = across.cells(part[:, j]) * shape[1] + along.cells(part[:, k])
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    return Surface(
        x_edges=_shown_edges(across),
        y_edges=_shown_edges(along),
        x_choices=_choices(across),
        y_choices=_choices(along),
        mean=(forest.centre + sheets.mean(axis=0) * forest.scale) * scale,
        sd=sheets.std(axis=0) * forest.scale * abs(scale),
        counts=counts,
        is_explored=_near(_near(counts > 0, across.axis, 0), along.axis, 1),
        n=len(rows),
        r2_oob=forest.r2_oob,
    )


def _grid(axis: Axis) -> _Grid:
    if not axis.is_continuous or len(axis.masses) == 1:
        return _Grid(axis=axis, edges=axis.edges, mix=np.eye(len(axis.masses)))
    edges = np.linspace(axis.edges[0], axis.edges[-1], N_CELLS + 1)
    upper = np.minimum(edges[1:, None], axis.edges[1:])
    shared = np.maximum(upper - np.maximum(edges[:-1, None], axis.edges[:-1]), 0.0)
    return _Grid(axis=axis, edges=edges, mix=shared / shared.sum(axis=1, keepdims=True))


def _shown_edges(grid: _Grid) -> Floats:
    parameter = grid.axis.parameter
    if isinstance(parameter, CategoricalParameter):
        return np.arange(len(grid.edges), dtype=np.float64)
    return number_at(parameter, grid.edges)


def _choices(grid: _Grid) -> Integers | None:
    parameter = grid.axis.parameter
    if not isinstance(parameter, CategoricalParameter):
        return None
    return choice_indices(parameter, grid.axis.values or ())


def _near(is_filled: Bools, axis: Axis, dimension: int) -> Bools:
    """What lies within `REACH` cells of a filled one along a dimension."""
    if not axis.is_ordered:
        return is_filled
    length = is_filled.shape[dimension]
    cell = np.arange(length)
    reach = np.abs(cell[:, None] - cell) <= REACH
    near = reach @ is_filled if dimension == 0 else is_filled @ reach
    return np.asarray(near, dtype=np.bool_)
