"""The parent's end of a process that trains several trials, and of each trial in it.

To its `Runner` a trial of a group looks like a process: it has pipes, it can be told to end, and it
is over some time. But nothing that is done to one is done to the others.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from tunewell import failures
from tunewell.failures import Failure

from .group_child import DONE, LOST
from .jobs import Job
from .processes import command, guard, wait_quietly

EXIT_S = 5.0
"""How long the exit status of a process is waited for whose pipes have closed."""


class Group:
    """A process for trials that may be trained as one.

    To be made by a thread that lives as long as the worker: it dies with that thread.

    Args:
        environment: of the process.
        folder: the user's, to work in; empty for that of the worker.

    Attributes:
        is_spent: whether it is to be given no more trials.
    """

    def __init__(self, environment: Mapping[str, str], folder: str = "") -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(
                command("group_child", theirs.fileno(), os.getpid()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                cwd=folder or None,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self._popen.pid
        guard.keep(self.pid)
        self.is_spent = False
        self._trials = ours
        self._lock = threading.Lock()
        self._n_stacks: int | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it can still take a trial."""
        return self._popen.poll() is None

    @property
    def n_stacks(self) -> int | None:
        """How many sets its trials were in when it said so last; None: it has not yet."""
        with contextlib.suppress(OSError):
            if told := self._trials.recv(1 << 12, socket.MSG_DONTWAIT):
                self._n_stacks = told[-1]
        return self._n_stacks

    def join(self, job: Job) -> Lane:
        """Has the process begin a trial.

        Raises:
            OSError: it is gone, or no pipe can be had.
        """
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            report_r, report_w = os.pipe()
            output_r, output_w = os.pipe()
            for fd in (report_r, output_r):
                undo.callback(os.close, fd)
            try:
                with self._lock:
                    socket.send_fds(self._trials, [b"!"], [theirs.fileno(), report_w, output_w])
            finally:
                theirs.close()
                os.close(report_w)
                os.close(output_w)
            undo.pop_all()
        lane = Lane(self, ours, report_r, output_r)
        lane.send(job.to_line())
        return lane

    def exit_status(self) -> int:
        """Of a process that has ended; one that has not is ended."""
        wait_quietly(self._popen, EXIT_S)
        return self._popen.returncode

    def close(self) -> None:
        """Ends it, with all it started."""
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        guard.forget(self.pid)
        self._popen.wait()
        self._trials.close()


class Lane:
    """A trial in a group, as its `Runner` holds it.

    Args:
        group: its process.
        control: takes the job and then orders; readable when the trial is over.
        report_fd, output_fd: as the runner's protocol says.
    """

    def __init__(
        self, group: Group, control: socket.socket, report_fd: int, output_fd: int
    ) -> None:
        self._group = group
        self._control = control
        self.pid: int | None = None  # the process is not its own
        self.report_fd = report_fd
        self.output_fd = output_fd
        self.exit_fd: int | None = control.fileno()
        self._is_dropped = False

    def has_exited(self) -> bool:
        """Never asked: `exit_fd` tells it."""
        return False

    def send(self, line: bytes) -> None:
        """Sends a line; one to a trial that is over is lost."""
        with contextlib.suppress(OSError):
            self._control.sendall(line)

    def order(self, order: Mapping[str, Any]) -> None:
        """Sends an order; one to a trial that is over is lost."""
        self.send(json.dumps(order).encode() + b"\n")

    def signal_group(self, number: int) -> None:
        """Ends the trial alone: at its next step for SIGTERM; for SIGKILL nothing of it is waited
        for any more, and a process that holds it back gets no new ones.
        """
        with contextlib.suppress(OSError):
            if number != signal.SIGKILL:
                self._control.shutdown(socket.SHUT_WR)
            elif not self._is_over():
                self._is_dropped = self._group.is_spent = True
                self._control.shutdown(socket.SHUT_RDWR)

    def _is_over(self) -> bool:
        try:
            self._control.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def close(self) -> int:
        """Closes the pipes; 0, or the status of the process where that has ended beneath it."""
        status = 0
        if not self._is_dropped and self._last_byte() != DONE:
            status = self._group.exit_status()
        self._control.close()
        for fd in (self.report_fd, self.output_fd):
            os.close(fd)
        return status

    def _last_byte(self) -> bytes:
        try:
            return self._control.recv(1, socket.MSG_DONTWAIT)
        except OSError:
            return b""

    def failure_of(self, status: int, output: str) -> Failure:
        """Whichever trial has ended the process: none is blamed, and each is run again."""
        found = failures.of_exit(status, output)
        message = f"{found.message}; others were trained in it: each is lost, and runs again"
        return Failure(kind=LOST, message=message, traceback=found.traceback)
