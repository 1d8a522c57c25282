"""Runs one trial in a child process: reads what it sends, ends it on demand, says how it ended.

One thread of its own per trial starts the process and outlives it. Orders from other threads are
flags and a byte on a pipe; every decision is made in this thread.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from tunewell import failures
from tunewell.failures import Failure

from .output import Output

GRACE_S = 3.0
"""From SIGTERM to SIGKILL."""
EXIT_S = 10.0
"""How long a process may take to exit after it has sent its values."""
POLL_S = 0.1
"""How often an exit is looked for where no file descriptor tells it."""
_CHUNK_BYTES = 1 << 16


class Cause(StrEnum):
    """Why a process is ended from here."""

    ABORT = "abort"  # cancelled, or the lease is lost: nothing is told
    RELEASE = "release"  # the worker ends: the trial is given back
    TIME_LIMIT = "time_limit"
    REFUSED = "refused"  # what it reports is not taken, and it cannot go on without


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a process ended; exactly one of the fields is set, none when it was aborted.

    Attributes:
        end: `state`, `values`, `step`, `usage`, `data` of a trial that came to its end; of one
            that is `paused`, `left` or `answered` the state alone.
        failure: why it failed.
        usage: of one that failed, what it had used, where it could still say so.
        cause: why it was ended from here (not for a time limit, which is a failure).
    """

    end: Mapping[str, Any] | None = None
    failure: Failure | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    cause: Cause | None = None


