"""The port to the content of checkpoints: uploads that grow from the front, then sealed whole.

Knows neither the database nor HTTP. A key is the checkpoint's id. Nothing here holds a whole
content in memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import IO, Protocol

PIECE_BYTES = 1 << 20
"""How much is read or written at once."""

_KEY = re.compile(r"ck_[0-9a-z]{1,60}")


class Gap(Exception):
    """A chunk does not continue where the last one ended."""

    def __init__(self, received_bytes: int) -> None:
        super().__init__(f"the next byte is {received_bytes}")
        self.received_bytes = received_bytes


class Incomplete(Exception):
    """Not all of a content is there yet."""

    def __init__(self, received_bytes: int) -> None:
        super().__init__(f"{received_bytes} bytes are there")
        self.received_bytes = received_bytes


class Corrupt(Exception):
    """A content is whole but another one than announced; it is gone, to be sent anew."""

    def __init__(self, sha256: str) -> None:
        super().__init__(f"its sha256 is {sha256}")
        self.sha256 = sha256


class ChunkWriter(Protocol):
    """Takes one chunk piece by piece; left by an exception, a chunk may be there in part."""

    def __enter__(self) -> ChunkWriter: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, piece: bytes) -> None:
        """Adds a piece. What is there already stays as it is.

        Raises:
            Gap: what came before has gone meanwhile.
        """


class Blobs(Protocol):
    """A place for contents. Safe to use from several threads, and from several replicas."""

    def received(self, key: str) -> int:
        """How many bytes of a content are there, in bytes from its beginning."""

    def chunk(self, key: str, offset: int) -> ChunkWriter:
        """Where a chunk goes that begins at `offset`, in bytes.

        Raises:
            Gap: it begins after what is there.
        """

    def seal(self, key: str, size_bytes: int, sha256: str) -> None:
        """Makes an upload a content to read, whole and on disk; one that is sealed stays so.

        Raises:
            Incomplete: bytes are missing.
            Corrupt: it is not what was announced; it is removed.
        """

    def read(self, key: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes `start` to `stop` (not included) of a sealed content.

        Raises:
            FileNotFoundError: there is none.
        """

    def is_sealed(self, key: str) -> bool:
        """Whether a content is there to be read."""

    def keys(self) -> Iterator[str]:
        """Every key of which something is there."""

    def remove(self, key: str) -> None:
        """Removes all that is there under a key; nothing, when there is nothing."""


def checked(key: str) -> str:
    """A key that is safe in a path.

    Raises:
        ValueError: it is no id of a checkpoint.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a checkpoint")
    return key


def is_key(name: str) -> bool:
    """Whether a name is a key: what else lies in the place is left alone."""
    return _KEY.fullmatch(name) is not None


def pieces_of(file: IO[bytes], start: int, stop: int) -> Iterator[bytes]:
    """The bytes `start` to `stop` (not included) of an open file, which is closed after them."""
    with file:
        file.seek(start)
        left = stop - start
        while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece


def digest(pieces: Iterable[bytes]) -> tuple[int, str]:
    """Size in bytes and sha256 of what the pieces make together."""
    size, sha = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        sha.update(piece)
    return size, sha.hexdigest()
