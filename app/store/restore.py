"""Restores a backup into an empty database, of either kind, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import sql
from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.engine import URL

from ..errors import Conflict
from . import schema
from .archive import ArchiveReader, Content, DamagedBackup, Header, Row, verify
from .copying import (
    EVERY_ROWS,
    Progress,
    connected,
    driver_of,
    file_of,
    is_sqlite,
    revision_of,
    tables_of,
)
from .engine import parse_url

_BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was restored; the schema is brought up to date afterwards.

    Attributes:
        contents: ids of the checkpoints whose contents were; None when they were left out.
    """

    header: Header
    rows: dict[str, int]
    contents: list[str] | None = None


class Contents(Protocol):
    """Where contents of checkpoints are put back."""

    def put(self, content: Content) -> None:
        """Puts one there, whole or not at all; one that is there already stays.

        Raises:
            Conflict: another content is there under that id.
            Unavailable: the place does not take it.
        """

    def undo(self) -> None:
        """Takes away what was put there."""


def restore(
    path: Path,
    url: str,
    *,
    progress: Progress,
    contents: Contents | None = None,
    is_without_contents: bool = False,
) -> Restored:
    """Restores a backup into a database that holds nothing.

    The file is read twice: once to hold it against its checksums, before anything is written. When
    it breaks off, the database and the place of contents are as they were.

    Args:
        contents: where contents of checkpoints go.
        is_without_contents: leaves them out.

    Raises:
        DamagedBackup: the file is no whole backup, or of a newer version.
        Conflict: the database holds something, or is being served; `checkpoints-off`: the backup
            has contents, and there is no place for them.
        Unavailable: the database, or the place of contents, cannot be reached.
    """
    header = verify(path)
    _check_known(header, path)
    if is_without_contents:
        contents = None
    elif header.n_contents and contents is None:
        raise Conflict(
            f"{path} holds contents of {header.n_contents} checkpoints, and nobody has said where "
            "they go: give --checkpoint-dir (TUNEWELL_CHECKPOINT_DIR), or --no-checkpoints",
            code="checkpoints-off",
        )
    parsed = parse_url(url)
    with schema.ServeLock(url):
        _make_schema(parsed, url, header.schema_revision)
        put: list[str] = []
        try:
            with connected(parsed) as connection:
                rows = _fill(connection, ArchiveReader(path), progress, _Put(contents, put))
                connection.commit()
        except BaseException:
            if contents is not None:
                contents.undo()
            raise
        schema.upgrade(url)
    return Restored(header=header, rows=rows, contents=None if contents is None else put)


@dataclass(frozen=True, slots=True)
class _Put:
    """Takes the contents of a backup: into a place, or without one past them."""

    place: Contents | None
    done: list[str]

    def take(self, content: Content, progress: Progress) -> None:
        if self.place is not None:
            self.place.put(content)
        for _ in content.pieces:  # what is left: all of a content that is passed over
            pass
        if self.place is not None and content.is_whole:
            self.done.append(content.id)
            progress("contents of checkpoints", len(self.done))


def _check_known(header: Header, path: Path) -> None:
    script = ScriptDirectory.from_config(schema.alembic_config())
    with suppress(CommandError):
        if script.get_revision(header.schema_revision) is not None:
            return
    raise DamagedBackup(
        f"{path} has the schema {header.schema_revision}, which this version does not know: "
        "it was made by a newer one"
    )


def _make_schema(parsed: URL, url: str, revision: str) -> None:
    """The schema that the backup was made of, in a database that must be empty."""
    if is_sqlite(parsed) and not file_of(parsed).exists():
        schema.upgrade(url, revision)
        return
    with connected(parsed) as connection:
        _refuse_rows(connection, tables_of(connection))
        present = revision_of(connection)
    if present not in (None, revision):
        schema.downgrade(url, "base")
    schema.upgrade(url, revision)


def _refuse_rows(connection: Connection, tables: Iterable[Table]) -> None:
    for table in tables:
        if connection.execute(table.select().limit(1)).first() is not None:
            what = "is served or was" if table.name == "replicas" else f"has rows in {table.name}"
            raise Conflict(
                f"the database is not empty: it {what}; a backup is restored into an empty one",
                code="already-exists",
            )


def _fill(
    connection: Connection, reader: ArchiveReader, progress: Progress, contents: _Put
) -> dict[str, int]:
    known = {table.name: table for table in tables_of(connection)}
    if connection.dialect.name == "postgresql":
        connection.execute(schema.MIGRATION_LOCK)  # a service that starts now waits for the end
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    _refuse_rows(connection, known.values())
    counts = {}
    for found in reader.entries():
        if isinstance(found, Content):
            contents.take(found, progress)
            continue
        table = known.get(found.name)
        if table is None or set(found.columns) != set(table.c.keys()):
            raise DamagedBackup(f"the table {found.name} is not one of the backup's schema")
        rows = _outside_feed(found.rows, found.columns) if table.name == "events" else found.rows
        counts[table.name] = _insert(connection, table, found.columns, rows, progress)
    return counts


def _outside_feed(rows: Iterable[Row], columns: Sequence[str]) -> Iterator[Row]:
    """Events without the id of their transaction, which means nothing in another cluster: they sort
    before all that come, among themselves by their row's id.
    """
    place = columns.index("xid")
    for row in rows:
        yield [*row[:place], 0, *row[place + 1 :]]


def _insert(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Row],
    progress: Progress,
) -> int:
    count, is_copied = 0, connection.dialect.name == "postgresql"
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        (_by_copy if is_copied else _by_insert)(connection, table, columns, batch)
        count += len(batch)
        if count % EVERY_ROWS == 0:
            progress(table.name, count)
    if is_copied:
        _continue_sequence(connection, table)
    progress(table.name, count)
    return count


def _by_copy(
    connection: Connection, table: Table, columns: Sequence[str], batch: Sequence[Row]
) -> None:
    command = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table.name), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with driver_of(connection).cursor() as cursor, cursor.copy(command) as copy:
        for row in batch:
            copy.write_row(row)


def _by_insert(
    connection: Connection, table: Table, columns: Sequence[str], batch: Sequence[Row]
) -> None:
    connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in batch])


def _continue_sequence(connection: Connection, table: Table) -> None:
    """Ids that the database counts go on after the largest one that was restored."""
    key = table.autoincrement_column
    if key is None:
        return
    named = select(func.pg_get_serial_sequence(table.name, key.name))
    sequence = connection.execute(named).scalar_one()
    if sequence is not None:
        largest = select(func.max(key)).scalar_subquery()
        connection.execute(select(func.setval(sequence, largest)))
