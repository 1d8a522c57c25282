"""What the suggesters must reach in `suggest.py --goals`, and whether they did."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from suggest_cases import WARM, Case, Found, cpu_ms


@dataclass(frozen=True, slots=True)
class Goal:
    """What one of ours must reach: CPU milliseconds a warm ask and tell."""

    case: Case
    n: int
    cpu_ms: float


GOALS = tuple(
    Goal(Case(name, WARM, parameters), n, cpu_ms)
    for name, parameters, rows in (
        ("tpe", 8, ((100, 3.0), (1_000, 8.0), (10_000, 40.0))),
        ("gp", 8, ((100, 150.0), (300, 300.0), (1_000, 2_000.0))),
        ("auto", 20, ((1_000, math.inf), (10_000, 500.0))),
    )
    for n, cpu_ms in rows
)
GROWTH = 3.0
"""The cost of `auto` may grow so much from 1,000 to 10,000 trials."""
MEMORY_MIB = 300.0
"""A fitting process may take so much at 10,000 trials."""


def verdicts(found: Found, memory: Mapping[str, float]) -> list[str]:
    """A line a goal: what was measured, what had to be, and whether it was reached."""
    lines = []
    for goal in GOALS:
        if (goal.case, goal.n) in found and math.isfinite(goal.cpu_ms):
            label = f"{goal.case} at n = {goal.n}, {goal.case.parameters} parameters"
            lines.append(_verdict(label, cpu_ms(found, goal.case, goal.n), goal.cpu_ms, "ms CPU"))
    auto = Case("auto", WARM, 20)
    if (auto, 1_000) in found and (auto, 10_000) in found:
        growth = cpu_ms(found, auto, 10_000) / cpu_ms(found, auto, 1_000)
        lines.append(_verdict("auto, growth from n = 1000 to 10000", growth, GROWTH, "x"))
    for name, mib in memory.items():
        lines.append(_verdict(f"{name}, memory at n = 10000", mib, MEMORY_MIB, "MiB"))
    return lines


def _verdict(label: str, got: float, most: float, unit: str) -> str:
    word = "reached" if got <= most else "MISSED"
    return f"{label}: {got:.1f} {unit}, at most {most:g}: {word}"
