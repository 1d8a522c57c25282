"""One write transaction, and the database's clock, by which alone leases expire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Connection, Table, Update, text

from ..clock import SystemClock
from .actor import Actor
from .together import Waiting
from .types import from_micros
from .writes import Fixed, Row

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
        dialect: "sqlite" or "postgresql".
        actor: who asked for it.
        memory: what use cases remember from one transaction of the store to the next.
        is_one_by_one: send writes that were put off one by one.
    """

    def __init__(
        self,
        conn: Connection,
        clock: DatabaseClock,
        dialect: str,
        actor: Actor,
        *,
        memory: dict[str, Any] | None = None,
        is_one_by_one: bool = False,
    ) -> None:
        self._conn = conn
        self._waiting = Waiting(is_in_turn=dialect == "sqlite", is_one_by_one=is_one_by_one)
        self.actor = actor
        self.dialect = dialect
        self.clock = clock
        self.held: dict[Any, Any] = {}
        self.memory: dict[str, Any] = {} if memory is None else memory
        self.topics: set[str] = set()
        self._now: datetime | None = None
        self._flushes: list[Callable[[], None]] = []
        self._failed: list[Callable[[], None]] = []

    @property
    def conn(self) -> Connection:
        """The connection it runs on. Writes that were put off are done first, so that whoever reads
        sees them.
        """
        self._waiting.run(self._conn)
        return self._conn

    def insert(self, table: Table, rows: Sequence[Row], fixed: Fixed = ()) -> None:
        """Inserts rows, at the latest before the commit.

        Args:
            rows: values by column, the same columns in each; at least one row.
            fixed: columns that the database works out.
        """
        if not self._waiting.takes_row(table, rows[0].get("id")):
            self._waiting.run(self._conn)
        self._waiting.insert(table, rows, fixed)

    def update(
        self, statement: Update, values: Row, missed: Callable[[], Exception] | None = None
    ) -> None:
        """Changes one row, at the latest before the commit.

        Args:
            statement: its guards, `b_id` among them, and its values are bound parameters.
            missed: the error when no row was changed; it is raised when the write is done.
        """
        if not self._waiting.takes_row(statement.table, values["b_id"]):
            self._waiting.run(self._conn)
        self._waiting.update(statement, values, missed)

    @property
    def now(self) -> datetime:
        """The transaction's instant by the database's clock; read once, when it is first needed."""
        if self._now is None:
            self._now = self.clock.now(self._conn)
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

    def when_failed(self, forget: Callable[[], None]) -> None:
        """Has `forget` drop what is remembered of the transaction, should it be undone."""
        self._failed.append(forget)

    def has_failed(self) -> None:
        """Forgets; the store calls it, before others can write again where that is possible."""
        for forget in self._failed:
            forget()

    def flush(self) -> None:
        """Writes what was gathered; the store calls it before the commit."""
        for flush in self._flushes:
            flush()
        self._waiting.run(self._conn)
