"""Backs a database up beside a running service: one consistent snapshot, into one file.

On SQLite by its backup call, on Postgres by COPY in one REPEATABLE READ transaction. Neither keeps
a writer waiting.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from psycopg import sql
from sqlalchemy import BigInteger, Boolean, Column, Connection, Float, Integer, Table, select
from sqlalchemy.engine import URL

from ..domain.checkpoint import CheckpointState
from ..errors import Conflict, NotFound, Unavailable
from .archive import ArchiveWriter, Header, Row
from .copying import (
    EVERY_ROWS,
    LEFT_OUT,
    Progress,
    connected,
    driver_of,
    file_of,
    is_sqlite,
    revision_of,
    tables_of,
)
from .engine import parse_url
from .failures import reason

_FETCH = 1_000
_TYPES = ((Boolean, "bool"), (BigInteger, "int8"), (Integer, "int4"), (Float, "float8"))
"""What Postgres calls the types of our columns; all others are text."""


ReadContent = Callable[[str, int], Iterator[bytes]]
"""Reads a checkpoint's content, by its id and size in bytes: FileNotFoundError when it is gone,
another OSError when it cannot be read.
"""


@dataclass(slots=True)
class ContentsMade:
    """The contents of checkpoints in a backup: ids of those that are whole, that were gone, and
    that were others than announced; the bytes of the first.
    """

    whole: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupMade:
    """What a backup holds.

    Attributes:
        contents: None when they were left out.
    """

    schema_revision: str
    rows: dict[str, int]
    size_bytes: int
    contents: ContentsMade | None


def backup(
    url: str, path: Path, *, now: datetime, progress: Progress, read: ReadContent | None = None
) -> BackupMade:
    """Writes a backup of a database to a file that is not there yet.

    Args:
        url: the database.
        path: the file; readable by its owner only, for it holds hashes of tokens and the key that
            signs sessions.
        now: for the file's header.
        progress: told of each table, and of the contents.
        read: reads contents of checkpoints; None leaves them out.

    Raises:
        Conflict: already-exists, when the file is there.
        NotFound: there is no database, or it has no schema of ours.
        Unavailable: the database cannot be reached, a content not be read, or the file not be
            written.
    """
    parsed = parse_url(url)
    with _fresh(path) as (file, scratch), ExitStack() as stack:
        connection = stack.enter_context(_snapshot(parsed, scratch))
        revision = revision_of(connection)
        if revision is None:
            raise NotFound("the database holds no schema of ours: there is nothing to back up")
        committed = [] if read is None else _committed(connection)
        header = Header(
            schema_revision=revision,
            source="sqlite" if is_sqlite(parsed) else "postgresql",
            created_at=now.isoformat(),
            n_contents=len(committed),
        )
        writer = ArchiveWriter(file, header)
        # At once: a training that saves often replaces its checkpoint, and the old content goes.
        contents = None if read is None else _save(writer, committed, read, progress)
        rows = {
            table.name: _dump(connection, writer, table, progress)
            for table in tables_of(connection)
            if table.name not in LEFT_OUT
        }
        writer.close()
        size = file.tell()
    return BackupMade(schema_revision=revision, rows=rows, size_bytes=size, contents=contents)


@dataclass(frozen=True, slots=True)
class _Committed:
    id: str
    size_bytes: int
    sha256: str


def _committed(connection: Connection) -> list[_Committed]:
    """The checkpoints that a trial may go on from, as the snapshot has them."""
    table = {table.name: table for table in tables_of(connection)}.get("checkpoints")
    if table is None:  # a schema of before there were any
        return []
    query = select(table.c.id, table.c.size_bytes, table.c.sha256).order_by(table.c.id)
    rows = connection.execute(query.where(table.c.state == CheckpointState.COMMITTED.value))
    return [_Committed(*row) for row in rows]


def _save(
    writer: ArchiveWriter, committed: Sequence[_Committed], read: ReadContent, progress: Progress
) -> ContentsMade:
    made = ContentsMade()
    for count, each in enumerate(committed, 1):
        outcome = writer.content(each.id, each.size_bytes, each.sha256, _pieces(each, read))
        getattr(made, outcome).append(each.id)
        made.size_bytes += each.size_bytes if outcome == "whole" else 0
        progress("contents of checkpoints", count)
    return made


def _pieces(checkpoint: _Committed, read: ReadContent) -> Iterator[bytes]:
    try:
        yield from read(checkpoint.id, checkpoint.size_bytes)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unavailable(
            f"the content of checkpoint {checkpoint.id} cannot be read: {error}; "
            "--no-checkpoints leaves contents out"
        ) from error


@contextmanager
def _fresh(path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """A new file under a temporary name, that gets its own at the end; and a name for scratch."""
    if os.path.lexists(path):
        raise _taken(path)
    partial, scratch = (path.with_name(f"{path.name}.{os.getpid()}.{kind}") for kind in _KINDS)
    try:
        with open(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            yield file, scratch
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # unlike a rename it never replaces a file
        _flush_folder(path.parent)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
    finally:
        for left in (partial, scratch):
            left.unlink(missing_ok=True)


_KINDS = ("partial", "scratch")


def _taken(path: Path) -> Conflict:
    return Conflict(f"{path} is there already, and is not overwritten", code="already-exists")


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _snapshot(parsed: URL, scratch: Path) -> Iterator[Connection]:
    """A connection that sees the database as it is now, and goes on to see it so."""
    if not is_sqlite(parsed):
        with connected(parsed, isolation_level="REPEATABLE READ") as connection:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection
        return
    if not file_of(parsed).is_file():
        raise NotFound(f"there is no database {file_of(parsed)}")
    _copy_sqlite(file_of(parsed), scratch)
    with connected(parsed.set(database=str(scratch))) as connection:
        yield connection


def _copy_sqlite(file: Path, scratch: Path) -> None:
    os.close(os.open(scratch, os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(scratch)) as copy:
            # All pages in one step: between steps a busy writer would make it begin anew.
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode = DELETE").close()
    except sqlite3.Error as error:
        raise Unavailable(
            f"{file} cannot be copied: {reason(error)}", code="storage-busy"
        ) from error


def _dump(connection: Connection, writer: ArchiveWriter, table: Table, progress: Progress) -> int:
    is_copied = connection.dialect.name == "postgresql"
    rows = (_by_copy if is_copied else _by_select)(connection, table)
    count = writer.table(
        table.name, [column.name for column in table.c], _told(rows, table.name, progress)
    )
    progress(table.name, count)
    return count


def _told(rows: Iterable[Row], name: str, progress: Progress) -> Iterator[Row]:
    for count, row in enumerate(rows, 1):
        yield row
        if count % EVERY_ROWS == 0:
            progress(name, count)


def _by_copy(connection: Connection, table: Table) -> Iterator[Row]:
    query = sql.SQL("COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT").format(
        _listed(table.c), sql.Identifier(table.name), _listed(table.primary_key)
    )
    with driver_of(connection).cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types([_postgres_type(column.type) for column in table.c])
        yield from copy.rows()


def _listed(columns: Iterable[Column[Any]]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)


def _postgres_type(kind: Any) -> str:
    return next((name for known, name in _TYPES if isinstance(kind, known)), "text")


def _by_select(connection: Connection, table: Table) -> Iterator[Row]:
    query = select(table).order_by(*table.primary_key)
    yield from connection.execution_options(yield_per=_FETCH).execute(query)
