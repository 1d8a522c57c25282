"""Folders of trials on a node, where nobody may be left to clear up: whoever comes next does."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_LOCK = "lock"


class TrialFolder:
    """An empty folder that is this process's until it is removed, or the process ends.

    Making one removes those whose processes have ended without doing so.

    Args:
        parent: holds the folders of all trials; in the node's temporary folder when None.

    Attributes:
        path: the folder.

    Raises:
        OSError: it cannot be made, or the parent is another user's.
    """

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir()) / f"tunewell-trials-{os.getuid()}"
        parent.mkdir(mode=0o700, exist_ok=True)
        if parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{parent} belongs to another user")
        # One at a time: a folder that is not locked yet must not look left behind.
        with (parent / _LOCK).open("wb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            for path in parent.iterdir():
                if path.is_dir() and not _is_held(path):
                    shutil.rmtree(path, ignore_errors=True)
            self.path = Path(tempfile.mkdtemp(dir=parent))
            self._held = (self.path / _LOCK).open("wb")
            fcntl.flock(self._held, fcntl.LOCK_EX)

    def remove(self) -> None:
        """Removes it with all that is in it; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._held.close()


def _is_held(path: Path) -> bool:
    try:
        with (path / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False  # half removed, or its process ended before it had locked it
    return False
