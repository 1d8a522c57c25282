"""Our own small pool of fitting processes: one pipe each, a study sticks to one, a slow fit is
ended and its process replaced.

The standard library's executor cannot end one running call and has no affinity; both are needed
here.
"""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
import zlib
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from ..errors import Unavailable
from .fitting import BOOTSTRAP, FitReply, FitRequest, Question, child_environment

log = logging.getLogger(__name__)

START_LIMIT_S = 60.0
"""How long a fitting process may take to import what it needs."""


class FitTimeout(Unavailable):
    """A fit took longer than its limit; the process was ended."""

    code = "suggester-unavailable"


class FitFailed(Unavailable):
    """A fit ended with an error, or its process died."""

    code = "suggester-unavailable"


class FitProcess:
    """One fitting process, started when it is first needed. Calls from several threads queue up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._is_closed = False
        self.known: dict[str, tuple[int, int]] = {}
        """(change_seq, revision) of what the process knows, by study id; empty after a start."""
        self._dropped: queue.SimpleQueue[str] = queue.SimpleQueue()

    def drop(self, study_id: str) -> None:
        """Has the process forget a study with the next request; waits for nothing."""
        self._dropped.put(study_id)

    def take_dropped(self) -> tuple[str, ...]:
        """Studies to be forgotten that the process knows; the caller holds the lock."""
        gone = []
        while not self._dropped.empty():
            study_id = self._dropped.get()
            if self.known.pop(study_id, None) is not None:
                gone.append(study_id)
        return tuple(gone)

    @property
    def lock(self) -> threading.Lock:
        """Held around reading `known`, building a request and calling."""
        return self._lock

    @property
    def pid(self) -> int | None:
        """Process id, or None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process unless it runs; the caller holds the lock.

        Raises:
            FitFailed: the pool was closed, or the process does not come up.
        """
        if self._is_closed:
            raise FitFailed("the service is stopping")
        if self._process is not None and self._process.poll() is None:
            return
        self.end()
        ours, theirs = Pipe()
        self._process = self.spawn(theirs)
        theirs.close()
        self._connection = ours
        self._receive(START_LIMIT_S)

    @staticmethod
    def spawn(theirs: Connection) -> subprocess.Popen[bytes]:
        """A new process that serves the other end of a pipe; its first word is "ready"."""
        root = Path(__file__).resolve().parent.parent
        return subprocess.Popen(
            [
                sys.executable, "-P", "-c", BOOTSTRAP,
                __name__.partition(".")[0], str(root / "__init__.py"), str(theirs.fileno()),
            ],
            pass_fds=(theirs.fileno(),),
            env=child_environment(),
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def call(self, request: FitRequest | Question, limit_s: float) -> FitReply:
        """Runs one request; the caller holds the lock and has called `start`.

        Raises:
            FitTimeout: no answer within `limit_s` seconds; the process is gone.
            FitFailed: the process died.
        """
        try:
            if self._connection is None:
                raise FitFailed("the fitting process is not running")
            self._connection.send(request)
        except OSError as error:
            self.end()
            raise FitFailed(f"the fitting process died: {error}") from error
        reply = self._receive(limit_s)
        if not isinstance(reply, FitReply):
            self.end()
            raise FitFailed("the fitting process answered out of turn")
        for study_id in reply.forgotten:
            self.known.pop(study_id, None)
        return reply

    def _receive(self, limit_s: float) -> object:
        connection = self._connection
        if connection is None:
            raise FitFailed("the fitting process is not running")
        try:
            if not connection.poll(limit_s):
                self.end()
                raise FitTimeout(f"the fit took longer than {limit_s:g} s and was ended")
            return connection.recv()
        except (EOFError, OSError) as error:
            self.end()
            raise FitFailed(f"the fitting process died: {type(error).__name__}") from error

    def kill(self) -> None:
        """Ends a running fit from another thread: its caller sees the pipe close."""
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the process for good, a running fit included."""
        self._is_closed = True
        self.kill()
        with self._lock:
            self.end()

    def end(self) -> None:
        """Ends the process, whatever it does; the next call starts another."""
        self.known.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class FitPool:
    """The processes; a study always goes to the same one, so that its history is kept in one
    place.
    """

    def __init__(self, size: int) -> None:
        self.processes = tuple(FitProcess() for _ in range(size))

    def of(self, study_id: str) -> FitProcess:
        """The process of a study."""
        return self.processes[zlib.crc32(study_id.encode()) % len(self.processes)]

    def close(self) -> None:
        """Ends all processes, running fits included."""
        for process in self.processes:
            process.close()
