"""Processes forked off one that has everything loaded: there at once, and as empty as new ones.

What a real start does is tested where it is the matter: by `tests/service/test_points.py` for the
fitting process, by the tests of the command line and of the packages for the service.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any
from unittest import mock

from app.service import fitting
from app.service.pool import FitProcess

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.system.crash.serving"])


class WarmFit:
    """A fitting process; what `FitProcess` uses of a `Popen`."""

    def __init__(self, theirs: Connection) -> None:
        self._process = processes.Process(target=_fit, args=(theirs,), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int | None:
        self._process.join()
        return self._process.exitcode


def _fit(theirs: Connection) -> None:
    fitting.main(os.dup(theirs.fileno()))


@contextmanager
def warm_fits() -> Iterator[Any]:
    """Fitting processes of the services in this process are forked off, not started."""
    with mock.patch.object(FitProcess, "spawn", staticmethod(WarmFit)):
        yield
