"""A trial's process as the parent holds it: started or forked, signalled as a group, reaped at
last.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import tunewell
from tunewell import failures
from tunewell.failures import Failure

from . import kernel_kills, memory
from .descriptors import write_all
from .jobs import Job
from .nursery import HEADER

ENTRY = Path(__file__).with_name("entry.py")
_GUARD_PROGRAM = Path(__file__).with_name("guard.py")
ROOT = Path(tunewell.__file__).parent.parent
HANG_UP_S = 5.0
"""How long a nursery may take to end once it is hung up on."""
HAS_PIDFD = hasattr(os, "pidfd_open")


class Process(Protocol):
    """A started process that leads a group of its own."""

    pid: int

    def has_exited(self) -> bool:
        """Whether the process is over (it is kept for `reap`)."""

    def reap(self) -> int:
        """Ends what is left of its group; the exit status, negative for a signal."""


class LocalChild:
    """A trial's process on this machine, as its `Runner` holds it.

    Args:
        process: the process.
        control_fd: takes the job and then orders, one JSON line each.
        report_fd, output_fd, exit_fd: as the runner's protocol says.
    """

    def __init__(
        self,
        process: Process,
        control_fd: int,
        report_fd: int,
        output_fd: int,
        exit_fd: int | None,
    ) -> None:
        self._process = process
        self._control_fd = control_fd
        self.pid: int | None = process.pid
        self.report_fd = report_fd
        self.output_fd = output_fd
        self.exit_fd = exit_fd
        self._n_kills = kernel_kills.count() or 0
        self._escaped: dict[int, int] = {}

    def has_exited(self) -> bool:
        """Whether the process is over."""
        return self._process.has_exited()

    def signal_group(self, number: int) -> None:
        """Signals the whole group, and what it has started that has left it for a session of its
        own; to be called before `close` only.
        """
        # Before the signal: whose parent has ended is nobody's any more.
        self._note_escaped()
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, number)
        for fd in self._escaped.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)

    def _note_escaped(self) -> None:
        """Holds on to each by a descriptor, which means no other process even later."""
        if not HAS_PIDFD:
            return
        for pid in memory.family(self._process.pid):
            with contextlib.suppress(OSError):  # one that has just ended
                if pid not in self._escaped and os.getpgid(pid) != self._process.pid:
                    self._escaped[pid] = os.pidfd_open(pid)

    def order(self, order: Mapping[str, Any]) -> None:
        """Sends an order; one to a process that is over is lost."""
        with contextlib.suppress(OSError):
            os.write(self._control_fd, json.dumps(order).encode() + b"\n")

    def close(self) -> int:
        """Reaps the process and closes the pipes; the exit status."""
        status = self._process.reap()
        pipes = self._control_fd, self.report_fd, self.output_fd, self.exit_fd
        for fd in (*pipes, *self._escaped.values()):
            if fd is not None:
                os.close(fd)
        return status

    def failure_of(self, status: int, output: str) -> Failure:
        """By the status, and whether the kernel has ended processes for memory meanwhile."""
        is_for_memory = (kernel_kills.count() or 0) > self._n_kills
        return failures.of_exit(status, output, is_for_memory=is_for_memory)


def command(module: str, *arguments: object) -> list[str]:
    """The command line that runs a module of this package in a new interpreter."""
    return [sys.executable, "-P", str(ENTRY), module, str(ROOT), *map(str, arguments)]


def wait_quietly(process: subprocess.Popen[bytes], limit_s: float) -> None:
    """Waits for a process of ours to end; one that does not is killed."""
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Guard:
    """The parent's end of the process that ends trials' groups if this one is killed; it is started
    with the first group.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._told_fd = -1

    def keep(self, group: int) -> None:
        """Has a group ended if this process is killed."""
        self._tell(group)

    def forget(self, group: int) -> None:
        """To be called before the group's leader is waited for: its id is taken until then."""
        self._tell(-group)

    def _tell(self, number: int) -> None:
        # Without it a killed worker leaves processes behind, which is no reason to fail.
        with self._lock, contextlib.suppress(OSError):
            if self._popen is None:
                self._start()
            os.write(self._told_fd, f"{number}\n".encode())

    def _start(self) -> None:
        read_fd, told_fd = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_GUARD_PROGRAM), str(read_fd)],
                pass_fds=[read_fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            os.close(told_fd)
            raise
        finally:
            os.close(read_fd)
        self._told_fd = told_fd
        atexit.register(self._close, self._popen)

    def _close(self, popen: subprocess.Popen[bytes]) -> None:
        os.close(self._told_fd)
        wait_quietly(popen, HANG_UP_S)


guard = _Guard()
"""That of this process."""


class _Spawned:
    """A process with an interpreter of its own."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid
        guard.keep(self.pid)

    def has_exited(self) -> bool:
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def reap(self) -> int:
        # Before the wait: the process id stays taken until then, so the group can be no other one.
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        guard.forget(self.pid)
        return self._popen.wait()


class Nursery:
    """The parent's end of a process that forks trials of one objective off.

    To be made by a thread that lives as long as the worker: it dies with that thread.

    Args:
        objective: its name.
        environment: of the trials.
        n_spares: how many processes wait for the next trials.
        own: "module:name" and folder of a user's objective.
    """

    def __init__(
        self,
        objective: str,
        environment: Mapping[str, str],
        n_spares: int = 1,
        own: tuple[str, str] | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._popen = subprocess.Popen(
                command("nursery", theirs.fileno(), os.getpid(), objective, n_spares, *own or ()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                cwd=own[1] or None if own else None,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self._orders = ours
        self._lock = threading.Lock()
        self._hello: Mapping[str, Any] | None = None

    def hello(self) -> Mapping[str, Any] | None:
        """What the process of a user's objective has said when it had imported it: why it forks
        nothing (`obstacle`), and the `files` that it read; None: nothing yet.
        """
        with self._lock:
            if self._hello is None and select.select([self._orders], [], [], 0)[0]:
                header = self._orders.recv(HEADER.size, socket.MSG_WAITALL)
                size = HEADER.unpack(header)[0] if len(header) == HEADER.size else 0
                body = self._orders.recv(size, socket.MSG_WAITALL) if size else b""
                self._hello = json.loads(body) if body else {"obstacle": "its import ended it"}
            return self._hello

    @property
    def is_alive(self) -> bool:
        """Whether it can still fork."""
        return self._popen.poll() is None

    def fork(self, job: Job, fds: list[int]) -> _Forked:
        """Forks a trial's process off; it still has to be sent its job.

        Raises:
            OSError: the nursery is gone.
        """
        message = {"order": "fork", "options": job.options, "data_digest": job.data_digest}
        return _Forked(self, self._ask(message, fds))

    def reap(self, pid: int) -> int:
        """Ends what is left of a child's group; its exit status."""
        try:
            status = self._ask({"order": "reap", "pid": pid}, [])
        except OSError:
            # Its children died with it.
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            return -signal.SIGKILL
        return status - (1 << 32) if status >= 1 << 31 else status

    def _ask(self, message: Mapping[str, Any], fds: list[int]) -> int:
        body = json.dumps(message).encode()
        with self._lock:
            socket.send_fds(self._orders, [HEADER.pack(len(body))], fds)
            self._orders.sendall(body)
            answer = self._orders.recv(HEADER.size, socket.MSG_WAITALL)
        if len(answer) < HEADER.size:
            raise ConnectionResetError("the process that forks trials off is gone")
        return int(HEADER.unpack(answer)[0])

    def kill(self) -> None:
        """Ends one that may never come to read that it is to end."""
        self._popen.kill()

    def close(self) -> None:
        """Hangs up, which ends it."""
        self._orders.close()
        wait_quietly(self._popen, HANG_UP_S)


class _Forked:
    """A process forked off a nursery, which is its parent and reaps it."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    def has_exited(self) -> bool:
        return False

    def reap(self) -> int:
        return self._nursery.reap(self.pid)


def start(job: Job, environment: Mapping[str, str], nursery: Nursery | None) -> LocalChild:
    """Starts a trial's process and sends it its job.

    The calling thread must outlive the process, which dies with it.

    Raises:
        OSError: it cannot be started.
    """
    with contextlib.ExitStack() as undo:
        control_r, control_w = _pipe(undo)
        report_r, report_w = _pipe(undo)
        output_r, output_w = _pipe(undo)
        theirs = [control_r, report_w, output_w]
        process = nursery.fork(job, theirs) if nursery else _spawn(job, environment, theirs)
        undo.pop_all()
    for fd in theirs:
        os.close(fd)
    exit_fd = os.pidfd_open(process.pid) if HAS_PIDFD else None
    with contextlib.suppress(BrokenPipeError):
        write_all(control_w, job.to_line())
    return LocalChild(process, control_w, report_r, output_r, exit_fd)


def _pipe(undo: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for fd in ends:
        undo.callback(os.close, fd)
    return ends


def _spawn(job: Job, environment: Mapping[str, str], theirs: list[int]) -> _Spawned:
    control_r, report_w, output_w = theirs
    popen = subprocess.Popen(
        command("child", control_r, report_w, os.getpid()),
        pass_fds=[control_r, report_w],
        stdin=subprocess.DEVNULL,
        stdout=output_w,
        stderr=output_w,
        cwd=job.folder or None,
        env={**environment, **job.environment},
        start_new_session=True,
    )
    return _Spawned(popen)