class Runner:
    """One trial's process, from its start to its end.

    Args:
        start: starts the process; called in the thread that calls `run`.
        sink: takes the reports.
        output: takes what the process prints.
        time_limit_s: how long the trial may run, or None.
        grace_s: from SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        start: Callable[[], Child],
        sink: Sink,
        *,
        output: Output | None = None,
        time_limit_s: float | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        self._start = start
        self._sink = sink
        self._time_limit_s = time_limit_s
        self._grace_s = grace_s
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        self._lock = threading.Lock()
        self._cause: Cause | None = None
        self._refused: Failure | None = None
        self._orders: deque[Mapping[str, Any]] = deque()
        self._is_over = False
        self.output = output or Output()
        self.last_step: int | None = None
        self.pid: int | None = None

    def stop(self) -> None:
        """Has the trial told to end by itself, soon."""
        self._order(order="stop")

    def pause(self) -> None:
        """Has the trial told to save, if it can, and to end by itself: it goes on another time."""
        self._order(order="pause")

    def leave(self) -> None:
        """Has a trial that waits at the end of its budget told to save and end, unanswered."""
        self._order(order="leave")

    def go_on(self, step: int, to_step: int | None) -> None:
        """Has the trial told that it may train up to `to_step` after its report of `step`."""
        self._order(order="continue", step=step, to_step=to_step)

    def answer(self, *, is_known: bool) -> None:
        """Has a trial that asked for equal work told to train, or that its result is known."""
        self._order(order="answered" if is_known else "train")

    def want_checkpoint(self) -> None:
        """Has the trial told to save a checkpoint, if it can."""
        self._order(order="checkpoint")

    def _order(self, **order: Any) -> None:
        self._orders.append(order)
        self._wake()

    def kill(self, cause: Cause) -> None:
        """Has the process group ended; the first cause given stays, but an abort replaces a
        release.
        """
        with self._lock:
            if self._cause is None or cause is Cause.ABORT:
                self._cause = cause
        self._wake()

    def fail(self, failure: Failure) -> None:
        """Has the process group ended: the trial has failed, as is said here."""
        self._refused = failure
        self.kill(Cause.REFUSED)

    @property
    def cause(self) -> Cause | None:
        """Why the process is being ended from here, if it is."""
        return self._cause

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._is_over:
                os.write(self._wake_w, b"!")

    def run(self) -> Outcome:
        """Starts the process and stays with it until its whole group is gone."""
        try:
            child = self._start()
        except OSError as error:
            self._end()
            return Outcome(failure=failures.of_exception(error, kind="infrastructure"))
        self.pid = child.pid
        session = _Session(child, self.output, self._sink)
        try:
            self._attend(child, session)
        finally:
            # Whatever broke here, the group does not outlive this thread.
            status = child.close()
            self.pid = None
            self._end()
        self.last_step = session.last_step
        return self._outcome(session, child, status)

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            os.close(self._wake_r)
            os.close(self._wake_w)

    def _attend(self, child: Child, session: _Session) -> None:
        """Reads the pipes and follows orders until the process has exited."""
        clock = _Clock(child, self._time_limit_s, self._grace_s)
        with session.watching(self._wake_r) as selector:
            while not session.has_exited:
                session.pump(selector, _sooner(clock.next_in(), self.output.due_in))
                self.output.send_due()
                self.last_step = session.last_step
                while self._orders:
                    child.order(self._orders.popleft())
                if session.is_done:
                    clock.note_done()
                elif clock.is_out_of_time():
                    self.kill(Cause.TIME_LIMIT)
                if clock.is_lingering() or (self._cause is not None and not session.is_done):
                    clock.send_signals()
        # Before the last reading: nothing may go on writing into the pipes.
        child.signal_group(signal.SIGKILL)
        session.drain()

    def _outcome(self, session: _Session, child: Child, status: int) -> Outcome:
        if self._cause is Cause.ABORT:
            return Outcome(cause=Cause.ABORT)
        # Values that were sent before the end came count.
        if session.end is not None:
            return Outcome(end=session.end)
        if session.failure is not None and self._cause is None:
            return Outcome(failure=session.failure, usage=session.usage)
        if self._cause is Cause.TIME_LIMIT:
            return Outcome(failure=failures.of_time_limit(self._time_limit_s or 0.0))
        if self._cause is Cause.RELEASE:
            return Outcome(cause=Cause.RELEASE)
        if self._cause is Cause.REFUSED:
            return Outcome(failure=self._refused)
        return Outcome(failure=child.failure_of(status, self.output.text))


def _sooner(one: float | None, other: float | None) -> float | None:
    """The shorter of two waits; None: no end."""
    waits = [wait for wait in (one, other) if wait is not None]
    return min(waits, default=None)


class _Clock:
    """When the next thing has to be done to a process."""

    def __init__(self, child: Child, time_limit_s: float | None, grace_s: float) -> None:
        self._child = child
        self._grace_s = grace_s
        self._limit_at = math.inf if time_limit_s is None else time.monotonic() + time_limit_s
        self._exit_by = math.inf
        self._kill_at = math.inf
        self._n_signals = 0

    def next_in(self) -> float | None:
        """Seconds until something is due, None when nothing is."""
        waiting_for = (min(self._limit_at, self._exit_by), self._kill_at, math.inf)
        due = waiting_for[self._n_signals]
        return None if math.isinf(due) else max(0.0, due - time.monotonic())

    def note_done(self) -> None:
        """The process has said how it ended: from now on it only has to exit."""
        if math.isinf(self._exit_by):
            self._limit_at = math.inf
            self._exit_by = time.monotonic() + EXIT_S

    def is_out_of_time(self) -> bool:
        """Whether the trial's time limit is over."""
        return time.monotonic() >= self._limit_at

    def is_lingering(self) -> bool:
        """Whether a process that has said how it ended takes too long to exit."""
        return time.monotonic() >= self._exit_by

    def send_signals(self) -> None:
        """SIGTERM to the group at first, SIGKILL when the grace is over."""
        if self._n_signals == 0:
            self._n_signals = 1
            self._kill_at = time.monotonic() + self._grace_s
            self._child.signal_group(signal.SIGTERM)
        elif self._n_signals == 1 and time.monotonic() >= self._kill_at:
            self._n_signals = 2
            self._child.signal_group(signal.SIGKILL)


class _Session:
    """What a process has sent so far."""

    def __init__(self, child: Child, output: Output, sink: Sink) -> None:
        self._child = child
        self._output = output
        self._sink = sink
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
            elif "fail" in message:
                self.failure = Failure(**message["fail"])
                self.usage = message.get("usage", {})  # a lost node says nothing
