"""What trials on this machine keep on the disk for later ones: arrays in files, by key.

A store is a folder that several processes use at once. It is a cache: what cannot be read is
computed again, the oldest files go when it gets too large, and a disk that takes no more keeps
nothing, which is no reason for a trial to fail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    import fcntl
except ImportError:  # Windows: writers may then lose one another's additions, never a file
    fcntl = None  # type: ignore[assignment]

MAX_BYTES = 512 * 1024 * 1024
"""What a store may hold, all its keys together."""


class Store:
    """The files of one key.

    Args:
        root: the store's folder, of all keys.
        key: names what the files depend on; a valid file name.
        max_bytes: what the whole store may hold.
    """

    def __init__(self, root: Path, key: str, *, max_bytes: int = MAX_BYTES) -> None:
        self._root = root
        self._folder = root / key
        self._max_bytes = max_bytes

    def read(self, file_name: str, *names: str) -> list[npt.NDArray[Any]] | None:
        """Arrays of a file; None where it is not there. One that is broken is taken away."""
        file = self._folder / f"{file_name}.npz"
        try:
            # Opened here: of a broken archive numpy would leave the file open. Each array's
            # checksum is compared as it is read.
            with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
                found = [arrays[name] for name in names]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(file)  # it was of use: others go first
        return found

    def write(self, file_name: str, **arrays: Any) -> None:
        """Keeps arrays in a file that is there as a whole or not at all."""
        file = self._folder / f"{file_name}.npz"
        part = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("wb") as out:
                    np.savez(out, **arrays)
                part.replace(file)
            finally:
                part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Lets one process at a time work on this key; a process that dies lets go of it.

        Where nothing can be locked everyone works, and no file suffers: each is replaced whole.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                _lock(stack, self._folder)
            yield

    def evict(self) -> None:
        """Takes the files away that were used longest ago, of whatever key, until the rest fits."""
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            _lock(stack, self._root)
            evict(self._root, self._max_bytes)


def evict(root: Path, max_bytes: int) -> None:
    """Takes the files away that were used longest ago, until the rest fits; a key's folder goes
    with its last file.
    """
    files = []
    for file in root.glob("*/*.npz*"):  # with what a writer that was killed has left of a file
        with contextlib.suppress(FileNotFoundError):
            stat = file.stat()
            files.append((stat.st_mtime_ns, stat.st_size, file))
    total = sum(size for _, size, _ in files)
    for _, size, file in sorted(files):
        if total <= max_bytes:
            return
        file.unlink(missing_ok=True)
        total -= size
        if not any(file.parent.glob("*.npz*")):
            shutil.rmtree(file.parent, ignore_errors=True)


def _lock(stack: contextlib.ExitStack, folder: Path) -> None:
    lock = stack.enter_context((folder / ".lock").open("w"))
    if fcntl is not None:
        fcntl.flock(lock, fcntl.LOCK_EX)
