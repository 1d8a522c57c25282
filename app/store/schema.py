"""Migrations at start, under a lock, and the rule that one process serves an SQLite file."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ..errors import Conflict
from .engine import Store, parse_url
from .failures import unusable, unwritable
from .sqlite import BUSY_TIMEOUT_MS, make_file, make_folder
from .tables import metadata

_MIGRATION_LOCK = 0x74756E6577656C6C
"""Key of the advisory lock on Postgres: "tunewell" in ASCII."""

MIGRATION_LOCK = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_MIGRATION_LOCK)
"""Taken on Postgres, until its transaction ends, by whoever makes or fills a schema."""

_INSTALLED_AS = "tunewell_migrations"


def migrations_folder() -> Path:
    """The folder of the migrations: beside the service in a checkout, else the installed package.

    Raises:
        FileNotFoundError: there is none.
    """
    beside = Path(__file__).resolve().parents[2] / "migrations"
    if (beside / "env.py").is_file():
        return beside
    spec = importlib.util.find_spec(_INSTALLED_AS)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"neither {beside} nor the package {_INSTALLED_AS} is there")
    return Path(spec.origin).parent


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings for our migrations, run on `connection`."""
    config = Config(attributes={"connection": connection, "metadata": metadata})
    # Alembic reads % as the start of a variable.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Brings a database to the newest schema; processes that start together do it one by one.

    Args:
        revision: where to stop; the newest by default.

    Raises:
        Unavailable: the database cannot be used.
        Conflict: a newer version of the service made the schema.
    """
    _migrate(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str) -> None:
    """Takes a database back to `revision`; "base" is the empty schema.

    Raises:
        Unavailable: the database cannot be used.
        Conflict: a newer version of the service made the schema.
    """
    _migrate(url, lambda config: command.downgrade(config, revision))


def _migrate(url: str, run: Any) -> None:
    parsed = parse_url(url)
    with _exclusive(parsed), _connected(parsed, "BEGIN IMMEDIATE") as connection:
        if (raw := _sqlite_of(connection)) is not None:
            # Kept in the file. Later the first writer would have to wait for all readers.
            raw.execute("PRAGMA journal_mode = WAL").close()
        with connection.begin():  # all migrations or none, also when the process is killed
            if raw is None:
                connection.execute(MIGRATION_LOCK)
            _known_revisions(connection)
            run(alembic_config(connection))


def _sqlite_of(connection: Connection) -> sqlite3.Connection | None:
    raw = connection.connection.driver_connection
    return raw if isinstance(raw, sqlite3.Connection) else None


def is_current(where: Store | str) -> bool:
    """Whether a database has the newest schema.

    Raises:
        Unavailable: the database cannot be used.
        Conflict: a newer version of the service made the schema.
    """
    if isinstance(where, Store):
        return where.read(_is_current)
    parsed = parse_url(where)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return False  # opening it would make it
    with _connected(parsed) as connection:
        return _is_current(connection)


def _is_current(connection: Connection) -> bool:
    newest = ScriptDirectory.from_config(alembic_config()).get_heads()
    return _known_revisions(connection) == set(newest)


def _known_revisions(connection: Connection) -> set[str]:
    """The revisions that a database has; those of a newer version are refused."""
    present = set(MigrationContext.configure(connection).get_current_heads())
    ours = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    if unknown := present - {each.revision for each in ours}:
        raise Conflict(
            f"the database has the schema {', '.join(sorted(unknown))}, which this version does "
            "not know: a newer one made it. Install that one, or restore a backup of an older "
            "schema into an empty database"
        )
    return present


@contextmanager
def _connected(parsed: URL, begin: str = "BEGIN") -> Iterator[Connection]:
    """A connection; `begin` is how SQLite starts a transaction."""
    engine = _engine(parsed, begin)
    try:
        with engine.connect() as connection:
            yield connection
    except (DBAPIError, sqlite3.Error) as error:
        known = unusable(error, parsed)
        if known is None:
            raise
        raise known from error
    finally:
        engine.dispose()


def _engine(parsed: URL, begin: str) -> Engine:
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, poolclass=NullPool)
    make_file(parsed)
    arguments = {"timeout": BUSY_TIMEOUT_MS / 1000}
    engine = create_engine(parsed, poolclass=NullPool, connect_args=arguments)

    @event.listens_for(engine, "connect")
    def _on_connect(raw: sqlite3.Connection, _record: object) -> None:
        # The driver opens no transaction for a change of the schema: a process that is killed half
        # way through a migration would leave half of it.
        raw.isolation_level = None

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


@contextmanager
def _exclusive(parsed: URL) -> Iterator[None]:
    """On SQLite, the file lock under which one process at a time migrates."""
    if parsed.get_backend_name() != "sqlite":
        yield
        return
    with _opened(_lock_file(parsed, "migrate")) as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _lock_file(parsed: URL, purpose: str) -> Path:
    database = Path(parsed.database or "").resolve()
    make_folder(database.parent)
    return database.with_name(f"{database.name}.{purpose}-lock")


def _opened(path: Path) -> IO[str]:
    """A lock's file, which only its owner reads.

    Raises:
        Unavailable: it cannot be written.
    """
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise unwritable(path, error) from error


class ServeLock:
    """Held while a process serves a database: an SQLite file has one service, Postgres many.

    A context manager. The operating system frees the lock when the process ends, however it ends;
    the lock's file stays, so that two processes never hold locks on different files of one name.
    """

    def __init__(self, url: str) -> None:
        self._parsed = parse_url(url)
        self._held: IO[str] | None = None

    def __enter__(self) -> ServeLock:
        """Takes the lock.

        Raises:
            Conflict: already-exists, when another process serves the file.
            Unavailable: the folder cannot be written, or its disk is full.
        """
        if self._parsed.get_backend_name() == "sqlite":
            path = _lock_file(self._parsed, "serve")
            self._held = _opened(path)
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = self._held.read().strip() or "unknown"
                self._release()
                raise Conflict(
                    f"{self._parsed.database} is served by another process (pid {holder})",
                    code="already-exists",
                ) from error
            try:
                self._held.truncate(0)
                os.write(self._held.fileno(), f"{os.getpid()}\n".encode())
            except OSError as error:
                self._release()
                raise unwritable(path, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None
