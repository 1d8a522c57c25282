"""The contents of checkpoints on their way into a backup and out of one."""

from __future__ import annotations

from collections.abc import Iterator

from ..blobs.base import Blobs, Corrupt, Incomplete, digest
from ..errors import Conflict, Unavailable
from ..store.archive import Content


class BackedContents:
    """A place of contents, as backup and restore use it.

    Args:
        blobs: the place.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._put: list[str] = []

    def read(self, key: str, size_bytes: int) -> Iterator[bytes]:
        """The pieces of a sealed content.

        Raises:
            FileNotFoundError: it is gone.
            OSError: it cannot be read.
        """
        return self._blobs.read(key, 0, size_bytes)

    def put(self, content: Content) -> None:
        """Puts a content there; one that is there already stays, one that is not whole is passed
        over.

        Raises:
            Conflict: `already-exists`: another content is there under that id.
            Unavailable: the place does not take it.
        """
        try:
            if self._blobs.is_sealed(content.id):
                self._check_same(content)
            else:
                self._keep(content)
        except OSError as error:
            raise Unavailable(
                f"the content of checkpoint {content.id} cannot be put back: {error}"
            ) from error

    def _check_same(self, content: Content) -> None:
        there = digest(self._blobs.read(content.id, 0, content.size_bytes + 1))
        if there != (content.size_bytes, content.sha256):
            raise Conflict(
                f"another content than the backup's is there for checkpoint {content.id}, with the "
                f"sha256 {there[1]}: give a folder of this database's own",
                code="already-exists",
            )

    def _keep(self, content: Content) -> None:
        self._put.append(content.id)
        self._blobs.remove(content.id)  # the part of an upload that was never committed
        with self._blobs.chunk(content.id, 0) as chunk:
            for piece in content.pieces:
                chunk.write(piece)
        if not content.is_whole:
            self._blobs.remove(content.id)
            return
        try:
            self._blobs.seal(content.id, content.size_bytes, content.sha256)
        except (Corrupt, Incomplete) as error:
            raise Unavailable(
                f"the place of checkpoints did not keep the content of {content.id}: {error}"
            ) from error

    def undo(self) -> None:
        """Takes away what was put there."""
        for key in self._put:
            self._blobs.remove(key)
        self._put.clear()
