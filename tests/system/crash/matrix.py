"""Plays the whole matrix and writes its table. Run by `make crash-matrix`.

Two cases run at a time. The exit status is 1 when a cell failed or was not played; the table is
written either way.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from .cells import DIALECTS, NOT_APPLICABLE, Fault, all_cases, why_not
from .plan import Step

HERE = Path(__file__).parent
_TITLES = {"sqlite": "SQLite", "postgresql": "Postgres"}
_COMMAND = ("-m", "pytest", "-v", "-n", "2", "--dist", "worksteal", "-m", "crash or not crash")

Outcomes = Mapping[str, bool]
"""By the name of a case, whether it passed."""


def main(target: str) -> int:
    """Plays all cases, writes the table to `target`, and says how it went."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = str(HERE / "test_matrix.py")
        command = [sys.executable, *_COMMAND, "--timeout", "300", "--junitxml", str(report), tests]
        subprocess.run(command, check=False)
        outcomes = read(report)
    took_s = time.monotonic() - started
    Path(target).write_text(page(outcomes, took_s), encoding="utf-8")
    failing = [case.name for case in all_cases() if not outcomes.get(case.name)]
    for name in failing:
        print(f"FAIL {name}")
    n_cases = len(list(all_cases()))
    print(f"{n_cases - len(failing)} of {n_cases} cases passed in {took_s:.0f} s; see {target}")
    return 1 if failing else 0


def read(report: Path) -> Outcomes:
    """The outcome of each case in a report of pytest's; none when it broke off before."""
    outcomes: dict[str, bool] = {}
    if not report.exists():
        return outcomes
    for test in ElementTree.parse(report).getroot().iter("testcase"):
        if found := re.search(r"\[(.+)\]$", test.get("name", "")):
            is_fine = all(test.find(bad) is None for bad in ("failure", "error", "skipped"))
            outcomes[found[1]] = outcomes.get(found[1], True) and is_fine
    return outcomes


def page(outcomes: Outcomes, took_s: float) -> str:
    """The document: what it is, one table for each database, why cells are missing."""
    lines = [*_head(outcomes, took_s)]
    for dialect in DIALECTS:
        lines += ["", f"## {_TITLES[dialect]}", "", *_table(dialect, outcomes)]
    lines += ["", "## Cells that cannot exist", "", *_reasons()]
    return "\n".join(lines) + "\n"


def _head(outcomes: Outcomes, took_s: float) -> Iterator[str]:
    cases = list(all_cases())
    n_passed = sum(outcomes.get(case.name, False) for case in cases)
    yield (HERE / "introduction.md").read_text(encoding="utf-8")
    yield f"{n_passed} of {len(cases)} cases passed, in {took_s / 60:.0f} minutes."
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| date | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |"
    yield f"| machine | {os.cpu_count()} cores, {platform.system()} {platform.machine()} |"
    yield f"| Python, SQLite | {platform.python_version()}, {sqlite3.sqlite_version} |"


def _table(dialect: str, outcomes: Outcomes) -> Iterator[str]:
    yield "| step | " + " | ".join(fault.value for fault in Fault) + " |"
    yield "|---" * (len(Fault) + 1) + "|"
    for step in Step:
        cells = (_cell(dialect, step, fault, outcomes) for fault in Fault)
        yield f"| {step.value} | " + " | ".join(cells) + " |"


def _cell(dialect: str, step: Step, fault: Fault, outcomes: Outcomes) -> str:
    if why_not(fault, step, dialect) is not None:
        return "n/a"
    mine = [
        outcomes.get(case.name, False)
        for case in all_cases()
        if (case.dialect, case.step, case.fault) == (dialect, step, fault)
    ]
    shown = "ok" if all(mine) else "**FAIL**"
    return f"{shown} ({len(mine)})" if len(mine) > 1 else shown


def _reasons() -> Iterator[str]:
    by_reason: dict[tuple[Fault, str], list[str]] = defaultdict(list)
    for (fault, step, dialect), reason in NOT_APPLICABLE.items():
        by_reason[fault, reason].append(step.value if step else f"all of {_TITLES[dialect or '']}")
    yield "| fault | step | why |"
    yield "|---|---|---|"
    for (fault, reason), where in by_reason.items():
        yield f"| {fault.value} | {', '.join(where)} | {reason} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
