"""How much of a metric's variation each parameter explains: functional ANOVA on the forest.

Hutter, Hoos & Leyton-Brown 2014. For each tree f, under the uniform measure over the declared
space: V = Var f, a_j(x) = mean of f over all parameters but j, F_j = Var(a_j) / V; for a pair,
Var(a_jk) / V - F_j - F_k. A leaf is a product of sets of bins, so each is a sum over leaves and
exact for the tree. One forest for the parameters that are always active, and one for each condition
on the trials where it holds, so that no conditional parameter is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..domain.space import Condition, Space
from .axes import Axis, Floats, Integers, active_axes, required
from .forest import MIN_TRIALS, Forest, Layout, TooFewTrials, Tree, grow, marginal

N_PAIRS = 10
"""Pairs that are reported in a block, largest first."""
_SCREENED, _COARSE_BINS = 2 * N_PAIRS, 8
_SCREENING_TREES = 8
"""All pairs are first compared roughly, the `_SCREENED` largest of them then computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a parameter, or a pair beyond its two parameters, explains of the variance.

    Attributes:
        param: name of the parameter.
        pair: name of the other parameter of a pair, else None.
        share: mean over trees, in [0, 1].
        low: 5 % quantile over trees; it shows the spread by sampling, not the forest's bias
            against small shares.
        high: 95 % quantile over trees.
    """

    param: str
    pair: str | None
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The shares among the trials where a condition holds.

    Attributes:
        condition: None for the parameters that are always active, on all trials.
        n: trials of the block with a finite value.
        trial_share: n / trials of the first block.
        shares: single parameters, then pairs, each with the largest first; empty below
            `MIN_TRIALS` trials, and all 0 when the values are equal.
        r2_oob: what the forest explains of trials that it did not see; None without shares.
        unexplained: 1 - sum of the single shares; None without shares.
    """

    condition: Condition | None
    n: int
    trial_share: float
    shares: tuple[Share, ...]
    r2_oob: float | None
    unexplained: float | None


def importance(
    space: Space,
    places: Floats,
    values: Floats,
    *,
    is_maximized: bool,
    clip: float = 0.9,
    seed: int = 0,
) -> tuple[Block, ...]:
    """The shares of all parameters, one block for the always active ones and one a condition.

    Args:
        space: the search space.
        places: places of the trials' parameters as `axes.places` gives them, shape (n, p).
        values: shape (n,); trials whose value is not finite are left out.
        is_maximized: which end of the values is the worse one.
        clip: values worse than this quantile of a block count as that quantile; 1 for none.
        seed: of the forest.

    Raises:
        TooFewTrials: fewer than `MIN_TRIALS` finite values.
        ValueError: clip outside (0, 1].
    """
    losses, _ = finite_losses(values, is_maximized=is_maximized)
    conditions = dict.fromkeys(p.when for p in space.parameters if p.when is not None)
    always = rows_of(active_axes(space, {}), places, losses)
    if len(always) < MIN_TRIALS:
        raise TooFewTrials(len(always))
    blocks = []
    for condition in (None, *conditions):
        holding = required(space, [] if condition is None else [condition])
        axes = active_axes(space, holding)
        rows = rows_of(axes, places, losses)
        # A parent that the condition pins to one value has no share to show.
        free = {j: axis for j, axis in axes.items() if not _is_pinned(axis, holding)}
        part = places[np.ix_(rows, list(free))]
        clipped = clip_losses(losses[rows], clip)
        blocks.append(_block(condition, list(free.values()), part, clipped, len(always), seed))
    return tuple(blocks)


def finite_losses(values: Floats, *, is_maximized: bool) -> tuple[Floats, float]:
    """Values turned so that small is good and scaled to [-1, 1], and what turns them back.

    Scaled first, so that neither a difference nor a square of huge values overflows. Losses are NaN
    where a value is not finite; value = loss * the second result.
    """
    finite = np.isfinite(values)
    largest = float(np.max(np.abs(values), initial=0.0, where=finite)) or 1.0
    scale = -largest if is_maximized else largest
    return np.where(finite, values, np.nan) / scale, scale


def clip_losses(losses: Floats, clip: float) -> Floats:
    """Losses with those above the quantile `clip` set to it.

    Raises:
        ValueError: clip outside (0, 1].
    """
    if not 0.0 < clip <= 1.0:
        raise ValueError(f"clip lies above 0 and at most at 1, found {clip!r}")
    return np.minimum(losses, np.quantile(losses, clip)) if len(losses) else losses


def rows_of(axes: dict[int, Axis], places: Floats, losses: Floats) -> list[int]:
    """The trials with a loss where all parameters of some axes are active."""
    is_active = np.isfinite(places[:, list(axes)]).all(axis=1)
    return [int(row) for row in np.flatnonzero(is_active & np.isfinite(losses))]


def _is_pinned(axis: Axis, holding: dict[str, tuple[Condition, ...]]) -> bool:
    return len(axis.masses) == 1 and axis.parameter.name in holding


