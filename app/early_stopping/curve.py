"""The curve of one trial: its reports by step."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field


@dataclass(slots=True)
class Curve:
    """A trial's reports by step: steps, losses, and the mean of the finite losses up to each."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    means: list[float] = field(default_factory=list)

    def add(self, step: int, loss: float) -> bool:
        """Takes in a report; whether it is new. The first one of a step counts."""
        at = bisect_left(self.steps, step)
        if at < len(self.steps) and self.steps[at] == step:
            return False
        self.steps.insert(at, step)
        self.losses.insert(at, loss)
        self._average_from(at)
        return True

    def _average_from(self, at: int) -> None:
        finite = [loss for loss in self.losses[:at] if math.isfinite(loss)]
        total, n = math.fsum(finite), len(finite)
        del self.means[at:]
        for loss in self.losses[at:]:
            if math.isfinite(loss):
                total, n = total + loss, n + 1
            self.means.append(total / n if n else math.inf)

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

    def best(self, after: int = 0, up_to: int | None = None) -> float:
        """The lowest loss of the reports above `after` and up to `up_to`; infinite without one."""
        first = bisect_left(self.steps, after + 1)
        last = len(self.steps) if up_to is None else bisect_left(self.steps, up_to + 1)
        return min(self.losses[first:last], default=math.inf)
