"""Processes that end with the process that started them, also when that one is killed.

The parent holds the writing end of a pipe that it never writes to. At the end of the pipe, which
comes however the parent ends, the child ends itself as if told to by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import threading
import time

VARIABLE = "TUNEWELL_LIFELINE"
"""Environment variable with the file descriptor of the reading end."""

_URGE_S, _END_LIMIT_S = 2.0, 20.0


def hold() -> None:
    """In a child that was given a lifeline: ends this process in order once its parent is gone."""
    given = os.environ.pop(VARIABLE, "")
    if not given.isdigit():
        return
    fd = int(given)
    # Our own children have lifelines of their own, or none.
    os.set_inheritable(fd, False)
    threading.Thread(target=_end_with, args=(fd,), name="lifeline", daemon=True).start()


def _end_with(fd: int) -> None:
    while os.read(fd, 1):
        pass
    # The second signal asks a worker not to wait for its trials; nobody is left who wants them.
    for told, patience in (
        (signal.SIGTERM, _URGE_S),
        (signal.SIGTERM, _END_LIMIT_S),
        (signal.SIGKILL, 0.0),
    ):
        os.kill(os.getpid(), told)
        time.sleep(patience)


class Lifeline:
    """In a parent: what its children hang on."""

    def __init__(self) -> None:
        self.fd, self._held = os.pipe()

    def environment(self) -> dict[str, str]:
        """What a child's environment has to hold; `fd` has to be passed on to it."""
        return {VARIABLE: str(self.fd)}

    def cut(self) -> None:
        """Closes the pipe: children that still run are told to end."""
        for fd in (self._held, self.fd):
            os.close(fd)
