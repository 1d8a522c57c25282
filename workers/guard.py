"""A process that is there when its worker is killed, and ends what the trials have started: those
in processes of their own die with the worker, and have no time to do it.

Run by path, with the standard library alone: it is small, and never reads the user's modules.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main(fd: str) -> None:
    """Ends the groups that it was told of, at the end of the pipe that tells of them.

    Args:
        fd: of the pipe; a line is the id of a group, or of one that is gone already behind a minus.
    """
    groups: set[int] = set()
    with os.fdopen(int(fd)) as told:
        for line in told:
            number = int(line)
            if number > 0:
                groups.add(number)
            else:
                groups.discard(-number)
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])
