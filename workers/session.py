"""What a trial's process sends: read from its pipes, passed on, until it has exited."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from tunewell.failures import Failure

from .output import Output

POLL_S = 0.1
"""How often an exit is looked for where no file descriptor tells it."""
_CHUNK_BYTES = 1 << 16


class Child(Protocol):
    """A trial's process with its pipes, wherever it runs.

    Attributes:
        pid: its id on this machine; None where it runs on another.
        report_fd: gives the trial's messages, one JSON line each.
        output_fd: gives what it prints.
        exit_fd: readable once it is over, or None where the system has no such thing.
    """

    pid: int | None
    report_fd: int
    output_fd: int
    exit_fd: int | None

    def has_exited(self) -> bool:
        """Whether it is over; asked only where no `exit_fd` tells it."""

    def signal_group(self, number: int) -> None:
        """Signals the whole group; to be called before `close` only."""

    def order(self, order: Mapping[str, Any]) -> None:
        """Sends an order; one to a process that is over is lost."""

    def close(self) -> int:
        """Ends what is left of the group, closes the pipes; the exit status, negative for a
        signal.
        """

    def failure_of(self, status: int, output: str) -> Failure:
        """What it is when it was over without a word of how it ended.

        Args:
            status: as `close` gave it.
            output: the end of what it printed.
        """


class Sink(Protocol):
    """Where a trial's reports go, each safe once the call returns."""

    def report(self, points: list[dict[str, Any]]) -> None:
        """Takes measurements that came together."""

    def checkpoint(self, step: int, path: str) -> None:
        """Takes a checkpoint's file over, which comes after all reports up to its step."""

    def ask_equal(self, point: Mapping[str, Any]) -> None:
        """Takes a trial's canonical point, whose process waits for `Runner.answer`."""


class Session:
    """What a process has sent so far."""

    def __init__(
        self,
        child: Child,
        output: Output,
        sink: Sink,
        on_end: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._child = child
        self._output = output
        self._sink = sink
        self._on_end = on_end
        self._rest = b""
        self.last_step: int | None = None
        self.end: Mapping[str, Any] | None = None
        self.failure: Failure | None = None
        self.usage: Mapping[str, Any] = {}
        self.has_exited = False

    @property
    def is_done(self) -> bool:
        """Whether it has said how it ended."""
        return self.end is not None or self.failure is not None

    @contextlib.contextmanager
    def watching(self, wake_fd: int) -> Iterator[selectors.BaseSelector]:
        """A selector over everything that a trial's thread waits for."""
        with selectors.DefaultSelector() as selector:
            child = self._child
            for fd in (child.report_fd, child.output_fd, child.exit_fd, wake_fd):
                if fd is not None:
                    selector.register(fd, selectors.EVENT_READ)
            for fd in (child.report_fd, child.output_fd, wake_fd):
                os.set_blocking(fd, False)
            yield selector

    def pump(self, selector: selectors.BaseSelector, wait_s: float | None) -> None:
        """Waits for something to happen and takes what came."""
        if self._child.exit_fd is None:
            wait_s = POLL_S if wait_s is None else min(wait_s, POLL_S)
        for key, _ in selector.select(wait_s):
            if key.fd == self._child.exit_fd:
                self.has_exited = True
            elif self._take(key.fd) == 0:
                selector.unregister(key.fd)
        if self._child.exit_fd is None:
            self.has_exited = self._child.has_exited()

    def drain(self) -> None:
        """Takes what is left in the pipes of a process that has exited."""
        for fd in (self._child.report_fd, self._child.output_fd):
            while (self._take(fd) or 0) > 0:
                pass

    def _take(self, fd: int) -> int | None:
        """Takes a piece from a pipe; its size, 0 at the end, None when there is nothing now."""
        try:
            chunk = os.read(fd, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        if fd == self._child.output_fd:
            self._output.add(chunk)
        elif fd == self._child.report_fd:
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._read([json.loads(line) for line in lines])
        return len(chunk)

    def _read(self, messages: list[dict[str, Any]]) -> None:
        points = [message["report"] for message in messages if "report" in message]
        if points:
            self.last_step = points[-1]["step"]
            self._sink.report(points)
        for message in messages:
            if "equivalent" in message:
                self._sink.ask_equal(message["equivalent"])
            elif "checkpoint" in message:
                self._sink.checkpoint(**message["checkpoint"])
            elif "end" in message:
                self.end = message["end"]
                self._on_end(message["end"])
            elif "fail" in message:
                self.failure = Failure(**message["fail"])
                self.usage = message.get("usage", {})  # a lost node says nothing
