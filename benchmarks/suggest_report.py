"""What comes out of `suggest.py`: a table for a person, JSON lines for later."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import machine
from suggest_cases import WARM, Case, Found

PACKAGES = ("numpy", "scipy", "scikit-optimize", "scikit-learn", "optuna", "torch")


def table(found: Found, cases: Iterable[Case], sizes: Sequence[int]) -> str:
    """The medians for a person: CPU milliseconds, wall milliseconds in brackets."""
    head = "ask+tell, CPU ms (wall ms)".ljust(28)
    lines = [head + "".join(f"n = {n}".rjust(20) for n in sizes)]
    for case in cases:
        cells = []
        for n in sizes:
            figures = found.get((case, n))
            cells.append(
                f"{statistics.median(figures.cpu_ms):.1f} "
                f"({statistics.median(figures.wall_ms):.1f})"
                if figures
                else "-"
            )
        lines.append(str(case).ljust(28) + "".join(cell.rjust(20) for cell in cells))
    return "\n".join(lines)


def write(
    path: Path,
    found: Found,
    missing: Mapping[tuple[Case, int], str],
    memory: Mapping[str, float],
) -> None:
    """Appends one JSON line for each case and size, and one for each memory."""
    rows: list[dict[str, Any]] = [
        {
            **_about(case, n),
            "rounds": len(figures.cpu_ms),
            "cpu_ms": round(statistics.median(figures.cpu_ms), 2),
            "wall_ms": round(statistics.median(figures.wall_ms), 2),
        }
        for (case, n), figures in sorted(found.items(), key=lambda item: item[0])
    ]
    rows += [{**_about(case, n), "note": why} for (case, n), why in sorted(missing.items())]
    rows += [
        {**_about(Case(name, WARM, 20), 10_000), "memory_mib": round(mib, 1)}
        for name, mib in memory.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    about = machine(PACKAGES)
    with path.open("a") as out:
        out.writelines(json.dumps({**about, **row}) + "\n" for row in rows)


def _about(case: Case, n: int) -> dict[str, Any]:
    return {"suggester": case.name, "how": case.how, "parameters": case.parameters, "n": n}
