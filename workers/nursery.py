"""A process that has imported one objective and loaded its data, and forks a trial off at a time.

It saves each trial the imports and the reading of the data (seconds of CPU). It never computes, so
no thread pool exists that a fork could break. Every trial still has a process, a session and a
group of its own; the nursery reaps it only when told, so that the parent's signals reach no other
process.

The fork itself, ten milliseconds with torch imported, is made ahead: behind each trial the next
one's process waits, a *spare*; as many as there are slots, for trials that begin together. What the
parent asks for goes before the making of spares. So a trial begins as fast as in a process that is
used again, and yet nothing that a trial leaves behind (memory, threads, seeds, open files) is there
for the next.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import child
from .forkable import Imported, end_as_an_interpreter, imported, reseed
from .objectives.offers import BUILT_IN
from .parent_death import die_with, outlive_parent

HEADER = struct.Struct("!I")
"""Length of the JSON message that follows; the header's own bytes carry the file descriptors."""
N_FDS = 3
"""A trial's control pipe, report pipe and output pipe."""


Data = tuple[Any, str | None]
"""Which data a trial needs: the objective's options, and the digest."""
NO_DATA: Data = {}, None
"""Of a user's objective: what it loads it loads once, whatever the options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """A process that waits for a trial's pipes, with the data in memory."""

    pid: int
    socket: socket.socket
    data: Data


class Brood:
    """The forked processes of a nursery.

    Args:
        preload: reads an objective's data into memory.
        orders: the nursery's own socket, which no trial may hold.
        n_spares: how many processes are to wait.
        own: what was imported of a user's; None: the objective is one of ours.
    """

    def __init__(
        self,
        preload: Callable[[Any, str | None], None],
        orders: socket.socket,
        n_spares: int,
        own: Imported | None = None,
    ) -> None:
        self._own = own
        self._preload = preload
        self._orders = orders
        self._n_spares = n_spares
        self._pids: set[int] = set()
        self._spares: list[Spare] = []
        self._data: Data | None = None if own is None else NO_DATA

    def hand_out(self, data: Data, fds: list[int]) -> int:
        """Gives a trial's pipes to the spare, or to a new process; its process id."""
        if self._own is None and data != self._data:
            self._discard_all()
            self._data = data
        spare = self._spares.pop(0) if self._spares else None
        if spare is None or not _given(spare, fds):
            if spare is not None:
                _discard(spare)
            spare = self._fork(data)
            _given(spare, fds)  # one that has died by now has the exit status to tell of it
        spare.socket.close()
        for fd in fds:
            os.close(fd)
        self._pids.add(spare.pid)
        return spare.pid

    def prepare(self) -> bool:
        """Has one more spare wait for a trial like the last one; False where enough do."""
        if self._data is None or len(self._spares) >= self._n_spares:
            return False
        self._spares.append(self._fork(self._data))
        return True

    def reap(self, pid: int) -> int:
        """Ends what is left of a child's group; its exit status."""
        self._pids.discard(pid)
        return reap(pid)

    def close(self) -> None:
        """Ends them all."""
        self._discard_all()
        for pid in self._pids:
            reap(pid)

    def _discard_all(self) -> None:
        for spare in self._spares:
            _discard(spare)
        self._spares.clear()

    def _fork(self, data: Data) -> Spare:
        """Forks a process off and waits until it leads its own session."""
        # A fault of the data is the trial's to tell: it meets the same one.
        with contextlib.suppress(Exception):
            self._preload(*data)
        ours, theirs = socket.socketpair()
        nursery_pid = os.getpid()
        pid = os.fork()
        if pid == 0:
            for each in (ours, self._orders, *(spare.socket for spare in self._spares)):
                each.close()
            _be_a_trial(theirs, nursery_pid, self._own)
        theirs.close()
        ours.recv(1)
        return Spare(pid=pid, socket=ours, data=data)


def _given(spare: Spare, fds: list[int]) -> bool:
    """Hands a trial's pipes over; whether the process was there to take them."""
    try:
        socket.send_fds(spare.socket, [b"!"], fds)
    except OSError:
        return False
    return True


def _discard(spare: Spare) -> None:
    spare.socket.close()
    reap(spare.pid)


def main(socket_fd: str, parent_pid: str, objective: str, n_spares: str, *own_place: str) -> None:
    """Serves the parent's orders until it hangs up.

    Args:
        own_place: "module:name" and folder of a user's objective: then the parent is told at first
            how the import went.
    """
    die_with(int(parent_pid))
    orders = socket.socket(fileno=int(socket_fd))
    orders.set_inheritable(False)
    if own_place:
        own = imported(*own_place)
        hello = json.dumps({"obstacle": own.obstacle, "files": own.files}).encode()
        orders.sendall(HEADER.pack(len(hello)) + hello)
        if own.obstacle is None:
            _serve(orders, Brood(_nothing, orders, int(n_spares), own))
        return
    module = importlib.import_module(f".objectives.{BUILT_IN[objective].module}", __package__)
    _serve(orders, Brood(getattr(module, "preload", _nothing), orders, int(n_spares)))


def _nothing(options: Any, data_digest: str | None) -> None:
    """Loads nothing."""


def _serve(orders: socket.socket, brood: Brood) -> None:
    # A killed worker's trials die with this process, what they have started does not: it is ended
    # at the end of the orders, which a killed worker's nursery would not live to see.
    outlive_parent()
    while True:
        if not _is_waiting(orders) and brood.prepare():
            continue
        received = _receive(orders)
        if received is None:
            break
        message, fds = received
        if message["order"] == "fork":
            data = message["options"], message["data_digest"]
            _answer(orders, brood.hand_out(data, fds))
        else:
            _answer(orders, brood.reap(message["pid"]))
    brood.close()


def _is_waiting(orders: socket.socket) -> bool:
    """Whether an order is there, or the parent has hung up."""
    return bool(select.select([orders], [], [], 0)[0])


def _answer(orders: socket.socket, number: int) -> None:
    orders.sendall(HEADER.pack(number & 0xFFFFFFFF))


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


def _be_a_trial(pipes: socket.socket, nursery_pid: int, own: Imported | None) -> None:
    """The life of a forked process, which waits for its pipes at first; never returns."""
    try:
        os.setsid()
        die_with(nursery_pid)
        pipes.send(b"!")
        _, fds, _, _ = socket.recv_fds(pipes, 1, N_FDS)
        pipes.close()
        if len(fds) == N_FDS:  # else the nursery is gone
            _run(fds, own)
            if own is not None:
                end_as_an_interpreter()
    except BaseException:
        # Nothing may unwind into the nursery's own loop.
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _run(fds: list[int], own: Imported | None) -> None:
    control_fd, report_fd, output_fd = fds
    for standard in (1, 2):
        os.dup2(output_fd, standard)
    os.close(output_fd)
    for fd in (control_fd, report_fd):
        os.set_inheritable(fd, False)
    if own is not None:
        os.write(1, own.printed)
        reseed(own.unseeded)
    child.run_job(control_fd, report_fd)


def reap(pid: int) -> int:
    """Ends what is left of a child's group, takes its exit status; as `subprocess` has it, in 32
    bits.
    """
    # Before the wait: the process id stays taken until then, so the group can be no other one.
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
