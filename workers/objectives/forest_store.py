"""Predictions of trees that were grown before, kept on the disk for later trials.

Forests of one random state share trees. The first n trees of a larger forest are the forest of n
trees; and a tree that stayed below the depth that it was allowed is the tree of every such depth.
So a later trial grows only what no trial before it has grown, and its losses are the same to the
last bit: the predictions are scikit-learn's own, summed in its order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import sklearn

from .store import MAX_BYTES, Store

Array = npt.NDArray[np.float64]

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
        self._store = Store(root, key, max_bytes=max_bytes)
        self._trees: dict[int, tuple[int, Array]] = {}
        self._sums: dict[int, dict[int, Array]] = {}
        self._chunk: tuple[int, dict[int, tuple[int, Array]]] = (-1, {})

    def tree(self, index: int, max_depth: int) -> Array | None:
        """See `FoldStore`."""
        found = self._trees.get(index)
        if found is None:
            first = index - index % CHUNK
            if self._chunk[0] != first:  # one chunk in memory at a time
                self._chunk = (first, self._read_trees(first))
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
            arrays = self._store.read(f"trees-{first}", "index", "depth")
            if arrays is None:
                return None
            found.update(zip(*(array.tolist() for array in arrays), strict=True))
        if not all(index in found for index in range(n_trees)):
            return None
        return [found[index] for index in range(n_trees)]

    def sums(self, max_depth: int, most: int) -> tuple[int, Array] | None:
        """See `FoldStore`."""
        known = self._read_sums(max_depth)
        fitting = [n for n in known if n <= most]
        return (max(fitting), known[max(fitting)]) if fitting else None

    def put_sums(self, max_depth: int, n_trees: int, sums: Array) -> None:
        """See `FoldStore`."""
        self._sums.setdefault(max_depth, {})[n_trees] = sums.copy()

    def flush(self) -> None:
        """See `FoldStore`."""
        with self._store.alone():
            for first in {index - index % CHUNK for index in self._trees}:
                self._write_chunk(first)
            for max_depth, sums in self._sums.items():
                self._write_sums(max_depth, sums)
        self._store.evict()
        self._trees, self._sums, self._chunk = {}, {}, (-1, {})

    def _write_chunk(self, first: int) -> None:
        mine = {i: t for i, t in self._trees.items() if first <= i < first + CHUNK}
        found = {**self._read_trees(first), **mine}
        self._store.write(
            f"trees-{first}",
            index=np.array(list(found), dtype=np.int64),
            depth=np.array([depth for depth, _ in found.values()], dtype=np.int64),
            predictions=np.stack([predictions for _, predictions in found.values()]),
        )

    def _write_sums(self, max_depth: int, sums: Mapping[int, Array]) -> None:
        found = {**self._read_sums(max_depth), **sums}
        kept = sorted(found)[-KEPT_SUMS:]
        self._store.write(
            f"sums-{max_depth}",
            n_trees=np.array(kept, dtype=np.int64),
            sums=np.stack([found[n] for n in kept]),
        )

    def _read_trees(self, first: int) -> dict[int, tuple[int, Array]]:
        found = self._store.read(f"trees-{first}", "index", "depth", "predictions")
        if found is None:
            return {}
        rows = zip(*found, strict=True)
        return {int(index): (int(depth), predictions) for index, depth, predictions in rows}

    def _read_sums(self, max_depth: int) -> dict[int, Array]:
        found = self._store.read(f"sums-{max_depth}", "n_trees", "sums")
        return {} if found is None else {int(n): sums for n, sums in zip(*found, strict=True)}
