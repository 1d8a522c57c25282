"""Contents on any file system that fsspec knows, such as `s3://bucket/prefix`.

Such stores cannot append, so each chunk is an object of its own, `uploads/KEY/OFFSET`, that any
replica may take; sealing reads them in their order into one object, `sealed/KEY`. An object is
there whole or not at all.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

from ..errors import Unavailable
from .base import PIECE_BYTES, Corrupt, Gap, Incomplete, checked, digest, is_key, pieces_of

_PART = re.compile(r"(\d{20})-(\d{20})")


class RemoteBlobs:
    """A place of fsspec.

    Args:
        url: `protocol://place`.

    Raises:
        Unavailable: fsspec, or what it needs for this protocol, is not installed; or there is no
            such protocol.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs

            self._fs, root = url_to_fs(url)
        except ImportError as error:
            raise Unavailable(
                f"the checkpoint folder {url.partition('://')[0]}://... needs more to be "
                f"installed: pip install 'tunewell[s3]' ({error})"
            ) from error
        except ValueError as error:
            scheme = url.partition("://")[0]
            raise Unavailable(f"the checkpoint folder {scheme}://... is none: {error}") from error
        self._root = str(root).rstrip("/")

    def received(self, key: str) -> int:
        """How many bytes of a content are there."""
        if self.is_sealed(key):
            return int(self._fs.size(self._content(key)))
        return self._end(key)

    def chunk(self, key: str, offset: int) -> RemoteChunk:
        """Where a chunk goes that begins at `offset`."""
        there = self.received(key)
        if offset > there:
            raise Gap(there)
        path = None if self.is_sealed(key) else f"{self._root}/uploads/{key}"
        return RemoteChunk(self._fs, path, offset, there)

    def seal(self, key: str, size_bytes: int, sha256: str) -> None:
        """Checks an upload and makes it one object; one that is sealed stays so."""
        if self.is_sealed(key):
            return
        there = self._end(key)
        if there < size_bytes:
            raise Incomplete(there)
        found = digest(self._joined(key))
        if found != (size_bytes, sha256):
            self.remove(key)
            raise Corrupt(found[1])
        with self._fs.open(self._content(key), "wb") as file:
            for piece in self._joined(key):
                file.write(piece)
        self._remove_tree(f"{self._root}/uploads/{key}")

    def read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes `start` to `stop` (not included)."""
        return pieces_of(self._fs.open(self._content(key), "rb"), start, stop)

    def is_sealed(self, key: str) -> bool:
        """Whether a content is there to be read."""
        return bool(self._fs.exists(self._content(key)))

    def keys(self) -> Iterator[str]:
        """Every key of which something is there."""
        for folder in ("uploads", "sealed"):
            names = (path.rsplit("/", 1)[-1] for path in self._ls(f"{self._root}/{folder}"))
            yield from (name for name in names if is_key(name))

    def remove(self, key: str) -> None:
        """Removes what is there under a key."""
        self._remove_tree(f"{self._root}/uploads/{checked(key)}")
        self._remove_tree(self._content(key))

    def _content(self, key: str) -> str:
        return f"{self._root}/sealed/{checked(key)}"

    def _parts(self, key: str) -> list[tuple[int, int, str]]:
        """Offset, length and path of each chunk that continues the ones before, in their order."""
        found, end = [], 0
        for path in sorted(self._ls(f"{self._root}/uploads/{checked(key)}")):
            named = _PART.fullmatch(path.rsplit("/", 1)[-1])
            if named is None:
                continue
            offset, length = int(named[1]), int(named[2])
            # Of two that overlap the later one adds what it has beyond the earlier.
            if offset <= end < offset + length:
                found.append((offset, length, path))
                end = offset + length
        return found

    def _end(self, key: str) -> int:
        parts = self._parts(key)
        return parts[-1][0] + parts[-1][1] if parts else 0

    def _joined(self, key: str) -> Iterator[bytes]:
        end = 0
        for offset, length, path in self._parts(key):
            yield from pieces_of(self._fs.open(path, "rb"), end - offset, length)
            end = offset + length

    def _ls(self, path: str) -> list[str]:
        self._fs.invalidate_cache(path)
        try:
            return [str(each) for each in self._fs.ls(path, detail=False)]
        except FileNotFoundError:
            return []

    def _remove_tree(self, path: str) -> None:
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)


class RemoteChunk:
    """Gathers a chunk in a temporary file of this machine, then puts it in its place whole.

    Args:
        fs: the file system of fsspec.
        path: the folder of the upload; None when the content is sealed.
        offset: where the chunk begins.
        there: how much of the content is there already, >= offset; skipped.
    """

    def __init__(self, fs: Any, path: str | None, offset: int, there: int) -> None:
        self._fs = fs
        self._path = path
        self._skip = there - offset
        self._start = there
        self._file: IO[bytes] | None = None

    def __enter__(self) -> RemoteChunk:
        self._file = tempfile.TemporaryFile()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        with self._file as file:
            length = file.tell()
            if error is None and self._path is not None and length > 0:
                file.seek(0)
                self._put(file, f"{self._path}/{self._start:020d}-{length:020d}")

    def write(self, piece: bytes) -> None:
        """Adds a piece."""
        kept = piece[self._skip :]
        self._skip -= len(piece) - len(kept)
        if self._file is not None:
            self._file.write(kept)

    def _put(self, file: IO[bytes], path: str) -> None:
        self._fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        with self._fs.open(path, "wb") as target:
            shutil.copyfileobj(file, target, PIECE_BYTES)
