"""How often the kernel has ended a process for want of memory: what tells such a kill from another.

A control group of version 2 counts its own; else the machine counts all, and a kill elsewhere may
be taken for one here if a trial is killed from outside at the same time.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

ROOT = Path("/")
"""Of the system's files."""


def count() -> int | None:
    """Kills so far in the control group of this process, in which its trials are too, or on the
    whole machine; None where neither is told.
    """
    group = _of_the_group()
    found = None if group is None else _number(group)
    return _number(ROOT / "proc/vmstat") if found is None else found


def _of_the_group() -> Path | None:
    """The file in which the group tells of its memory; the root of all groups has none."""
    with contextlib.suppress(OSError):
        for line in (ROOT / "proc/self/cgroup").read_text().splitlines():
            number, _, group = line.partition("::")
            if number == "0":
                return ROOT / "sys/fs/cgroup" / group.lstrip("/") / "memory.events"
    return None


def _number(file: Path) -> int | None:
    """The number of the line `oom_kill` of a file."""
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, number = line.partition(" ")
            if name == "oom_kill":
                return int(number)
    return None
