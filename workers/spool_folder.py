"""The folder of a worker's files of reports, and what dead workers have left beside it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .spool import Header, Spool

KEEP_S = 7 * 86_400.0
"""How long the file of a lease that nobody can replay is kept."""
ROOM_BYTES = 1 << 16
"""What there has to be room for when a worker starts: some reports."""
SYNCS = 16
"""Files that are synced at once at most."""


class NoStateFolder(Exception):
    """Nothing can be kept; the message says why, and what to do."""


class SpoolFolder:
    """Where one worker process keeps its files; those of dead processes are taken over.

    A process owns a folder of its own by a lock on a file, which ends with the process however it
    ends.

    Args:
        state_dir: the user's state folder.

    Attributes:
        base: the folder that those of all processes are in.
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
        self.base = state_dir / "spool"
        self._own = self.base / uuid.uuid4().hex
        self._syncs = ThreadPoolExecutor(SYNCS, thread_name_prefix="sync")
        self.base.mkdir(parents=True, exist_ok=True)
        with self._gate():
            self._own.mkdir()
            self._lock = (self._own / "lock").open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._try_to_write()
        except OSError:
            self.close()
            raise

    def _try_to_write(self) -> None:
        """A full disk takes folders and empty files for a while yet."""
        if os.write(self._lock.fileno(), bytes(ROOM_BYTES)) < ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(self._lock.fileno())
        self._lock.truncate(0)

    @contextlib.contextmanager
    def _gate(self) -> Iterator[None]:
        """Keeps a folder that is being made from being taken for an abandoned one."""
        with (self.base / "gate").open("w") as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield

    def open(self, header: Header) -> Spool:
        """A file for a new lease."""
        return Spool(self._own / f"{header.lease_id}.jsonl", header, self._syncs.submit)

    def orphans(self, url: str, elsewhere: Counter[str] | None = None) -> Iterator[Spool]:
        """The files that dead processes left for a service, oldest first; each is now ours. Until
        the last one is dealt with no other process is given any of them.

        Args:
            url: its address, as it was written when they were made.
            elsewhere: takes how many are kept for each other address.
        """
        with contextlib.ExitStack() as held:
            with self._gate():
                folders = [each for each in self.base.iterdir() if self._takes_over(each, held)]
            found = [path for folder in folders for path in folder.glob("*.jsonl")]
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
                    if elsewhere is not None:
                        elsewhere[spool.header.url] += 1

    def _takes_over(self, folder: Path, held: contextlib.ExitStack) -> bool:
        """Whether a folder's owner is dead. It is then locked for as long as `held` lasts, and
        removed at the end if it is empty.
        """
        if folder == self._own or not folder.is_dir():
            return False
        with contextlib.ExitStack() as taken, contextlib.suppress(OSError):
            lock = taken.enter_context((folder / "lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken.callback(_remove_if_empty, folder)
            held.enter_context(taken.pop_all())
            return True
        return False

    def close(self) -> None:
        """Gives the folder up; files in it are left for a later process."""
        self._syncs.shutdown()
        self._lock.close()
        _remove_if_empty(self._own)


def _remove_if_empty(folder: Path) -> None:
    """Removes a folder without files of reports; what else lies in it was left by a process that
    was killed.
    """
    if not any(folder.glob("*.jsonl")):
        shutil.rmtree(folder, ignore_errors=True)
