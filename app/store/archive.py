"""The file of a backup: gzip over JSON lines, one format for both databases.

    {"format": "tunewell-backup", "version": 1, "schema_revision": ..., "source": ..., ...}
    {"table": "studies", "columns": ["id", ...]}
    ["st_...", ...]                                     one line a row, in the order of the key
    {"end": "studies", "rows": 1, "sha256": ...}        over the lines of the rows
    ...                                                 the other tables
    {"end_of_backup": true, "tables": 13, "rows": 4711, "sha256": ...}   over all lines before

Instants are microseconds since the epoch, JSON columns the text that the database keeps.

With the contents of checkpoints the version is 2, and they stand before the tables, so that no row
is restored before its content:

    {"content": "ck_...", "size_bytes": 9, "sha256": ...}    as its row announces
    {"bytes": 9}                                             then that many bytes as they are
    {"end": "ck_...", "is_whole": true}                      false: it was gone or differed
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from ..errors import AppError

FORMAT = "tunewell-backup"
TABLES_ONLY, WITH_CONTENTS = 1, 2
"""Versions: a file without contents can be read by what knows the first one only."""

MOST_BYTES = 1 << 24
"""Most bytes in one piece of a content."""

Row = Sequence[Any]
Outcome = Literal["whole", "gone", "damaged"]


class DamagedBackup(AppError):
    """The file is no whole backup."""

    code = "damaged-backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a backup says of itself.

    Attributes:
        schema_revision: of the database that it was made of.
        source: "sqlite" or "postgresql".
        created_at: RFC 3339.
        n_contents: how many contents of checkpoints it holds, those that were not whole too.
    """

    schema_revision: str
    source: str
    created_at: str
    n_contents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """One table under reading; its rows can be gone through once, before the next table."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row]


@dataclass(slots=True, kw_only=True)
class Content:
    """A checkpoint's content under reading; its pieces can be gone through once, before what comes.

    Attributes:
        size_bytes, sha256: what it has to be.
        is_whole: whether it is that; known after the last piece.
    """

    id: str
    size_bytes: int
    sha256: str
    pieces: Iterator[bytes]
    is_whole: bool = False


class ArchiveWriter:
    """Writes a backup into a binary file; `close` makes it whole."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._zip = gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0)
        self._all = hashlib.sha256()
        self._n_tables = self._n_rows = 0
        self._write(
            {
                "format": FORMAT,
                "version": WITH_CONTENTS if header.n_contents else TABLES_ONLY,
                "schema_revision": header.schema_revision,
                "source": header.source,
                "created_at": header.created_at,
                **({"contents": header.n_contents} if header.n_contents else {}),
            }
        )

    def content(self, key: str, size_bytes: int, sha256: str, pieces: Iterable[bytes]) -> Outcome:
        """Writes a checkpoint's content; what became of it.

        Args:
            pieces: each of `MOST_BYTES` at most; FileNotFoundError says that they are gone.
        """
        is_gone = False
        self._write({"content": key, "size_bytes": size_bytes, "sha256": sha256})
        size, digest = 0, hashlib.sha256()
        try:
            for piece in pieces:
                self._write({"bytes": len(piece)})
                self._all.update(piece)
                self._zip.write(piece)
                digest.update(piece)
                size += len(piece)
        except FileNotFoundError:
            is_gone = True
        is_whole = not is_gone and (size, digest.hexdigest()) == (size_bytes, sha256)
        self._write({"end": key, "is_whole": is_whole})
        return "whole" if is_whole else "gone" if is_gone else "damaged"

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Row]) -> int:
        """Writes a table; returns how many rows it has."""
        self._write({"table": name, "columns": list(columns)})
        n_rows, digest = 0, hashlib.sha256()
        for row in rows:
            digest.update(self._write(list(row)))
            n_rows += 1
        self._write({"end": name, "rows": n_rows, "sha256": digest.hexdigest()})
        self._n_tables += 1
        self._n_rows += n_rows
        return n_rows

    def close(self) -> None:
        """Writes the last line."""
        digest = self._all.hexdigest()
        self._write(
            {
                "end_of_backup": True,
                "tables": self._n_tables,
                "rows": self._n_rows,
                "sha256": digest,
            }
        )
        self._zip.close()

    def _write(self, value: Any) -> bytes:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        self._all.update(line)
        self._zip.write(line)
        return line


