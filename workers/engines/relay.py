"""The worker's end of a trial that runs elsewhere: looks to its `Runner` like a process here.

A thread fetches what the process does and writes it into pipes of this machine; a checkpoint
becomes a file here. When the far end is lost, the relay itself says that the trial has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from tunewell import failures
from tunewell.failures import Failure

from ..descriptors import write_all
from ..jobs import Job
from .remote import PIECE_BYTES, Event

_PART = "relayed.part"


class Lost(ConnectionError):
    """The far end is gone, or will not do what was asked; the message says why."""


class Far(Protocol):
    """A way to a `Remote`."""

    def call(self, method: str, *arguments: Any) -> Any:
        """Calls one of its methods and waits for the answer, however long that takes.

        Raises:
            Lost: it is gone, or the method has failed.
        """

    def tell(self, method: str, *arguments: Any) -> None:
        """Has one of its methods called, in order with the others told; does not wait, and beside a
        call.
        """

    def end(self) -> None:
        """Ends it, with its process, or takes it out of the queue. May be called twice."""


class RelayedChild:
    """A trial's process elsewhere.

    Args:
        far: the way there.
        job: what to run.
        on_placed: told the name of the node once the process is there.
    """

    def __init__(self, far: Far, job: Job, on_placed: Callable[[str], None]) -> None:
        self._far = far
        self._job = job
        self._on_placed = on_placed
        self._lock = threading.Lock()
        self._is_placed = False
        self._is_over = False
        self._early: list[Mapping[str, Any]] = []
        self._checkpoints = Path(job.checkpoint_dir or "")
        self._part: IO[bytes] | None = None
        self._status: int = -signal.SIGKILL
        self.pid: int | None = None
        self.report_fd, self._report_w = os.pipe()
        self.output_fd, self._output_w = os.pipe()
        exit_r, self._exit_w = os.pipe()
        self.exit_fd: int | None = exit_r
        self._thread = threading.Thread(
            target=self._relay, name=f"relay-{job.trial_id}", daemon=True
        )
        self._thread.start()

    def has_exited(self) -> bool:
        """Whether all that the process did has arrived."""
        return not self._thread.is_alive()

    def signal_group(self, number: int) -> None:
        """Signals the process and all it started; one that still waits for a place is taken out of
        the queue.
        """
        with self._lock:
            if not self._is_placed:
                self._far.end()
            elif not self._is_over:
                self._far.tell("signal_group", number)

    def order(self, order: Mapping[str, Any]) -> None:
        """Sends an order, or keeps it until the process has a place."""
        with self._lock:
            if not self._is_placed:
                self._early.append(order)
            elif not self._is_over:
                self._far.tell("order", dict(order))

    def close(self) -> int:
        """Ends what is left there, closes the pipes; the exit status."""
        self._far.end()
        for fd in (self.report_fd, self.output_fd, self.exit_fd):
            if fd is not None:
                os.close(fd)
        self._thread.join()
        return self._status

    def failure_of(self, status: int, output: str) -> Failure:
        """By the status alone."""
        return failures.of_exit(status, output)

    def _relay(self) -> None:
        try:
            self._begin()
            while not self._take(self._far.call("next")):
                pass
        except OSError as error:
            self._say_failed(error)
        finally:
            self._end()

    def _begin(self) -> None:
        if self._job.resume is not None:
            with Path(self._job.resume["path"]).open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    self._far.call("put", piece)
        node = self._far.call("start", self._job.to_line())
        with self._lock:
            self._is_placed = True
            for order in self._early:
                self._far.tell("order", dict(order))
        self._on_placed(str(node))

    def _take(self, events: Iterable[Event]) -> bool:
        """Passes events on; whether the process is over."""
        for kind, content in events:
            if kind == "line":
                write_all(self._report_w, content + b"\n")
            elif kind == "output":
                write_all(self._output_w, content)
            elif kind == "piece":
                self._open_part().write(content)
            elif kind == "checkpoint":
                self._saved(content)
            else:
                self._status = content
                return True
        return False

    def _open_part(self) -> IO[bytes]:
        if self._part is None:
            self._part = (self._checkpoints / _PART).open("wb")
        return self._part

    def _saved(self, step: int) -> None:
        """All of a checkpoint has arrived: to the Runner it is as if it was saved here."""
        with self._open_part() as part:
            part.flush()
            os.fsync(part.fileno())
        self._part = None
        path = self._checkpoints / f"{step}.checkpoint"
        (self._checkpoints / _PART).rename(path)
        self._say({"checkpoint": {"step": step, "path": str(path)}})

    def _say(self, message: Mapping[str, Any]) -> None:
        write_all(self._report_w, json.dumps(message).encode() + b"\n")

    def _say_failed(self, error: OSError) -> None:
        first, _, rest = str(error).partition("\n")
        failure = Failure(kind="infrastructure", message=first, traceback=rest)
        # A Runner that has closed its ends wants to hear nothing more.
        with contextlib.suppress(BrokenPipeError):
            self._say({"fail": failure.bounded()})

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
        self._far.end()
        if self._part is not None:
            self._part.close()
        # The exit last: whoever sees it finds all the rest in the pipes.
        for fd in (self._report_w, self._output_w, self._exit_w):
            os.close(fd)
