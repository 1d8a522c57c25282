"""Finds the data sets' files, checks their digests and says which data are at hand.

The data folder (`TUNEWELL_DATA_DIR`, or the user's cache folder) is looked at first, then the files
shipped with the package. Standard library only: the worker's parent process asks here too, and it
stays light. Arrays and tensors are made elsewhere.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).parent / "data"
_CHUNK_BYTES = 1 << 20


class DataError(Exception):
    """A data set cannot be had, or is not what it should be."""


class CorruptFile(DataError):
    """A file of a data set has other content than it should; the message names both digests."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """A data set known by the content of its files.

    Attributes:
        digest: SHA-256 in hex that stands for the content, however it is packed.
        md5: of each file's uncompressed bytes.
        folders: where below the data folder its files may lie.
        prefix: what the shipped copies' names begin with, or None when none is shipped.
    """

    name: str
    digest: str
    md5: Mapping[str, str]
    folders: tuple[str, ...]
    prefix: str | None = None


def _digest_of(md5: Mapping[str, str]) -> str:
    lines = "".join(f"{name} {md5[name]}\n" for name in sorted(md5))
    return hashlib.sha256(lines.encode()).hexdigest()


def _mnist(name: str, md5: Mapping[str, str], prefix: str | None) -> DataSet:
    folders = (".", "mnist", "MNIST/raw") if prefix is None else ()
    return DataSet(name=name, digest=_digest_of(md5), md5=md5, folders=folders, prefix=prefix)


MNIST = _mnist(
    "mnist",
    {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    None,
)
"""The full set: 60,000 training and 10,000 test images."""

MNIST_5K = _mnist(
    "mnist-5k",
    {
        "train-images-idx3-ubyte": "db908e14774757a227f3b5ea60405a4f",
        "train-labels-idx1-ubyte": "f353a3fa15897cb6ee19655942574bb5",
        "t10k-images-idx3-ubyte": "2128992a19b88fb8c32d6b9a7bb9a0b5",
        "t10k-labels-idx1-ubyte": "0292829c7274f2edccf8199aae6de4a0",
    },
    "mnist-5k-",
)
"""The shipped subset: 4,000 training and 1,000 test images (made by data/make_mnist_5k.py)."""

CALIFORNIA = DataSet(
    name="california-housing",
    # Of the 20,640 rows as nine little-endian doubles each, in the columns' order of the file.
    digest="a2f4f55ff91c67e60391318ea4d61d247d09f8fef119ec6f44a1eb727d7f1f7b",
    md5={"cal_housing_raw.csv": "b62e4654796d1c74c8bd075223909175"},
    folders=(".", "california_housing"),
    prefix="",
)
"""California housing in full: 20,640 districts, the nine columns as first published."""


def cache_folder() -> Path:
    """The user's cache folder for data sets; what is downloaded or remembered goes there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tunewell"


def data_folder() -> Path:
    """Where the user's own copies of the data sets lie."""
    given = os.environ.get("TUNEWELL_DATA_DIR")
    return Path(given).expanduser() if given else cache_folder()


def locate(data_set: DataSet) -> dict[str, Path] | None:
    """The files of a data set, all from one folder; None when no place has them all."""
    places = [(data_folder() / folder, "") for folder in data_set.folders]
    if data_set.prefix is not None:
        places.append((SHIPPED, data_set.prefix))
    for folder, prefix in places:
        found = {name: _file(folder, prefix + name) for name in data_set.md5}
        paths = {name: path for name, path in found.items() if path is not None}
        if len(paths) == len(found):
            return paths
    return None


def _file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def read(data_set: DataSet) -> dict[str, bytes]:
    """The uncompressed bytes of each file of a data set, checked.

    Raises:
        DataError: it is not at hand.
        CorruptFile: a file's content is another one.
    """
    paths = locate(data_set)
    if paths is None:
        raise DataError(f"the data set {data_set.name} is not at hand: looked in {data_folder()}")
    return {name: _checked(path, data_set.md5[name]) for name, path in paths.items()}


def _checked(path: Path, md5: str) -> bytes:
    content = b"".join(_chunks(path))
    _compare(path, hashlib.md5(content, usedforsecurity=False).hexdigest(), md5)
    return content


def _compare(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise CorruptFile(
            f"{path} is corrupt: the md5 of its uncompressed bytes is {found}, not {expected}; "
            "remove it, or copy it there again"
        )


def _chunks(path: Path) -> Iterator[bytes]:
    """A file's uncompressed bytes, piece by piece."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except (EOFError, zlib.error, OSError) as error:
        raise CorruptFile(
            f"{path} cannot be read: {error}; remove it, or copy it there again"
        ) from error


def verify(data_set: DataSet) -> bool:
    """Whether a data set is at hand and sound; a file's digest is computed once and remembered.

    Raises:
        CorruptFile: it is there, with other content.
    """
    paths = locate(data_set)
    if paths is None:
        return False
    known = _Remembered()
    for name, path in paths.items():
        found = known.md5(path)
        _compare(path, found, data_set.md5[name])
    known.save()
    return True


class _Remembered:
    """Digests of files seen before, by path, size and time of change."""

    def __init__(self) -> None:
        self._path = cache_folder() / "digests.json"
        self._changed = False
        try:
            stored = json.loads(self._path.read_text())
        except (OSError, ValueError):
            stored = {}
        self._known: dict[str, list[object]] = stored if isinstance(stored, dict) else {}

    def md5(self, path: Path) -> str:
        """The md5 of a file's uncompressed bytes."""
        stat = path.stat()
        stamp: list[object] = [stat.st_size, stat.st_mtime_ns]
        entry = self._known.get(str(path.resolve()))
        if isinstance(entry, list) and len(entry) == 3 and entry[:2] == stamp:
            return str(entry[2])
        digest = hashlib.md5(usedforsecurity=False)
        for chunk in _chunks(path):
            digest.update(chunk)
        self._known[str(path.resolve())] = [*stamp, digest.hexdigest()]
        self._changed = True
        return digest.hexdigest()

    def save(self) -> None:
        """Keeps what was learnt; a cache folder that cannot be written only costs time."""
        if not self._changed:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            draft = self._path.with_suffix(f".{os.getpid()}.tmp")
            draft.write_text(json.dumps(self._known))
            draft.replace(self._path)
        except OSError:
            return


def described(data_set: DataSet) -> dict[str, str]:
    """A data set as trials and offers name it."""
    return {"dataset": data_set.name, "digest": data_set.digest}
