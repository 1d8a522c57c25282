"""The store: one way to write and one to read, on SQLite and on Postgres alike.

A write is a function that takes a `Tx` and does SQL only: no network, no fit, no sleep. On SQLite
one thread runs them all (`sqlite.py`); on Postgres the caller's thread does (`postgres.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..clock import SystemClock
from ..errors import InvalidInput
from .signals import Hub, Listener
from .types import from_micros

if TYPE_CHECKING:
    from .idempotency import Receipt

T = TypeVar("T")

CLOCK_OPTION = "tunewell_clock"
"""Execution option under which every connection carries its store's clock."""

POSTGRES_MICROS = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
"""The clock of Postgres in microseconds, still moving inside a transaction."""

_NOW = text(f"SELECT {POSTGRES_MICROS}")


class DatabaseClock:
    """The database's clock: it alone decides when a lease expires. SQLite's is this machine's.

    Attributes:
        offset_s: seconds added to what the clock says; tests move time by it.
    """

    def __init__(self, offset_s: float = 0.0) -> None:
        self.offset_s = offset_s
        self._machine = SystemClock()

    def now(self, conn: Connection) -> datetime:
        """The present instant by the database of this connection, aware, in UTC."""
        if conn.dialect.name == "sqlite":
            return self.moved(self._machine.now())
        return self.moved(from_micros(conn.execute(_NOW).scalar_one()))

    def moved(self, instant: datetime) -> datetime:
        """An instant read from the database, with the offset added."""
        return instant + timedelta(seconds=self.offset_s) if self.offset_s else instant


def clock_of(conn: Connection) -> DatabaseClock:
    """The clock of the store that a connection belongs to."""
    return cast(DatabaseClock, conn.get_execution_options()[CLOCK_OPTION])


def now_of(conn: Connection) -> datetime:
    """The present instant by the clock of the store that a connection belongs to."""
    return clock_of(conn).now(conn)


class Tx:
    """One write transaction.

    Attributes:
        conn: the connection it runs on.
        dialect: "sqlite" or "postgresql".
    """

    def __init__(self, conn: Connection, clock: DatabaseClock, dialect: str) -> None:
        self.conn = conn
        self.dialect = dialect
        self.clock = clock
        self.held: dict[str, Any] = {}
        self.topics: set[str] = set()
        self._now: datetime | None = None
        self._flushes: list[Callable[[], None]] = []

    @property
    def now(self) -> datetime:
        """The transaction's instant by the database's clock; read once, when it is first needed."""
        if self._now is None:
            self._now = self.clock.now(self.conn)
        return self._now

    def set_now(self, micros: int) -> None:
        """Takes the database's clock as another statement has read it, unless it is known."""
        if self._now is None:
            self._now = self.clock.moved(from_micros(micros))

    def signal(self, *topics: str) -> None:
        """Names topics that subscribers, on every replica, hear of after the commit."""
        self.topics.update(topics)

    def before_commit(self, flush: Callable[[], None]) -> None:
        """Has `flush` write, once, what was gathered in the transaction."""
        self._flushes.append(flush)

    def flush(self) -> None:
        """Writes what was gathered; the store calls it before the commit."""
        for flush in self._flushes:
            flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """How often the store wrote: group commit makes commits fewer than transactions."""

    n_transactions: int
    n_commits: int


class Store(ABC):
    """One database. Safe to use from any thread."""

    url: str
    dialect: str

    def __init__(self, url: str, dialect: str, clock: DatabaseClock | None) -> None:
        self.url = url
        self.dialect = dialect
        self.clock = clock or DatabaseClock()
        self.hub = Hub()

    @classmethod
    def open(cls, url: str, *, clock: DatabaseClock | None = None, pool_size: int = 8) -> Store:
        """Opens the database of `sqlite:///path` or `postgresql://...`; it may still be empty.

        Args:
            clock: the database's clock; tests give one with an offset.
            pool_size: connections that may be in use at a time.

        Raises:
            InvalidInput: no URL of these kinds.
        """
        from .postgres import PostgresStore
        from .sqlite import SqliteStore

        parsed = parse_url(url)
        chosen = SqliteStore if parsed.get_backend_name() == "sqlite" else PostgresStore
        return chosen(url, parsed, clock, pool_size)

    @abstractmethod
    def write(self, fn: Callable[[Tx], T], *, receipt: Receipt[T] | None = None) -> T:
        """Runs `fn` in one transaction and returns what it returns, once that is on disk.

        Args:
            fn: does SQL only; it may be run again when the database asks for that.
            receipt: the idempotency key of the call; its answer is kept in the same transaction.

        Raises:
            Replay: the key was answered before; nothing was run.
            Unavailable: the database is busy or cannot be reached.
        """

    @abstractmethod
    def read(self, fn: Callable[[Connection], T]) -> T:
        """Runs `fn` on one consistent snapshot and returns what it returns.

        Raises:
            Unavailable: the database is busy or cannot be reached.
        """

    @abstractmethod
    def stats(self) -> StoreStats:
        """How often this store has written."""

    @abstractmethod
    def close(self) -> None:
        """Ends running writes, threads and connections; a later write is Unavailable."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Has `listener` called with the topics of each commit, here or on another replica.

        Returns:
            What unsubscribes it.
        """
        return self.hub.subscribe(listener)

    def now(self) -> datetime:
        """The present instant by the database's clock, aware, in UTC."""
        return self.read(now_of)

    def ping(self) -> None:
        """Asks the database for a sign of life.

        Raises:
            Unavailable: there is none.
        """
        self.read(_alive)


def _alive(conn: Connection) -> None:
    conn.execute(text("SELECT 1"))


def parse_url(url: str) -> URL:
    """A database URL with the driver that the store uses.

    Raises:
        InvalidInput: it is neither a file of SQLite nor a Postgres database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput("the database URL cannot be read") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InvalidInput("a database URL is sqlite:///path or postgresql://user@host/name")
