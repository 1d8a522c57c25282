"""Reports that wait for the service: one append-only file of JSON lines per lease, synced to disk.

A record is on disk before anybody hears of it, so neither an outage of the service nor the end of
the worker loses one. Sending a record twice is harmless (the service knows a lease's `seq` and
replays the answer to a write that ended it), so what has been sent is not noted: the file goes when
its lease ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

TERMINAL = frozenset({"complete", "fail", "release"})
"""Records after which a lease has nothing more to say."""
KEEP_S = 7 * 86_400.0
"""How long the file of a lease that nobody can replay is kept."""


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
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self.checkpoint_dir = path.with_suffix(".checkpoints")
        """Where the checkpoints of the lease wait; it goes with the file."""
        self._changed = threading.Condition()
        self._file = path.open("ab+")
        self._end = _repair(self._file)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
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
        self._file.seek(0)
        self._position = len(self._file.readline())
        self._next: tuple[dict[str, Any], int] | None = None
        self._held: Record | None = None
        self.is_closed = False

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
        """Puts a record on disk; one for a lease that is given up is not kept.

        Raises:
            OSError: the disk does not take it.
        """
        with self._changed:
            if self.is_closed:
                return
            self._write({"kind": record.kind, "body": dict(record.body)}, is_synced=True)
            self._changed.notify_all()

    def hold(self, record: Record) -> None:
        """Keeps a record in memory that the disk did not take: the one that ends the lease, to be
        sent after all that are on disk. It is lost with this process, and the lease then expires.
        """
        with self._changed:
            self._held = record
            self._changed.notify_all()

    def _write(self, line: Mapping[str, Any], *, is_synced: bool = False) -> None:
        content = json.dumps(line).encode() + b"\n"
        try:
            _write_all(self._fd, content)
            if is_synced:
                self._sync()
        except OSError:
            # A part of a line would hide whatever comes after it.
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            raise
        self._end += len(content)

    def _sync(self) -> None:
        """Has all that was written on the disk, and at first the file in its folder too."""
        os.fsync(self._fd)
        if not self._is_listed:
            _sync_folder(self.path.parent)
            self._is_listed = True

    def peek(self, wait_s: float) -> Record | None:
        """The first record not yet taken, waiting up to `wait_s` for one; None when there is
        none.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or self._is_waiting, timeout=wait_s)
            if self.is_closed:
                return None
            if self._position >= self._end:
                return self._held
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
                self._held = None

    @property
    def has_waiting(self) -> bool:
        """Whether records are still to be sent."""
        with self._changed:
            return not self.is_closed and self._is_waiting

    @property
    def _is_waiting(self) -> bool:
        return self._position < self._end or self._held is not None

    def _read_on(self) -> tuple[dict[str, Any], int] | None:
        self._file.seek(self._position)
        line = self._file.readline()
        return (json.loads(line), self._position + len(line)) if line else None

    def drop(self) -> None:
        """Forgets the lease: the file goes, whoever waits is woken."""
        # First: whoever finds the file knows the folder, and not the other way round.
        shutil.rmtree(self.checkpoint_dir, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        """Closes the file, which stays for a later process."""
        with self._changed:
            if not self.is_closed:
                self.is_closed = True
                self._file.close()
                os.close(self._fd)
            self._changed.notify_all()


def _as_dict(header: Header) -> dict[str, str]:
    return {"url": header.url, "lease_id": header.lease_id, "trial_id": header.trial_id}


def _write_all(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]


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


class NoStateFolder(Exception):
    """Nothing can be kept; the message says why, and what to do."""


class SpoolFolder:
    """Where one worker process keeps its files; those of dead processes are taken over.

    A process owns a folder of its own by a lock on a file, which ends with the process however it
    ends.

    Args:
        state_dir: the user's state folder.
    """

    def __init__(self, state_dir: Path) -> None:
        """Makes the folder.

        Raises:
            NoStateFolder: it cannot be written.
        """
        try:
            self._make(state_dir)
        except OSError as error:
            raise NoStateFolder(
                f"the state folder {state_dir} cannot be written: {error}; reports that wait for "
                "the service are kept there. Make room or choose another one, with --state-dir or "
                "TUNEWELL_STATE_DIR"
            ) from error

    def _make(self, state_dir: Path) -> None:
        self._base = state_dir / "spool"
        self._own = self._base / uuid.uuid4().hex
        self._base.mkdir(parents=True, exist_ok=True)
        with self._gate():
            self._own.mkdir()
            self._lock = (self._own / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def _gate(self) -> Iterator[None]:
        """Keeps a folder that is being made from being taken for an abandoned one."""
        with (self._base / "gate").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def open(self, header: Header) -> Spool:
        """A file for a new lease."""
        return Spool(self._own / f"{header.lease_id}.jsonl", header)

    def orphans(self, url: str) -> Iterator[Spool]:
        """The files that dead processes left for a service, oldest first; each is now ours."""
        with self._gate():
            found = [path for folder in self._abandoned() for path in folder.glob("*.jsonl")]
        for path in sorted(found, key=lambda each: each.stat().st_mtime):
            is_old = time.time() - path.stat().st_mtime > KEEP_S
            try:
                spool = Spool.reopen(path)
            except ValueError:
                path.unlink()
                continue
            if spool.header.url == url:
                yield spool
            elif is_old:
                spool.drop()
            else:
                spool.close()

    def _abandoned(self) -> Iterator[Path]:
        """Folders whose owner is dead, each held locked while it is looked at."""
        for folder in self._base.iterdir():
            if folder == self._own or not folder.is_dir():
                continue
            with contextlib.suppress(OSError), (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield folder
                _remove_if_empty(folder)

    def close(self) -> None:
        """Gives the folder up; files in it are left for a later process."""
        self._lock.close()
        _remove_if_empty(self._own)


def _remove_if_empty(folder: Path) -> None:
    if any(folder.glob("*.jsonl")):
        return
    with contextlib.suppress(OSError):
        (folder / "lock").unlink()
        folder.rmdir()
