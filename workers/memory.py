"""What a trial's processes hold in memory, where the system tells it. One file each is read: cheap
enough to be done every few seconds.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int | None) -> list[int]:
    """A process that is there with all its descendants; none where the system does not tell."""
    if pid is None:
        return []
    found: list[int] = []
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        with contextlib.suppress(OSError, ValueError):
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
            found.append(each)
    return found


def others_in_group() -> list[int]:
    """The other processes of this one's group, orphans among them; none where the system does not
    tell.
    """
    mine, group = os.getpid(), os.getpgrp()
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, LookupError, ValueError):
            # Behind the program's name, which may hold anything: state, parent, group.
            of_group = int(path.read_text().rpartition(")")[2].split()[2])
            if of_group == group and int(path.parent.name) != mine:
                found.append(int(path.parent.name))
    return found


def peak_bytes() -> int:
    """The most that this process has held, in bytes.

    Not by `getrusage` where there is better: on Linux what it says of a program begins with what
    the process that started it held.
    """
    with contextlib.suppress(OSError, LookupError, ValueError):
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0]) * 1024
    per_unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * per_unit


def resident_bytes(pids: Sequence[int]) -> int:
    """Bytes of memory that processes hold; what they share is counted for each, which errs on the
    safe side.
    """
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, LookupError, ValueError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return total
