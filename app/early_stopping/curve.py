"""The curve of one trial: its reports by step."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field

_BITS = 1074
"""Every finite float is a whole number of 2^-1074."""


@dataclass(slots=True)
class Curve:
    """A trial's reports by step: steps, losses, and of the reports up to each the mean of the
    finite losses and the lowest loss.

    Sums are exact: a mean is that of its losses to the last digit, whatever their size and the
    order in which they came, and a report costs the same after ten others and after ten thousand.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)
    lowest: list[float] = field(default_factory=list)
    _total: int = 0  # of the finite losses, in units of 2^-1074
    _n_finite: int = 0

    def add(self, step: int, loss: float) -> bool:
        """Takes in a report; whether it is new. The first one of a step counts."""
        at = bisect_left(self.steps, step)
        if at < len(self.steps) and self.steps[at] == step:
            return False
        self.steps.insert(at, step)
        self.losses.insert(at, loss)
        if at < len(self.means):
            at = self._total = self._n_finite = 0
        self._sum_up(at)
        return True

    def _sum_up(self, at: int) -> None:
        """Means and lowest losses from a place on; the total is that of the losses before it."""
        del self.means[at:], self.lowest[at:]
        lowest = self.lowest[-1] if at else math.inf
        for loss in self.losses[at:]:
            if math.isfinite(loss):
                self._total += _units(loss)
                self._n_finite += 1
            lowest = min(lowest, loss)
            n = self._n_finite
            self.means.append(self._total / (n << _BITS) if n else math.inf)
            self.lowest.append(lowest)

    @property
    def last_step(self) -> int:
        """The highest step reported, 0 before the first."""
        return self.steps[-1] if self.steps else 0

    def mean_at(self, step: int) -> float | None:
        """Mean loss of the reports up to a step; None where the curve does not reach it."""
        if self.last_step < step:
            return None
        at = bisect_left(self.steps, step + 1) - 1
        return self.means[at] if at >= 0 else None

    def best(self, up_to: int | None = None) -> float:
        """The lowest loss of the reports up to a step, or of all; infinite without one."""
        n = len(self.steps) if up_to is None else bisect_left(self.steps, up_to + 1)
        return self.lowest[n - 1] if n else math.inf

    def best_after(self, step: int) -> float:
        """The lowest loss of the reports above a step; infinite without one."""
        return min(self.losses[bisect_left(self.steps, step + 1) :], default=math.inf)


def _units(loss: float) -> int:
    """A finite float in units of 2^-1074."""
    numerator, denominator = loss.as_integer_ratio()
    return numerator << (_BITS + 1 - denominator.bit_length())