def _block(
    condition: Condition | None,
    axes: Sequence[Axis],
    places: Floats,
    losses: Floats,
    n_all: int,
    seed: int,
) -> Block:
    n = len(losses)
    if n < MIN_TRIALS:
        return Block(
            condition=condition,
            n=n,
            trial_share=n / n_all,
            shares=(),
            r2_oob=None,
            unexplained=None,
        )
    forest = grow(axes, places, losses, seed=seed)
    names = [axis.parameter.name for axis in axes]
    singles = np.stack([_singles(forest.layout, tree) for tree in forest.trees])
    pairs, beyond = _largest_pairs(forest, singles)
    return Block(
        condition=condition,
        n=n,
        trial_share=n / n_all,
        shares=(
            *_ranked([(name, None) for name in names], singles),
            *_ranked([(names[j], names[k]) for j, k in pairs], beyond),
        ),
        r2_oob=forest.r2_oob,
        unexplained=min(max(1.0 - float(singles.mean(axis=0).sum()), 0.0), 1.0),
    )


def _ranked(keys: Sequence[tuple[str, str | None]], shares: Floats) -> list[Share]:
    """Shares of all trees (t, k) as k summaries, largest mean first."""
    mean = shares.mean(axis=0)
    low, high = np.quantile(shares, (0.05, 0.95), axis=0)
    return [
        Share(
            param=keys[i][0],
            pair=keys[i][1],
            share=float(mean[i]),
            low=float(low[i]),
            high=float(high[i]),
        )
        for i in np.argsort(-mean, kind="stable")
    ]


def _singles(layout: Layout, tree: Tree) -> Floats:
    """F_j of one tree for all axes, shape (p,)."""
    if tree.variance <= 0.0:
        return np.zeros(len(layout.starts) - 1)
    marginals = tree.weights @ (tree.inside / tree.extents[:, layout.axis])
    return layout.sums(marginals**2 * layout.masses) / tree.variance


def _largest_pairs(forest: Forest, singles: Floats) -> tuple[list[tuple[int, int]], Floats]:
    """The pairs of axes that explain most beyond the two, and what they do in each tree (t, k)."""
    p = singles.shape[1]
    if p < 2:
        return [], np.zeros((len(forest.trees), 0))
    rough = _rough_pairs(forest)
    candidates = sorted(combinations(range(p), 2), key=lambda pair: -rough[pair])[:_SCREENED]
    shares = np.stack([_pair(forest, *pair) for pair in candidates], axis=1)
    shares -= np.stack([singles[:, j] + singles[:, k] for j, k in candidates], axis=1)
    # Never below 0 but for rounding.
    shares = np.maximum(shares, 0.0)
    kept = np.argsort(-shares.mean(axis=0), kind="stable")[:N_PAIRS]
    return [candidates[i] for i in kept], shares[:, kept]


def _pair(forest: Forest, j: int, k: int) -> Floats:
    """Var(a_jk) / V in each tree, shape (t,)."""
    layout = forest.layout
    one, two = (layout.masses[slice(*layout.starts[axis : axis + 2])] for axis in (j, k))
    return np.array(
        [
            one @ marginal(layout, tree, j, k) ** 2 @ two / tree.variance if tree.variance else 0.0
            for tree in forest.trees
        ]
    )


def _rough_pairs(forest: Forest) -> Floats:
    """A lower bound of each pair's share beyond its two parameters, shape (p, p).

    Of the first trees, with the bins of an axis joined into `_COARSE_BINS`.
    """
    layout = forest.layout
    starts, axis_starts = _coarse(layout)
    masses = np.add.reduceat(layout.masses, starts)
    found = np.zeros((len(axis_starts), len(axis_starts)))
    for tree in forest.trees[:_SCREENING_TREES]:
        if tree.variance <= 0.0:
            continue
        mean_density = np.add.reduceat(tree.inside * layout.masses, starts, axis=1) / masses
        mean_density /= np.repeat(tree.extents, np.diff([*axis_starts, len(starts)]), axis=1)
        joint = (mean_density * tree.weights[:, None]).T @ mean_density
        squares = np.multiply.outer(masses, masses) * joint**2
        blocks = np.add.reduceat(np.add.reduceat(squares, axis_starts, axis=0), axis_starts, axis=1)
        single = np.add.reduceat((tree.weights @ mean_density) ** 2 * masses, axis_starts)
        found += (blocks - np.add.outer(single, single)) / tree.variance
    return found


def _coarse(layout: Layout) -> tuple[Integers, Integers]:
    """First column of each coarse bin, shape (c,), and first coarse bin of each axis, (p,)."""
    before = np.cumsum(layout.masses) - layout.masses - layout.axis
    group = np.floor((before + layout.masses / 2) * _COARSE_BINS).astype(np.int64)
    keys = layout.axis * _COARSE_BINS + np.clip(group, 0, _COARSE_BINS - 1)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    return starts, np.searchsorted(starts, layout.starts[:-1])
