"""Pipes and files by their descriptors."""

from __future__ import annotations

import os


def write_all(fd: int, content: bytes) -> None:
    """Writes a content whole, however little is taken at a time.

    Raises:
        OSError: the other end is gone, or the disk takes no more; a part may be written.
    """
    while content:
        content = content[os.write(fd, content) :]