class ArchiveReader:
    """Reads a backup table by table, and holds every count and checksum against what it says.

    Raises (when it is gone through):
        DamagedBackup: it is no backup, of a newer kind, cut off, or its bytes were changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all = hashlib.sha256()

    def header(self) -> Header:
        """What the file says of itself."""
        with self._opened() as file:
            return self._header(file)

    def entries(self) -> Iterator[TableRows | Content]:
        """Contents, then tables, in the order of the file. Whoever stops early has not checked the
        rest.
        """
        self._all = hashlib.sha256()
        with self._opened() as file:
            header = self._header(file)
            n_tables = n_contents = 0
            while (entry := self._object(file)).get("end_of_backup") is not True:
                if "content" in entry:
                    n_contents += 1
                    yield self._content(file, entry)
                else:
                    n_tables += 1
                    yield self._table(file, entry)
            if entry.get("tables") != n_tables:
                raise self._damaged("a table is missing")
            if header.n_contents != n_contents:
                raise self._damaged("the content of a checkpoint is missing")
            self._check_end(file)

    def _table(self, file: gzip.GzipFile, entry: dict[str, Any]) -> TableRows:
        name, columns = entry.get("table"), entry.get("columns")
        if not isinstance(name, str) or not isinstance(columns, list):
            raise self._damaged("a table has no name")
        return TableRows(
            name=name, columns=tuple(columns), rows=self._rows(file, name, len(columns))
        )

    def _content(self, file: gzip.GzipFile, entry: dict[str, Any]) -> Content:
        key, size, sha256 = (entry.get(name) for name in ("content", "size_bytes", "sha256"))
        if not isinstance(key, str) or not isinstance(size, int) or not isinstance(sha256, str):
            raise self._damaged("the content of a checkpoint has no name")
        content = Content(id=key, size_bytes=size, sha256=sha256, pieces=iter(()))
        content.pieces = self._pieces(file, content)
        return content

    def _pieces(self, file: gzip.GzipFile, content: Content) -> Iterator[bytes]:
        size, digest = 0, hashlib.sha256()
        while "bytes" in (entry := self._object(file)):
            piece = self._piece(file, entry["bytes"])
            size += len(piece)
            digest.update(piece)
            yield piece
        if entry.get("end") != content.id:
            raise self._damaged(f"the content of {content.id} has no end")
        content.is_whole = entry.get("is_whole") is True
        if content.is_whole and (size, digest.hexdigest()) != (content.size_bytes, content.sha256):
            raise self._damaged(f"the content of {content.id} was changed")

    def _piece(self, file: gzip.GzipFile, length: object) -> bytes:
        if not isinstance(length, int) or not 0 <= length <= MOST_BYTES:
            raise self._damaged(f"a piece of a content cannot have {length} bytes")
        piece = self._read(lambda: file.read(length))
        if len(piece) < length:
            raise self._damaged("it is cut off")
        self._all.update(piece)
        return piece

    def _check_end(self, file: gzip.GzipFile) -> None:
        # The library holds the end against a checksum of its own.
        if self._read(lambda: file.read(1)):
            raise self._damaged("something follows its end")

    def _rows(self, file: gzip.GzipFile, name: str, n_columns: int) -> Iterator[Row]:
        n_rows, digest = 0, hashlib.sha256()
        while True:
            line = self._line(file)
            value = self._parsed(line)
            if isinstance(value, dict):
                break
            if not isinstance(value, list) or len(value) != n_columns:
                raise self._damaged(f"a row of {name} has not {n_columns} values")
            n_rows += 1
            digest.update(line)
            yield value
        if (value.get("end"), value.get("rows")) != (name, n_rows):
            raise self._damaged(f"rows of {name} are missing")
        if value.get("sha256") != digest.hexdigest():
            raise self._damaged(f"the rows of {name} were changed")

    def _header(self, file: gzip.GzipFile) -> Header:
        found = self._object(file)
        if found.get("format") != FORMAT:
            raise self._damaged("it is no backup")
        if found.get("version") not in (TABLES_ONLY, WITH_CONTENTS):
            raise self._damaged(
                f"it has version {found.get('version')}; known are {TABLES_ONLY} and "
                f"{WITH_CONTENTS}"
            )
        n_contents = found.get("contents", 0)
        if not isinstance(n_contents, int):
            raise self._damaged("it does not say how many contents it holds")
        return Header(
            schema_revision=str(found.get("schema_revision")),
            source=str(found.get("source")),
            created_at=str(found.get("created_at")),
            n_contents=n_contents,
        )

    def _opened(self) -> gzip.GzipFile:
        try:
            return gzip.open(self._path, "rb")
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from error

    def _object(self, file: gzip.GzipFile) -> dict[str, Any]:
        before = self._all.hexdigest()
        value = self._parsed(self._line(file))
        if not isinstance(value, dict):
            raise self._damaged("a line stands in the wrong place")
        if value.get("end_of_backup") is True and value.get("sha256") != before:
            raise self._damaged("its bytes were changed")
        return value

    def _line(self, file: gzip.GzipFile) -> bytes:
        line = self._read(file.readline)
        if not line.endswith(b"\n"):
            raise self._damaged("it is cut off")
        self._all.update(line)
        return line

    def _read(self, read: Callable[[], bytes]) -> bytes:
        try:
            return read()
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(str(error)) from error

    def _parsed(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError as error:
            raise self._damaged("a line is no JSON") from error

    def _damaged(self, why: str) -> DamagedBackup:
        return DamagedBackup(f"{self._path} cannot be restored: {why}")


def verify(path: Path) -> Header:
    """Reads a backup to its end and holds it against its checksums.

    Raises:
        DamagedBackup: it is not whole.
    """
    reader = ArchiveReader(path)
    for entry in reader.entries():
        for _ in entry.rows if isinstance(entry, TableRows) else entry.pieces:
            pass
    return reader.header()
