"""Contents as files of a local folder: `uploads/KEY` while they grow, `sealed/KEY` when whole.

A crash leaves nothing that looks whole: an upload is synced and checked before it is renamed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from .base import Corrupt, Gap, Incomplete, checked, digest, is_key, pieces_of


class FolderBlobs:
    """A folder of this machine, or one that all replicas share.

    Args:
        root: made when it is first written to.
    """

    def __init__(self, root: Path) -> None:
        self._uploads = root / "uploads"
        self._sealed = root / "sealed"

    def received(self, key: str) -> int:
        """How many bytes of a content are there."""
        for path in (self._sealed / checked(key), self._uploads / key):
            with contextlib.suppress(FileNotFoundError):
                return path.stat().st_size
        return 0

    def chunk(self, key: str, offset: int) -> FolderChunk:
        """Where a chunk goes that begins at `offset`."""
        there = self.received(key)
        if offset > there:
            raise Gap(there)
        if self.is_sealed(key):
            return FolderChunk(None, offset)
        self._uploads.mkdir(parents=True, exist_ok=True)
        return FolderChunk(self._uploads / key, offset)

    def seal(self, key: str, size_bytes: int, sha256: str) -> None:
        """Checks an upload, syncs it and renames it; one that is sealed stays so."""
        there = self.received(key)
        if there < size_bytes:
            raise Incomplete(there)
        if self.is_sealed(key):
            return
        upload = self._uploads / key
        found = digest(pieces_of(upload.open("rb"), 0, there))
        if found != (size_bytes, sha256):
            upload.unlink(missing_ok=True)
            raise Corrupt(found[1])
        _sync(upload)
        self._sealed.mkdir(parents=True, exist_ok=True)
        try:
            upload.rename(self._sealed / key)
        except FileNotFoundError:
            # The same commit, sent twice, has been here a moment ago.
            if not self.is_sealed(key):
                raise
        _sync(self._sealed)

    def read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes `start` to `stop` (not included)."""
        # Opened at once, so that a content that is removed meanwhile is read to its end.
        return pieces_of((self._sealed / checked(key)).open("rb"), start, stop)

    def is_sealed(self, key: str) -> bool:
        """Whether a content is there to be read."""
        return (self._sealed / checked(key)).exists()

    def keys(self) -> Iterator[str]:
        """Every key of which something is there."""
        for folder in (self._uploads, self._sealed):
            if folder.is_dir():
                yield from (path.name for path in folder.iterdir() if is_key(path.name))

    def remove(self, key: str) -> None:
        """Removes what is there under a key."""
        for folder in (self._uploads, self._sealed):
            (folder / checked(key)).unlink(missing_ok=True)


class FolderChunk:
    """Appends a chunk to its file, skipping what is there already.

    Each piece is written under a lock of the file, not the whole chunk: a client whose connection
    broke may come back while the service still waits for the rest of the broken one.

    Args:
        path: the upload; None when the content is sealed and nothing is to be written.
        offset: where the next piece belongs.
    """

    def __init__(self, path: Path | None, offset: int) -> None:
        self._path = path
        self._at = offset
        self._file: IO[bytes] | None = None

    def __enter__(self) -> FolderChunk:
        if self._path is not None:
            self._file = self._path.open("ab")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, piece: bytes) -> None:
        """Adds a piece."""
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                there = os.fstat(self._file.fileno()).st_size
                if there < self._at:
                    raise Gap(there)
                self._file.write(piece[there - self._at :])
                self._file.flush()
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        self._at += len(piece)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
