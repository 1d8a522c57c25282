"""How decisions are put into words: every reason gives the figures that decided."""

from __future__ import annotations

import math


def shown(loss: float, sign: float) -> str:
    """A loss as the metric's own value."""
    return f"{sign * loss:.6g}" if math.isfinite(loss) else "no finite value"


def ranked(metric: str, value: str, step: int, rank: int, n: int) -> str:
    """Where a trial stands at a rung; `rank` counts from 0."""
    return f"{metric} {value} at step {step} is number {rank + 1} of {n} at this rung"
