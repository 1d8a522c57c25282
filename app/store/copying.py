"""What backup and restore share: which tables there are, and a database opened beside the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table, create_engine, inspect
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from ..errors import AppError
from .failures import translate, unusable
from .sqlite import BUSY_TIMEOUT_MS
from .tables import metadata

Progress = Callable[[str, int], None]
"""Called with a table's name and how many of its rows are done."""

EVERY_ROWS = 20_000
"""How often progress is told."""

LEFT_OUT = frozenset({"replicas", "leaders"})
"""Tables that say which processes run: they mean nothing in another database."""


@contextmanager
def connected(parsed: URL, **options: Any) -> Iterator[Connection]:
    """A connection of its own to a database; its failures as errors of ours."""
    arguments = {"timeout": BUSY_TIMEOUT_MS / 1000} if is_sqlite(parsed) else {}
    engine = create_engine(parsed, poolclass=NullPool, connect_args=arguments, **options)
    try:
        with engine.connect() as connection:
            yield connection
    except AppError:
        raise
    except Exception as error:
        known = unusable(error, parsed) or translate(error)
        if known is None:
            raise
        raise known from error
    finally:
        engine.dispose()


def is_sqlite(parsed: URL) -> bool:
    """Whether a URL names an SQLite file."""
    return parsed.get_backend_name() == "sqlite"


def file_of(parsed: URL) -> Path:
    """The file of an SQLite database."""
    return Path(parsed.database or "").absolute()


def revision_of(connection: Connection) -> str | None:
    """The schema's revision; None for a database without our schema."""
    return MigrationContext.configure(connection).get_current_revision()


def tables_of(connection: Connection) -> list[Table]:
    """Our tables as the database has them, whatever its revision, in the order of their keys."""
    names = set(inspect(connection).get_table_names()) & set(metadata.tables)
    found = MetaData()
    found.reflect(connection, only=sorted(names))
    return [table for table in found.sorted_tables if table.name in names]


def driver_of(connection: Connection) -> Any:
    """The driver's own connection under one of SQLAlchemy's."""
    return connection.connection.driver_connection
