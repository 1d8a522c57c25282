"""Runs one trial in a child process: reads what it sends, ends it on demand, says how it ended.

One thread of its own per trial starts the process and outlives it. Orders from other threads are
flags and a byte on a pipe; every decision is made in this thread.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tunewell import failures
from tunewell.failures import Failure

from .output import Output
from .session import Child, Session, Sink

GRACE_S = 3.0
"""From SIGTERM to SIGKILL."""
EXIT_S = 10.0
"""How long a process may take to exit after it has sent its values."""
_BEGIN = {"order": "begin"}
"""What a process waits for that was made ready before its trial's turn."""


class Cause(StrEnum):
    """Why a process is ended from here."""

    ABORT = "abort"  # cancelled, or the lease is lost: nothing is told
    RELEASE = "release"  # the worker ends: the trial is given back
    TIME_LIMIT = "time_limit"
    REFUSED = "refused"  # what it reports is not taken, and it cannot go on without


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
        waits: whether the process is only made ready at first and waits for `begin`; its job says
            so too.
        on_end: told how a trial has come to its end when its process says so; it has yet to exit.
    """

    def __init__(
        self,
        start: Callable[[], Child],
        sink: Sink,
        *,
        output: Output | None = None,
        time_limit_s: float | None = None,
        grace_s: float = GRACE_S,
        waits: bool = False,
        on_end: Callable[[Mapping[str, Any]], None] = lambda end: None,
    ) -> None:
        self._start = start
        self._sink = sink
        self._time_limit_s = time_limit_s
        self._grace_s = grace_s
        self._waits = waits
        self._on_end = on_end
        self._begun = threading.Event()
        self._ready: Child | None = None
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

    def begin(self) -> None:
        """Has a trial begin whose process was made ready, or is being made so."""
        with self._lock:
            if self._ready is not None:
                self._ready.order(_BEGIN)
            self._begun.set()

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

    def lend(self, n_cores: int) -> None:
        """Has the trial told how many cores it may compute on from now on."""
        self._order(order="cores", n_cores=n_cores)

    def _order(self, **order: Any) -> None:
        self._orders.append(order)
        self._wake()

    def kill(self, cause: Cause) -> None:
        """Has the process group ended, also one that waits; the first cause given stays, but an
        abort replaces a release.
        """
        with self._lock:
            if self._cause is None or cause is Cause.ABORT:
                self._cause = cause
        self._begun.set()
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
            child = self._made_ready() if self._waits else self._start()
        except OSError as error:
            self._end()
            return Outcome(failure=failures.of_exception(error, kind="infrastructure"))
        if child is None:
            self._end()
            return Outcome(cause=self._cause)
        self.pid = child.pid
        session = Session(child, self.output, self._sink, self._on_end)
        try:
            self._attend(child, session)
        finally:
            # Whatever broke here, the group does not outlive this thread.
            status = child.close()
            self.pid = None
            self._end()
        self.last_step = session.last_step
        return self._outcome(session, child, status)

    def _made_ready(self) -> Child | None:
        """Starts the process and waits until the trial begins, or is ended before; None: there is
        none to end.
        """
        child = None
        with contextlib.suppress(OSError):  # another try is made when the trial begins
            child = self._start()
        with self._lock:
            self._ready = child
            if child is not None and self._begun.is_set():
                child.order(_BEGIN)
        self._begun.wait()
        with self._lock:
            self._ready = None
        if self._cause is None and (child is None or _is_over(child)):
            # It died while it waited: that costs no trial.
            if child is not None:
                child.close()
            child = self._start()
            child.order(_BEGIN)
        return child

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            os.close(self._wake_r)
            os.close(self._wake_w)

    def _attend(self, child: Child, session: Session) -> None:
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

    def _outcome(self, session: Session, child: Child, status: int) -> Outcome:
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


def _is_over(child: Child) -> bool:
    """Whether a process has exited already."""
    if child.exit_fd is None:
        return child.has_exited()
    return bool(select.select([child.exit_fd], [], [], 0)[0])


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
