"""The node's end of a trial that runs elsewhere: starts the very same process there, passes on what
it says in whole lines, and its checkpoints as bytes. Plain values in and out; knows no cluster.

It reads the process's pipes only when it is asked for more: what nobody fetches holds the process
up, as a full pipe does, and fills no memory.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunewell.state_folder import state_folder, store_of

from ..jobs import Job
from ..processes import LocalChild, start
from ..processor import same_bits
from ..session import POLL_S
from .trial_folder import TrialFolder

PIECE_BYTES = 4 << 20
"""How much of a checkpoint travels in one call."""
_CHUNK_BYTES = 1 << 16

Event = tuple[str, Any]
"""What a process did: ("line", bytes) of a message, ("output", bytes), ("piece", bytes) of a
checkpoint, ("checkpoint", step) when all its pieces are there, ("exit", status) at last.
"""


class Remote:
    """One trial on the node where it runs. One thread calls `put`, `start` and `next`, another may
    call `order` and `signal_group`.

    Attributes:
        folder: holds the trial's checkpoints until they have travelled; removed after its process.
    """

    def __init__(self) -> None:
        self.folder = TrialFolder()
        self._resume = self.folder.path / "resume"
        self._child: LocalChild | None = None
        self._batches: Iterator[list[Event]] = iter(())

    def put(self, piece: bytes) -> None:
        """Takes the next piece of the checkpoint that the trial goes on from."""
        with self._resume.open("ab") as file:
            file.write(piece)

    def start(self, line: bytes) -> str:
        """Starts the process; the node's name. The calling thread must outlive the process.

        Args:
            line: the job, as its process takes it, with the folders of the worker's machine.

        Raises:
            OSError: it cannot be started.
        """
        job = self._here(Job.from_line(line))
        self._child = start(job, {**same_bits(), **os.environ}, None)
        self._batches = self._watch(self._child)
        return socket.gethostname()

    def _here(self, job: Job) -> Job:
        """The job with this node's folders."""
        store = None
        if job.store_dir is not None:
            store = str(store_of(state_folder(), Path(job.store_dir).name))
        resume = None if job.resume is None else {**job.resume, "path": str(self._resume)}
        command = job.command
        if command is not None:
            command = {**command, "folder": _moved(command["folder"], job.folder)}
        return replace(
            job,
            command=command,
            folder=os.getcwd(),
            checkpoint_dir=None if job.checkpoint_dir is None else str(self.folder.path),
            store_dir=store,
            resume=resume,
        )

    def next(self) -> list[Event]:
        """Waits until the process does something; what it did. The last is its exit."""
        return next(self._batches)

    def order(self, order: Mapping[str, Any]) -> None:
        """Passes an order on."""
        if self._child is not None:
            self._child.order(order)

    def signal_group(self, number: int) -> None:
        """Signals the process and all it started."""
        if self._child is not None:
            self._child.signal_group(number)

    def _watch(self, child: LocalChild) -> Iterator[list[Event]]:
        lines = _Lines()
        with selectors.DefaultSelector() as selector:
            for fd in (child.report_fd, child.output_fd, child.exit_fd):
                if fd is not None:
                    selector.register(fd, selectors.EVENT_READ)
            has_exited = False
            while not has_exited:
                for key, _ in selector.select(POLL_S if child.exit_fd is None else None):
                    if key.fd == child.exit_fd:
                        has_exited = True
                        continue
                    chunk = os.read(key.fd, _CHUNK_BYTES)
                    if not chunk:
                        selector.unregister(key.fd)
                    yield from self._said(child, key.fd, chunk, lines)
                if child.exit_fd is None:
                    has_exited = child.has_exited()
        # Before the last reading: nothing may go on writing into the pipes.
        child.signal_group(signal.SIGKILL)
        for fd in (child.report_fd, child.output_fd):
            for chunk in _left_in(fd):
                yield from self._said(child, fd, chunk, lines)
        self.folder.remove()
        self._child = None
        yield [("exit", child.close())]

    def _said(
        self, child: LocalChild, fd: int, chunk: bytes, lines: _Lines
    ) -> Iterator[list[Event]]:
        """What a chunk from one of the pipes is, in batches of bounded size."""
        if fd == child.output_fd:
            yield [("output", chunk)]
            return
        batch: list[Event] = []
        for line in lines.of(chunk):
            saved = json.loads(line).get("checkpoint")
            if saved is None:
                batch.append(("line", line))
                continue
            if batch:
                yield batch
            batch = []
            yield from self._pieces(Path(saved["path"]), saved["step"])
        if batch:
            yield batch

    def _pieces(self, path: Path, step: int) -> Iterator[list[Event]]:
        """A saved file on its way to the worker; it does not stay here."""
        taken = self.folder.path / "taken"
        try:
            path.rename(taken)
        except FileNotFoundError:
            return  # saved twice at one step: the first of the two took the newer content along
        with taken.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                yield [("piece", piece)]
        taken.unlink()
        yield [("checkpoint", step)]


def _moved(folder: str, users: str) -> str:
    """Where a folder below the user's is on this node; any other is looked for at the same path."""
    path = Path(folder)
    return str(Path.cwd() / path.relative_to(users)) if path.is_relative_to(users) else folder


class _Lines:
    """Cuts a stream into whole lines."""

    def __init__(self) -> None:
        self._rest = b""

    def of(self, chunk: bytes) -> list[bytes]:
        """The lines that a chunk completes, without their ends."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines


def _left_in(fd: int) -> Iterator[bytes]:
    """What is left in a pipe, without waiting: a process that escaped may still hold it open."""
    os.set_blocking(fd, False)
    try:
        while chunk := os.read(fd, _CHUNK_BYTES):
            yield chunk
    except BlockingIOError:
        return
