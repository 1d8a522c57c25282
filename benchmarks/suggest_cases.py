"""What `suggest.py` measures, and where its figures are kept."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

WARM, COLD = "warm", "cold"


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """What is measured; `how` is warm or cold for ours, "peer" for others."""

    name: str
    how: str
    parameters: int

    def __str__(self) -> str:
        return self.name if self.how == "peer" else f"{self.name}, {self.how}"


@dataclass(slots=True)
class Figures:
    """What was measured of one case at one size, a value a round."""

    cpu_ms: list[float] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)


Found = dict[tuple[Case, int], Figures]


def cpu_ms(found: Found, case: Case, n: int) -> float:
    """CPU milliseconds of an ask and a tell: the median of the rounds."""
    return statistics.median(found[case, n].cpu_ms)
