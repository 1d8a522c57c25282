"""How busy a trial's processes keep the cores that it was given."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_CPU_TIMES = slice(11, 15)
"""Places in /proc/PID/stat behind the name, see proc_pid_stat(5): in the program and in the kernel,
and the same of children that were waited for.
"""


def cpu_s(pids: Sequence[int]) -> float:
    """Seconds of CPU that processes have taken, with their children that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError, LookupError, ValueError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[_CPU_TIMES]))
    return ticks / _TICKS_A_SECOND


class Busy:
    """The share of its cores that a trial has taken between two looks.

    Args:
        now: a clock that never goes back, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last: tuple[float, float] | None = None

    def share(self, pids: Sequence[int], n_cores: int) -> float | None:
        """In 0..1 since the look before; None at the first one, and when less has been taken than
        then: a process has ended that nobody had waited for.

        Args:
            n_cores: how many it may compute on, >= 1.
        """
        last, this = self._last, (self._now(), cpu_s(pids))
        self._last = this if pids else None
        if last is None or not pids or this[1] < last[1] or this[0] <= last[0]:
            return None
        return min(1.0, (this[1] - last[1]) / (this[0] - last[0]) / n_cores)
