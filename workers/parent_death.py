"""Makes a process die with its parent, where the system offers that (Linux)."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Has the kernel kill this process when its parent ends, however that happens.

    Elsewhere than on Linux the end of the control pipe does the same, a little later.

    Args:
        parent_pid: the parent as it knew itself; if it is gone already, this process ends now.
    """
    if not sys.platform.startswith("linux"):
        return
    _ask_for(signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def outlive_parent() -> None:
    """Takes `die_with` back: for a process that sees its parent's end, and has to clear up then."""
    if sys.platform.startswith("linux"):
        _ask_for(0)


def _ask_for(number: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
