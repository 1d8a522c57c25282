"""Opens the place that a setting names: a path, or `protocol://place` by fsspec."""

from __future__ import annotations

from pathlib import Path

from .base import Blobs
from .folder import FolderBlobs
from .remote import RemoteBlobs


def open_blobs(place: str) -> Blobs:
    """The place for contents.

    Args:
        place: a path of this machine, or a URL such as `s3://bucket/prefix`.

    Raises:
        Unavailable: what the protocol needs is not installed.
    """
    if "://" in place:
        return RemoteBlobs(place)
    return FolderBlobs(Path(place).expanduser())
