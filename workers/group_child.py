"""A process that trains several trials of one objective, those as one that may be.

Each trial has three pipes of its own, as in a process of its own, and a thread that goes on to its
end as any trial does; what is trained is trained by the main thread, see `tunewell.together`. The
end of the socket that trials come over means that the parent is gone; then the process ends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

from tunewell.together import Left, Seat, Together, seated

from .channel import PipeChannel
from .child import evaluate
from .jobs import Job
from .parent_death import die_with

N_FDS = 3
"""A trial's control socket, report pipe and output pipe."""
DONE = b"."
"""Last byte on a trial's control socket: its thread has ended. Without it, the process has."""
MOST_STACKS = 255
"""What is told of their number at most: it is one byte."""
LOST = "preempted"
"""Failure kind of a trial that is not to blame: it costs no attempt, and counts as a loss."""
BROKEN = 70
"""Exit status after a call for several trials has failed."""


def main(socket_fd: str, parent_pid: str) -> None:
    """Serves the trials that come until the parent hangs up."""
    die_with(int(parent_pid))
    trials = socket.socket(fileno=int(socket_fd))
    trials.set_inheritable(False)
    outputs = Outputs(sys.stdout)
    sys.stdout = sys.stderr = outputs

    def tell(n_stacks: int) -> None:
        with contextlib.suppress(OSError):
            trials.send(bytes([min(n_stacks, MOST_STACKS)]), socket.MSG_DONTWAIT)

    together = Together(on_stacks=tell)
    threading.Thread(target=_admit, args=(trials, together, outputs), daemon=True).start()
    try:
        together.serve()
    except Exception:
        # Nobody knows in what state the trials are: each is lost, and run again.
        traceback.print_exc()
        os._exit(BROKEN)


def _admit(trials: socket.socket, together: Together, outputs: Outputs) -> None:
    while True:
        _, fds, _, _ = socket.recv_fds(trials, 1, N_FDS)
        if len(fds) < N_FDS:
            os._exit(0)
        seat = together.expect()
        arguments = (*fds, seat, outputs)
        threading.Thread(target=_be_a_trial, args=arguments, daemon=True).start()


def _be_a_trial(
    control_fd: int, report_fd: int, output_fd: int, seat: Seat, outputs: Outputs
) -> None:
    """A trial from its job to its last word."""
    control = socket.socket(fileno=control_fd)
    try:
        with seated(seat), outputs.of(output_fd):
            _run(control, report_fd, seat)
    except (Left, OSError):
        # The parent has ended the trial: what it had to say nobody reads.
        pass
    finally:
        seat.leave()
        os.close(report_fd)
        os.close(output_fd)
        with contextlib.suppress(OSError):
            control.send(DONE)
        control.close()


def _run(control: socket.socket, report_fd: int, seat: Seat) -> None:
    orders = control.makefile("rb")
    first = orders.readline()
    if not first.endswith(b"\n"):
        return
    job = Job.from_line(first)
    channel = PipeChannel(report_fd, job.checkpoint_dir, to_step=job.to_step, n_cores=job.n_cores)
    threading.Thread(target=_obey, args=(orders, channel, seat), daemon=True).start()
    channel.send(told(evaluate(job, channel), seat))


def _obey(orders: io.BufferedReader, channel: PipeChannel, seat: Seat) -> None:
    """Takes a trial's orders until its parent wants no more of it; then has its thread end."""
    with contextlib.suppress(OSError, ValueError):
        for line in orders:
            channel.take_order(json.loads(line))
    seat.leave()
    # Wherever it waits for a word of the parent's, it waits no more.
    channel.take_order({"order": "pause"})
    channel.take_order({"order": "answered"})


def told(ending: dict[str, Any], seat: Seat) -> dict[str, Any]:
    """The last message as the trial's own: with its share of what the process has used, and
    without the blame for want of memory that others have had too.
    """
    end, fail = ending.get("end"), ending.get("fail")
    if fail is not None and fail["kind"] == "oom" and not seat.is_alone:
        message = f"{fail['message']}; others shared the memory: it runs again, alone at first"
        return {"fail": {**fail, "kind": LOST, "message": message}}
    if end is None or "usage" not in end:
        return ending
    own = {"wall_s": end["usage"]["wall_s"], "cpu_s": seat.cpu_s, "trained_together": seat.most}
    return {"end": {**end, "usage": own}}


class Outputs(io.TextIOBase):
    """Standard output and errors of the process: what a trial's thread prints is the trial's.

    What is printed below Python, or by another thread, goes where the process's own output goes.

    Args:
        own: the process's own output.
    """

    def __init__(self, own: TextIO) -> None:
        self._own = own
        self._local = threading.local()

    @contextlib.contextmanager
    def of(self, fd: int) -> Iterator[None]:
        """Has what this thread prints go to a pipe."""
        self._local.fd = fd
        try:
            yield
        finally:
            self._local.fd = None

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Writes at once; what nobody reads any more is lost."""
        fd = getattr(self._local, "fd", None)
        if fd is None:
            self._own.write(text)
            self._own.flush()
            return len(text)
        content = text.encode(errors="replace")
        with contextlib.suppress(OSError):
            while content:
                content = content[os.write(fd, content) :]
        return len(text)
