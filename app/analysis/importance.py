"""How much of a metric's variation each parameter explains, overall and in each branch of a space.

One forest for the parameters that are always active, and one for each condition on the trials where
it holds, so that no conditional parameter is left out; `anova.py` takes each apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..domain.space import Condition, Space
from .anova import Part, decompose
from .axes import Axis, Floats, active_axes, required
from .forest import MIN_TRIALS, TooFewTrials, grow


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a parameter, or a pair beyond its two parameters, explains of the variance.

    Attributes:
        param: name of the parameter.
        pair: name of the other parameter of a pair, else None.
        share: mean over trees, in [0, 1].
        low: 5 % quantile over trees; the spread shows what sampling does, not the forest's bias
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
    # By their text: Python holds the conditions on True and on 1 equal.
    conditions = {repr(p.when): p.when for p in space.parameters if p.when is not None}
    always = rows_of(active_axes(space, {}), places, losses)
    if len(always) < MIN_TRIALS:
        raise TooFewTrials(len(always))
    blocks = []
    for condition in (None, *conditions.values()):
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
    singles, pairs = decompose(forest)
    return Block(
        condition=condition,
        n=n,
        trial_share=n / n_all,
        shares=(*_ranked(names, singles), *_ranked(names, pairs)),
        r2_oob=forest.r2_oob,
        unexplained=max(1.0 - sum(part.share for part in singles), 0.0),
    )


def _ranked(names: Sequence[str], parts: Sequence[Part]) -> list[Share]:
    """The shares of parts, largest first."""
    return [
        Share(
            param=names[part.axes[0]],
            pair=names[part.axes[1]] if len(part.axes) > 1 else None,
            share=part.share,
            low=part.low,
            high=part.high,
        )
        for part in sorted(parts, key=lambda part: -part.share)
    ]
