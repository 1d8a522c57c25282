"""Which failure kind an exception, an exit status or a final value is. Pure."""

from __future__ import annotations

import errno
import math
import signal
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

MESSAGE_CHARS = 2_000
TRACEBACK_CHARS = 20_000

_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory")
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})
"""What a write meets that no other code would change."""
_FROM_OUTSIDE = frozenset(
    {signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGBUS}
)
"""Signals that something else than the trial's own code sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a trial's process ended badly. `kind` is one of the contract's failure kinds."""

    kind: str
    message: str = ""
    traceback: str = ""

    def bounded(self) -> dict[str, str]:
        """As the service takes it, cut to the lengths that it keeps."""
        return {
            "kind": self.kind,
            "message": self.message[:MESSAGE_CHARS],
            "traceback": self.traceback[-TRACEBACK_CHARS:],
        }


def of_exception(error: BaseException, *, kind: str | None = None) -> Failure:
    """The failure that an exception out of an objective is.

    Args:
        error: what the objective raised.
        kind: to be used instead of what the exception itself tells.
    """
    name = type(error).__name__
    message = f"{name}: {error}" if str(error) else name
    if _is_of_the_disk(error):
        kind = "infrastructure"
        message += " (make room, or have the disk looked after, on the worker's machine)"
    return Failure(
        kind=kind or ("oom" if _is_out_of_memory(error) else "user_error"),
        message=message,
        traceback="".join(traceback.format_exception(error)),
    )


def _is_of_the_disk(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return True
    # What a library wraps, e.g. what torch raises when it saves.
    return isinstance(error, RuntimeError) and "no space left on device" in str(error).lower()


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # By name: torch need not be there, and its class has moved between versions.
    if any(each.__name__ == "OutOfMemoryError" for each in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in _MEMORY_WORDS
    )


def of_exit(returncode: int, output: str, *, is_for_memory: bool = False) -> Failure:
    """The failure of a process that ended without saying how.

    Args:
        returncode: as `subprocess` has it: the negative number of the signal that ended it.
        output: the end of what it printed.
        is_for_memory: whether the kernel has ended a process for want of memory meanwhile.
    """
    if is_for_memory and returncode == -signal.SIGKILL:
        return Failure(
            kind="oom",
            message="the trial's process was ended by the kernel (SIGKILL), which had no memory "
            "left: run fewer trials at once there (--slots), make this one smaller, or give the "
            "worker more memory",
            traceback=output,
        )
    if returncode >= 0:
        message = f"the trial's process exited with status {returncode} before it gave its values"
        return Failure(kind="user_error", message=message, traceback=output)
    ended_by = -returncode
    message = f"the trial's process was ended by {signal_name(ended_by)}"
    if ended_by == signal.SIGKILL:
        message += (
            ", perhaps by the system for want of memory: the machine's kernel log says so then; "
            "run fewer trials at once there (--slots), or smaller ones"
        )
    kind = "infrastructure" if ended_by in _FROM_OUTSIDE else "user_error"
    return Failure(kind=kind, message=message, traceback=output)


def signal_name(number: int) -> str:
    """A signal's name; those without one (real-time signals) by their number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def of_values(values: Mapping[str, float]) -> Failure | None:
    """A failure of kind nan when a final value is not finite, else None."""
    bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if not bad:
        return None
    return Failure(kind="nan", message=f"the final value of {', '.join(bad)}")


def of_time_limit(limit_s: float) -> Failure:
    """The failure of a trial that took longer than the study allows."""
    return Failure(kind="timeout", message=f"the trial took longer than {limit_s:g} s")
