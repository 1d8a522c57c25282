"""The store: one way to write and one to read, on SQLite and on Postgres alike.

A write is a function that takes a `Tx` and does SQL only: no network, no fit, no sleep. On SQLite
one thread runs them all (`sqlite.py`); on Postgres the caller's thread does (`postgres.py`).
`opening.py` opens either.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ..errors import InvalidInput
from .idempotency import Receipt
from .signals import Hub, Listener
from .transaction import DatabaseClock, Tx, now_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStats:
    """How often the store wrote, and what waits to be written.

    Attributes:
        n_transactions, n_commits: since it was opened; group commit makes commits fewer.
        n_waiting: writes that wait: for the one writer on SQLite, for a connection on Postgres.
        waited_s: seconds that all writes so far have waited for that.
        busy_s: how long SQLite's writer has been at its present commit; 0 when it is idle.
    """

    n_transactions: int
    n_commits: int
    n_waiting: int = 0
    waited_s: float = 0.0
    busy_s: float = 0.0


class Store(ABC):
    """One database. Safe to use from any thread."""

    url: str
    dialect: str

    def __init__(self, url: str, dialect: str, clock: DatabaseClock | None) -> None:
        self.url = url
        self.dialect = dialect
        self.clock = clock or DatabaseClock()
        self.hub = Hub()
        self.memory: dict[str, Any] = {}

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

    @property
    def takes_submitted(self) -> bool:
        """Whether `submit` works here: where the store has a thread of its own that writes."""
        return False

    async def submit(self, fn: Callable[[Tx], T]) -> T:
        """As `write`, but what waits is the event loop's task and no thread.

        Raises:
            Unavailable: as `write`.
        """
        raise NotImplementedError

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
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise InvalidInput(
            "the database URL cannot be read; several hosts are postgresql://user@/name"
            "?host=HOST1:PORT1&host=HOST2:PORT2"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    raise InvalidInput("a database URL is sqlite:///path or postgresql://user@host/name")
