"""Reports that wait for the service: one append-only file of JSON lines per lease, synced to disk.

A record is on disk before anybody hears of it, so neither an outage of the service nor the end of
the worker loses one. Threads beside the trials' sync, so that none that reads a trial waits for the
disk. Sending a record twice is harmless (the service knows a lease's `seq` and
replays the answer to a write that ended it), so what has been sent is not noted: the file goes when
its lease ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .descriptors import write_all

TERMINAL = frozenset({"complete", "fail", "release"})
"""Records after which a lease has nothing more to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One write under a lease. `kind` is "match", "report", "logs", "checkpoint" or one of
    `TERMINAL`; `body` what is sent, of a checkpoint what its file is.
    """

    kind: str
    body: Mapping[str, Any]

    @property
    def is_terminal(self) -> bool:
        """Whether it ends the lease."""
        return self.kind in TERMINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Whose writes a file holds: a lease of a trial at one service."""

    url: str
    lease_id: str
    trial_id: str


class Spool:
    """One lease's file: appended by the thread that reads the trial, read by the one that sends.

    Args:
        path: the file; it may hold records of an earlier process.
        header: written first into a new file.
        soon: runs a call in another thread; None: what syncs the file is run at once.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.path = path
        self.header = header
        self._soon = soon
        self.on_broken: Callable[[OSError], None] = lambda error: None
        """Told that the disk did not keep what was written: it is sent from memory."""
        self.checkpoint_dir = path.with_suffix(".checkpoints")
        """Where the checkpoints of the lease wait; it goes with the file."""
        self._changed = threading.Condition()
        self._file = path.open("ab+")
        self._end = _repair(self._file)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._is_broken = False
        self._is_syncing = False
        self._syncing = threading.Lock()
        self._is_listed = self._end > 0
        if self._end == 0:
            try:
                # Safe with the first record: of a lease without one there is nothing to tell.
                self._write({"header": _as_dict(header)})
            except OSError:
                self._file.close()
                os.close(self._fd)
                path.unlink()
                raise
        self._safe = self._end
        """Up to where peek may read: the rest is not sure to be on the disk yet."""
        self._file.seek(0)
        self._position = len(self._file.readline())
        self._next: tuple[dict[str, Any], int] | None = None
        self._unsafe: deque[Record] = deque()
        self._held: deque[Record] = deque()
        self.is_closed = False
        self.is_dropped = False

    @classmethod
    def reopen(cls, path: Path) -> Spool:
        """The file of an earlier process.

        Raises:
            ValueError: it does not begin with a header.
        """
        with path.open("rb") as file:
            first = json.loads(file.readline() or b"{}")
        try:
            return cls(path, Header(**first["header"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is no file of reports") from error

    def append(self, record: Record) -> None:
        """Puts a record in the file; one for a lease that is given up is not kept. `peek` gives it
        once it is safe on the disk.

        Raises:
            OSError: the disk does not take it.
        """
        with self._changed:
            if self.is_closed:
                return
            if self._is_broken:
                self._held.append(record)
                self._changed.notify_all()
                return
            self._write({"kind": record.kind, "body": dict(record.body)})
            self._unsafe.append(record)
            if self._is_syncing:
                return  # it goes on until all is safe
            self._is_syncing = True
        if self._soon is None:
            self._make_safe()
        else:
            self._soon(self._make_safe)

    def _make_safe(self) -> None:
        """Has all that was written on the disk; by one thread at a time."""
        while True:
            with self._changed:
                end = self._end
                self._is_syncing = self._safe < end and not self.is_closed
                if not self._is_syncing:
                    return
                n_records = len(self._unsafe)
            try:
                self._sync()
            except OSError as error:
                self._break(error)
                continue
            with self._changed:
                self._safe = end
                for _ in range(n_records):
                    self._unsafe.popleft()
                self._changed.notify_all()

    def _break(self, error: OSError) -> None:
        """Keeps in memory what the disk did not."""
        with self._changed:
            if self.is_closed:
                return
            self._cut(self._safe)
            self._held.extendleft(reversed(self._unsafe))
            self._unsafe.clear()
            self._is_broken = True
            self._changed.notify_all()
        self.on_broken(error)

    def _cut(self, end: int) -> None:
        """Shortens the file to what is good of it."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, end)
        self._end = end

    def hold(self, record: Record) -> None:
        """Keeps a record in memory that the disk did not take: the one that ends the lease, to be
        sent after all that are on disk. It is lost with this process, and the lease then expires.
        """
        with self._changed:
            self._held.append(record)
            self._changed.notify_all()

    def _write(self, line: Mapping[str, Any]) -> None:
        content = json.dumps(line).encode() + b"\n"
        try:
            write_all(self._fd, content)
        except OSError:
            # A part of a line would hide whatever comes after it.
            self._cut(self._end)
            raise
        self._end += len(content)

    def _sync(self) -> None:
        """Has all that was written on the disk, and at first the file in its folder too; nothing of
        a file that is closed.
        """
        with self._syncing:
            if self.is_closed:
                return
            os.fsync(self._fd)
            if not self._is_listed:
                _sync_folder(self.path.parent)
                self._is_listed = True

    def peek(self, wait_s: float) -> Record | None:
        """The first record not yet taken that is safe, waiting up to `wait_s` for one; None when
        there is none.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or self._is_waiting, timeout=wait_s)
            if self.is_closed:
                return None
            if self._position >= self._safe:
                return self._held[0] if self._is_waiting else None
            if self._next is None:
                self._next = self._read_on()
            if self._next is None:
                return None
            found, _ = self._next
            return Record(kind=found["kind"], body=found["body"])

    def take(self) -> None:
        """Counts the record last peeked at as dealt with."""
        with self._changed:
            if self._next is not None:
                self._position = self._next[1]
                self._next = None
            else:
                self._held.popleft()

    @property
    def has_waiting(self) -> bool:
        """Whether records are still to be sent."""
        with self._changed:
            return not self.is_closed and (self._is_waiting or bool(self._unsafe))

    @property
    def _is_waiting(self) -> bool:
        if self._position < self._safe:
            return True
        # One that is held ends the lease: what is yet to become safe comes before it.
        return bool(self._held) and not self._unsafe

    def _read_on(self) -> tuple[dict[str, Any], int] | None:
        self._file.seek(self._position)
        line = self._file.readline()
        return (json.loads(line), self._position + len(line)) if line else None

    def drop(self) -> None:
        """Forgets the lease: the file goes, whoever waits is woken. Again is for what a process has
        left in the folder since.
        """
        self.is_dropped = True
        # First: whoever finds the file knows the folder, and not the other way round.
        shutil.rmtree(self.checkpoint_dir, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Closes the file, which stays for a later process."""
        if self._safe < self._end and self.path.exists():
            with contextlib.suppress(OSError):
                self._sync()
        with self._syncing, self._changed:
            if not self.is_closed:
                self.is_closed = True
                self._file.close()
                os.close(self._fd)
            self._changed.notify_all()


def _as_dict(header: Header) -> dict[str, str]:
    return {"url": header.url, "lease_id": header.lease_id, "trial_id": header.trial_id}


def _repair(file: IO[bytes]) -> int:
    """Cuts a line off that a crash left incomplete; the file's length then."""
    file.seek(0)
    good = 0
    for line in file:
        if not line.endswith(b"\n") or not _is_json(line):
            break
        good += len(line)
    file.truncate(good)
    return good


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
