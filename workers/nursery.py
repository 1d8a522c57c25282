"""A process that has imported one built-in objective and loaded its data, and forks a trial off at
a time.

It saves each trial the imports and the reading of the data (seconds of CPU). It never computes, so
no thread pool exists that a fork could break. Every trial still has a process, a session and a
group of its own; the nursery reaps it only when told, so that the parent's signals reach no other
process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import struct
import traceback
from typing import Any

from . import child
from .objectives.offers import BUILT_IN
from .parent_death import die_with

HEADER = struct.Struct("!I")
"""Length of the JSON message that follows; the header's own bytes carry the file descriptors."""
N_FDS = 3
"""A trial's control pipe, report pipe and output pipe."""


def main(socket_fd: str, parent_pid: str, objective: str) -> None:
    """Serves the parent's orders until it hangs up."""
    die_with(int(parent_pid))
    module = importlib.import_module(f".objectives.{BUILT_IN[objective].module}", __package__)
    preload = getattr(module, "preload", lambda options, data_digest: None)
    orders = socket.socket(fileno=int(socket_fd))
    orders.set_inheritable(False)
    children: set[int] = set()
    while (received := _receive(orders)) is not None:
        message, fds = received
        if message["order"] == "fork":
            # A fault of the data is the trial's to tell: it meets the same one.
            with contextlib.suppress(Exception):
                preload(message["options"], message["data_digest"])
            answer = _fork(orders, fds)
            children.add(answer)
        else:
            children.discard(message["pid"])
            answer = reap(message["pid"])
        orders.sendall(HEADER.pack(answer & 0xFFFFFFFF))
    for pid in children:
        reap(pid)


def _receive(orders: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    header, fds, _, _ = socket.recv_fds(orders, HEADER.size, N_FDS)
    if len(header) < HEADER.size:
        return None
    body = b""
    (length,) = HEADER.unpack(header)
    while len(body) < length:
        chunk = orders.recv(length - len(body))
        if not chunk:
            return None
        body += chunk
    return json.loads(body), fds


def _fork(orders: socket.socket, fds: list[int]) -> int:
    """Forks a trial's process off and waits until it leads its own session; its process id."""
    ready_r, ready_w = os.pipe()
    nursery_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(ready_r)
        orders.close()
        _be_a_trial(fds, ready_w, nursery_pid)
    os.close(ready_w)
    for fd in fds:
        os.close(fd)
    os.read(ready_r, 1)
    os.close(ready_r)
    return pid


def _be_a_trial(fds: list[int], ready_w: int, nursery_pid: int) -> None:
    """The life of a forked process; never returns."""
    try:
        os.setsid()
        die_with(nursery_pid)
        os.close(ready_w)
        control_fd, report_fd, output_fd = fds
        for standard in (1, 2):
            os.dup2(output_fd, standard)
        os.close(output_fd)
        for fd in (control_fd, report_fd):
            os.set_inheritable(fd, False)
        child.run_job(control_fd, report_fd)
    except BaseException:
        # Nothing may unwind into the nursery's own loop.
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def reap(pid: int) -> int:
    """Ends what is left of a child's group, takes its exit status; as `subprocess` has it, in 32
    bits.
    """
    # Before the wait: the process id stays taken until then, so the group can be no other one.
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
