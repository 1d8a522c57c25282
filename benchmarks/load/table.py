"""The table: what was measured, what it has to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        what: what was measured.
        goal: what it has to reach, in words; empty where there is no goal.
        found: what was found, in words.
        is_met: None without a goal, or where what it is compared with is not there.
    """

    what: str
    goal: str
    found: str
    is_met: bool | None = None


def at_most(what: str, value: float, limit: float, unit: str = "", more: str = "") -> Line:
    """A line whose value may not be above a limit."""
    return Line(what, f"<= {limit:g}{unit}", f"{value:.3g}{unit}{more}", value <= limit)


def at_least(what: str, value: float, limit: float, unit: str = "", more: str = "") -> Line:
    """A line whose value may not be below a limit."""
    return Line(what, f">= {limit:g}{unit}", f"{value:.4g}{unit}{more}", value >= limit)


def show(lines: Sequence[Line]) -> str:
    """The lines as a table."""
    marks = {True: "yes", False: "NO", None: ""}
    rows = [("what", "must reach", "found", "met")]
    rows += [(line.what, line.goal, line.found, marks[line.is_met]) for line in lines]
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    shown = [" | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    shown.insert(1, "-|-".join("-" * w for w in widths))
    return "\n".join(row.rstrip() for row in shown)
