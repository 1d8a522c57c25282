"""The command line. Standard output is data, standard error is talk.

Exit status: 0 fine, 1 the study failed or was not found, 2 wrong usage, 3 no service answered.

Loading it loads no HTTP client, no numerics and no service: each command loads what it needs, and
only once it is asked for.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import ApiError, TunewellError, Unreachable, why
from ..terminal import complain, forget_wishes

FINE, FAILED, WRONG_USAGE, UNREACHABLE = 0, 1, 2, 3

_WRONG_USAGE = frozenset({400, 413, 415, 422})
"""Statuses that say that what was sent is wrong."""
_AWAY = frozenset({502, 503, 504})
"""Statuses that say that the service, or its database, is not there."""


_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
"""Why the system takes no more output."""


def main() -> None:
    """The entry point of the `tunewell` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us: nobody is to read it
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and turns errors into sentences; returns the exit status.

    Args:
        arguments: the command line without the program's name.
    """
    status = FINE
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read standard output has seen enough.
        _write_no_more()
    except OSError as error:
        if error.filename is not None or error.errno not in _UNWRITABLE:
            raise
        _write_no_more()
        _complain([f"error: standard output cannot be written: {why(error).lower()}"])
        return FAILED
    return status


def _run(arguments: Sequence[str]) -> int:
    from typer import Abort, TyperException

    from .root import root

    as_json = "--json" in arguments
    forget_wishes()
    try:
        status = root().main(list(arguments), "tunewell", standalone_mode=False)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise error.__context__ from None
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except Abort:
        return FAILED
    except TyperException as error:
        return _tell_usage(error, as_json=as_json)
    except TunewellError as error:
        return _tell(error, as_json=as_json)
    return status if isinstance(status, int) else FINE


def _write_no_more() -> None:
    """What standard output still holds goes nowhere, or the interpreter would fail at it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_usage(error: Any, *, as_json: bool) -> int:
    """Says what is wrong with the command line and where its use is told."""
    from .output import usage_lines

    lines = usage_lines(error)
    _tell_json(as_json, "wrong-usage", lines[0].removeprefix("error: "))
    _complain(lines)
    return WRONG_USAGE


def _tell(error: TunewellError, *, as_json: bool) -> int:
    """Says what went wrong and what to do about it."""
    from .output import print_json, problem_lines, unreachable_lines

    if isinstance(error, Unreachable):
        _tell_json(as_json, "service-unreachable", error.summary)
        _complain(unreachable_lines(error))
        return UNREACHABLE
    if isinstance(error, ApiError):
        if as_json:
            print_json({"type": "error", "error": {"status": error.status, **error.problem}})
        _complain(problem_lines(error))
        return _status_of(error)
    _tell_json(as_json, "failed", error.summary)
    first, *more = str(error).splitlines() or [type(error).__name__]
    _complain([f"error: {first}", *(f"  {line.strip().removeprefix('next: ')}" for line in more)])
    return error.exit_status


def _status_of(error: ApiError) -> int:
    if error.status in _WRONG_USAGE:
        return WRONG_USAGE
    return UNREACHABLE if error.status in _AWAY else FAILED


def _tell_json(as_json: bool, code: str, detail: str) -> None:
    from .output import print_json

    if as_json:
        print_json({"type": "error", "error": {"code": code, "detail": detail}})


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        complain(line)
