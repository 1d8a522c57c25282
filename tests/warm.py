"""Processes forked off one that has everything loaded: there at once, and as empty as new ones.

To start a service takes 2 to 3 s of a core, nearly all of it to import what it needs. What a real
start does is tested where it is the matter: the fitting process by `tests/service/test_points.py`,
the command line by `tests/examples` and `tests/packaging`.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from app.service import fitting
from app.service.pool import FitProcess

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.loaded", "tests.system.crash.serving"])


class _Forked:
    """What is used of a `Popen`, for a forked process."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process
        process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        # It may have ended, and its parent not have told yet.
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return self._process.exitcode


class WarmFit(_Forked):
    """A fitting process on the other end of a pipe."""

    def __init__(self, theirs: Connection) -> None:
        super().__init__(processes.Process(target=_fit, args=(theirs,), daemon=True))


def _fit(theirs: Connection) -> None:
    fitting.main(os.dup(theirs.fileno()))


@contextmanager
def warm_fits() -> Iterator[None]:
    """Fitting processes of the services in this process are forked off, not started."""
    with mock.patch.object(FitProcess, "spawn", staticmethod(WarmFit)):
        yield


class WarmCommand(_Forked):
    """`python -m tunewell ARGUMENTS`, the leader of a new session.

    Attributes:
        stdout: what it writes to its standard output, as text.
    """

    def __init__(
        self, arguments: Sequence[str], *, stderr: Path, cwd: Path, env: Mapping[str, str]
    ) -> None:
        ours, theirs = processes.Pipe(duplex=False)
        given = (list(arguments), theirs, str(stderr), str(cwd), dict(env))
        super().__init__(processes.Process(target=_command, args=given, daemon=True))
        theirs.close()
        self.stdout = os.fdopen(os.dup(ours.fileno()), encoding="utf-8")
        ours.close()


def _command(
    arguments: list[str], stdout: Connection, stderr: str, cwd: str, env: dict[str, str]
) -> None:
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    nothing = os.open(os.devnull, os.O_RDONLY)
    errors = os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, fd in enumerate((nothing, stdout.fileno(), errors)):
        os.dup2(fd, number)
    for fd in (nothing, errors):
        os.close(fd)
    stdout.close()
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
    sys.argv = ["tunewell", *arguments]
    runpy.run_module("tunewell", run_name="__main__")
