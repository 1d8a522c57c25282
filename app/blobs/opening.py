"""Opens the place that a setting names: a path, or `protocol://place` by fsspec."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import Unavailable
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


def check_place(place: str) -> None:
    """Looks at a place before a service starts on it: the first upload may come days later.

    Raises:
        Unavailable: what its protocol needs is not installed, or the folder cannot be written.
    """
    open_blobs(place)
    if "://" in place:
        return
    folder = Path(place).expanduser().absolute()
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise Unavailable(f"checkpoints cannot be kept in {place}: {folder} cannot be written")
