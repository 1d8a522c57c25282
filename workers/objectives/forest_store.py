"""Predictions of trees that were grown before, kept on the disk for later trials.

Forests of one random state share trees. The first n trees of a larger forest are the forest of n
trees; and a tree that stayed below the depth that it was allowed is the tree of every such depth.
So a later trial grows only what no trial before it has grown, and its losses are the same to the
last bit: the predictions are scikit-learn's own, summed in its order.

A store is a folder that several processes use at once. It is a cache: what cannot be read is grown
again, and the oldest files go when it gets too large.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import sklearn

try:
    import fcntl
except ImportError:  # Windows: writers may then lose one another's additions, never a file
    fcntl = None  # type: ignore[assignment]

Array = npt.NDArray[np.float64]

MAX_BYTES = 512 * 1024 * 1024
"""What a store may hold, all its forests together."""
CHUNK = 10
"""So many trees share a file."""
KEPT_SUMS = 20
"""Sums of so many numbers of trees are kept for each depth."""


class FoldStore(Protocol):
    """What was grown before of the forests of one fold."""

    def tree(self, index: int, max_depth: int) -> Array | None:
        """Predictions of a tree, shape (test rows,), if it is known for forests of `max_depth`."""
        ...

    def put_tree(self, index: int, depth: int, predictions: Array) -> None:
        """Keeps a tree that came to `depth` by itself, less than it was allowed."""
        ...

    def depths(self, n_trees: int) -> list[int] | None:
        """The depths that the first `n_trees` trees came to by themselves; None where one is not
        known.
        """
        ...

    def sums(self, max_depth: int, most: int) -> tuple[int, Array] | None:
        """The largest number of trees, at most `most`, whose summed predictions are known."""
        ...

    def put_sums(self, max_depth: int, n_trees: int, sums: Array) -> None:
        """Keeps the sum over the first `n_trees` trees."""
        ...

    def flush(self) -> None:
        """Writes what was put."""
        ...


class NoStore:
    """Keeps nothing."""

    def tree(self, index: int, max_depth: int) -> Array | None:
        """Never known."""
        return None

    def put_tree(self, index: int, depth: int, predictions: Array) -> None:
        """Does nothing."""

    def depths(self, n_trees: int) -> list[int] | None:
        """Never known."""
        return None

    def sums(self, max_depth: int, most: int) -> tuple[int, Array] | None:
        """Never known."""
        return None

    def put_sums(self, max_depth: int, n_trees: int, sums: Array) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""


def fold_key(parts: Mapping[str, Any], *arrays: npt.NDArray[Any]) -> str:
    """Names what a fold's forests depend on: these parts, scikit-learn's version, the data."""
    digest = hashlib.sha256(
        json.dumps({**parts, "scikit-learn": sklearn.__version__}, sort_keys=True).encode()
    )
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


class DiskStore:
    """The forests of one fold in a folder.

    Args:
        root: the store's folder, of all folds.
        key: names the fold, see `fold_key`.
        max_bytes: what the whole store may hold.
    """

    def __init__(self, root: Path, key: str, *, max_bytes: int = MAX_BYTES) -> None:
        self._root = root
        self._folder = root / key
        self._max_bytes = max_bytes
        self._trees: dict[int, tuple[int, Array]] = {}
        self._sums: dict[int, dict[int, Array]] = {}
        self._chunk: tuple[int, dict[int, tuple[int, Array]]] = (-1, {})

    def tree(self, index: int, max_depth: int) -> Array | None:
        """See `FoldStore`."""
        found = self._trees.get(index)
        if found is None:
            first = index - index % CHUNK
            if self._chunk[0] != first:  # one chunk in memory at a time
                self._chunk = (first, _read_trees(self._file_of(first)))
            found = self._chunk[1].get(index)
        # Not at its own depth: there the limit would have spared it the search for a last split,
        # and with it draws from its random stream.
        return None if found is None or found[0] >= max_depth else found[1]

    def put_tree(self, index: int, depth: int, predictions: Array) -> None:
        """See `FoldStore`."""
        self._trees[index] = (depth, predictions)

    def depths(self, n_trees: int) -> list[int] | None:
        """See `FoldStore`."""
        found: dict[int, int] = {}
        for first in range(0, n_trees, CHUNK):
            arrays = _read(self._file_of(first), "index", "depth")
            if arrays is None:
                return None
            found.update(zip(*(array.tolist() for array in arrays), strict=True))
        if not all(index in found for index in range(n_trees)):
            return None
        return [found[index] for index in range(n_trees)]

    def sums(self, max_depth: int, most: int) -> tuple[int, Array] | None:
        """See `FoldStore`."""
        known = _read_sums(self._sums_of(max_depth))
        fitting = [n for n in known if n <= most]
        return (max(fitting), known[max(fitting)]) if fitting else None

    def put_sums(self, max_depth: int, n_trees: int, sums: Array) -> None:
        """See `FoldStore`."""
        self._sums.setdefault(max_depth, {})[n_trees] = sums.copy()

    def flush(self) -> None:
        """See `FoldStore`. A disk that takes no more keeps nothing, and is no reason to fail."""
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked(self._root):
                for first in {index - index % CHUNK for index in self._trees}:
                    self._write_chunk(first)
                for max_depth, sums in self._sums.items():
                    self._write_sums(max_depth, sums)
                evict(self._root, self._max_bytes)
        self._trees, self._sums, self._chunk = {}, {}, (-1, {})

    def _write_chunk(self, first: int) -> None:
        file = self._file_of(first)
        mine = {i: t for i, t in self._trees.items() if first <= i < first + CHUNK}
        found = {**_read_trees(file), **mine}
        _write(
            file,
            index=np.array(list(found), dtype=np.int64),
            depth=np.array([depth for depth, _ in found.values()], dtype=np.int64),
            predictions=np.stack([predictions for _, predictions in found.values()]),
        )

    def _write_sums(self, max_depth: int, sums: Mapping[int, Array]) -> None:
        file = self._sums_of(max_depth)
        found = {**_read_sums(file), **sums}
        kept = sorted(found)[-KEPT_SUMS:]
        _write(
            file,
            n_trees=np.array(kept, dtype=np.int64),
            sums=np.stack([found[n] for n in kept]),
        )

    def _file_of(self, first: int) -> Path:
        return self._folder / f"trees-{first}.npz"

    def _sums_of(self, max_depth: int) -> Path:
        return self._folder / f"sums-{max_depth}.npz"


def evict(root: Path, max_bytes: int) -> None:
    """Takes the files away that were used longest ago, until the rest fits."""
    files = [(file.stat(), file) for file in root.glob("*/*.npz")]
    total = sum(stat.st_size for stat, _ in files)
    for stat, file in sorted(files, key=lambda item: item[0].st_mtime_ns):
        if total <= max_bytes:
            return
        file.unlink(missing_ok=True)
        total -= stat.st_size


def _read_trees(file: Path) -> dict[int, tuple[int, Array]]:
    found = _read(file, "index", "depth", "predictions")
    if found is None:
        return {}
    rows = zip(*found, strict=True)
    return {int(index): (int(depth), predictions) for index, depth, predictions in rows}


def _read_sums(file: Path) -> dict[int, Array]:
    found = _read(file, "n_trees", "sums")
    return {} if found is None else {int(n): sums for n, sums in zip(*found, strict=True)}


def _read(file: Path, *names: str) -> list[npt.NDArray[Any]] | None:
    """Arrays of a file; None where it is not there. One that is broken is taken away."""
    try:
        # Opened here: of a broken archive numpy would leave the file open.
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


def _write(file: Path, **arrays: Any) -> None:
    """A file that is there as a whole or not at all."""
    part = file.with_name(f"{file.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("wb") as out:
            np.savez(out, **arrays)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Lets one process at a time add to the store."""
    with (root / ".lock").open("w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
