"""The resource axis of a trial: the rungs at which trials are compared, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The rungs of a study, in steps.

    Attributes:
        rungs: increasing steps >= 1 at which values are noted and compared; the last one is
            `max_resource` where that is known.
        max_resource: steps of a full training, or None where it is not known.
    """

    rungs: tuple[int, ...]
    max_resource: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BracketRung:
    """One rung of a bracket: `n` trials are trained up to `step`."""

    n: int
    step: int


def halving_rungs(min_resource: int, max_resource: int, eta: int) -> tuple[int, ...]:
    """`min_resource` times powers of `eta` below `max_resource`, then `max_resource`: the rungs of
    asynchronous successive halving (Li et al., MLSys 2020, algorithm 2).
    """
    rungs, step = [], min_resource
    while step < max_resource:
        rungs.append(step)
        step *= eta
    return (*rungs, max_resource)


def brackets(
    max_resource: int, eta: int, min_resource: int = 1
) -> tuple[tuple[BracketRung, ...], ...]:
    """Hyperband's brackets, s = s_max .. 0 (Li et al., JMLR 18, 2018, algorithm 1).

    n = ceil((s_max + 1) / (s + 1) * eta^s) trials begin with r = R * eta^-s steps; floor(n / eta^i)
    of them go on to r * eta^i. Steps that are no whole numbers are rounded; rungs that rounding
    makes one are one, from which the later one's share goes on.

    Args:
        max_resource: R, steps of a full training.
        eta: one in so many trials goes on, >= 2.
        min_resource: fewest steps worth comparing, in R's units.
    """
    s_max, ratio = 0, Fraction(max_resource, min_resource)
    while eta ** (s_max + 1) <= ratio:
        s_max += 1
    return tuple(_bracket(max_resource, eta, s, s_max) for s in range(s_max, -1, -1))


def _bracket(max_resource: int, eta: int, s: int, s_max: int) -> tuple[BracketRung, ...]:
    n = -(-(s_max + 1) * eta**s // (s + 1))
    rows: list[BracketRung] = []
    for i in range(s + 1):
        step = max(1, round(Fraction(max_resource * eta**i, eta**s)))
        if not rows or step > rows[-1].step:
            rows.append(BracketRung(n=n // eta**i, step=step))
    return tuple(rows)


class Directive(StrEnum):
    """What the service tells the holder of a lease to do."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"
    CHECKPOINT = "checkpoint"
    ABORT = "abort"
