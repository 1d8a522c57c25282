"""The file of a backup: gzip over JSON lines, one format for both databases.

    {"format": "tunewell-backup", "version": 1, "schema_revision": ..., "source": ..., ...}
    {"table": "studies", "columns": ["id", ...]}
    ["st_...", ...]                                     one line a row, in the order of the key
    {"end": "studies", "rows": 1, "sha256": ...}        over the lines of the rows
    ...                                                 the other tables
    {"end_of_backup": true, "tables": 13, "rows": 4711, "sha256": ...}   over all lines before

Instants are microseconds since the epoch, JSON columns the text that the database keeps.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import AppError

FORMAT, VERSION = "tunewell-backup", 1

Row = Sequence[Any]


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
    """

    schema_revision: str
    source: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """One table under reading; its rows can be gone through once, before the next table."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row]


class ArchiveWriter:
    """Writes a backup into a binary file; `close` makes it whole."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._zip = gzip.GzipFile(fileobj=file, mode="wb", mtime=0)
        self._all = hashlib.sha256()
        self._n_tables = self._n_rows = 0
        self._write(
            {
                "format": FORMAT,
                "version": VERSION,
                "schema_revision": header.schema_revision,
                "source": header.source,
                "created_at": header.created_at,
            }
        )

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

    def tables(self) -> Iterator[TableRows]:
        """The tables in the order of the file. Whoever stops early has not checked the rest."""
        self._all = hashlib.sha256()
        with self._opened() as file:
            self._header(file)
            n_tables = 0
            while (entry := self._object(file)).get("end_of_backup") is not True:
                n_tables += 1
                name, columns = entry.get("table"), entry.get("columns")
                if not isinstance(name, str) or not isinstance(columns, list):
                    raise self._damaged("a table has no name")
                yield TableRows(
                    name=name, columns=tuple(columns), rows=self._rows(file, name, len(columns))
                )
            if entry.get("tables") != n_tables:
                raise self._damaged("a table is missing")
            self._check_end(file)

    def _check_end(self, file: gzip.GzipFile) -> None:
        try:
            follows = file.read(1)  # the library holds the end against a checksum of its own
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(str(error)) from error
        if follows:
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
        if found.get("version") != VERSION:
            raise self._damaged(f"it has version {found.get('version')}; known is {VERSION}")
        return Header(
            schema_revision=str(found.get("schema_revision")),
            source=str(found.get("source")),
            created_at=str(found.get("created_at")),
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
        try:
            line = file.readline()
        except (OSError, EOFError, zlib.error) as error:
            raise self._damaged(str(error)) from error
        if not line.endswith(b"\n"):
            raise self._damaged("it is cut off")
        self._all.update(line)
        return line

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
    for table in reader.tables():
        for _ in table.rows:
            pass
    return reader.header()
