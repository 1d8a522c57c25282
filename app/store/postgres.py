"""The store on Postgres: a transaction runs in its caller's thread, on a pooled connection.

Writes are READ COMMITTED: they lock the study's row first and see what the lock's last holder left.
Reads are REPEATABLE READ: all statements of one read see the same instant.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import psycopg
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from ..errors import AppError
from . import actor, idempotency
from .engine import Store, StoreStats
from .failures import is_retriable, storage_busy, translate
from .idempotency import Receipt
from .signals import Listener, Relay
from .transaction import CLOCK_OPTION, DatabaseClock, Tx
from .writes import Unclear

T = TypeVar("T")

_ATTEMPTS = 5
"""How often a transaction is run that loses against another one, or whose connection was dead."""

_RETRY_BASE_S = 0.01
_POOL_WAIT_S = 10.0

_CONNECTING = {
    "connect_timeout": "5",
    "application_name": "tunewell",
    # A server that is gone without a word is noticed within half a minute, not in a quarter hour.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
"""What the database's URL may say otherwise."""

LOCK_WAIT_MS = 10_000
"""How long a statement waits for a row that another transaction holds, a stuck replica's say."""


class PostgresStore(Store):
    """A Postgres database. Safe to use from any thread."""

    def __init__(self, url: str, parsed: URL, clock: DatabaseClock | None, pool_size: int) -> None:
        super().__init__(url, "postgresql", clock)
        options = f"{parsed.query.get('options', '')} -c lock_timeout={LOCK_WAIT_MS}"
        completed = parsed.set(query={**_CONNECTING, **parsed.query, "options": options})
        self._engine = create_engine(
            completed,
            isolation_level="READ COMMITTED",
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_WAIT_S,
            hide_parameters=True,  # values end in no error and no log
            execution_options={CLOCK_OPTION: self.clock},
        )
        self._reading = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        # As the pool has them: a URL written anew may be read otherwise, or be shown in an error.
        _, arguments = self._engine.dialect.create_connect_args(completed)
        self._relay = Relay(partial(psycopg.connect, **arguments, autocommit=True), self.hub)
        self._count_lock = threading.Lock()
        self._n_commits = 0
        self._n_waiting = 0
        self._waited_s = 0.0
        self._is_closed = False

    def write(self, fn: Callable[[Tx], T], *, receipt: Receipt[T] | None = None) -> T:
        is_one_by_one = False
        for attempt in range(_ATTEMPTS):
            try:
                return self._write_once(fn, receipt, is_one_by_one)
            except Unclear:
                is_one_by_one = True
            except _Lost as lost:
                if attempt + 1 == _ATTEMPTS:
                    raise storage_busy() from lost.__cause__
                # The loser waits a random while, so that the same two do not meet again.
                time.sleep(random.uniform(0, _RETRY_BASE_S * 2**attempt))
        raise storage_busy()

    def _write_once(
        self, fn: Callable[[Tx], T], receipt: Receipt[T] | None, is_one_by_one: bool
    ) -> T:
        self._refuse_when_closed()
        is_committing = False
        try:
            with self._connected() as conn:
                tx = Tx(
                    conn,
                    self.clock,
                    self.dialect,
                    actor.present(),
                    memory=self.memory,
                    is_one_by_one=is_one_by_one,
                )
                try:
                    result = idempotency.run(tx, fn, receipt)
                    tx.flush()
                    is_committing = True
                    conn.commit()
                except BaseException:
                    tx.has_failed()
                    raise
        except (AppError, Unclear):
            raise
        except Exception as error:
            if not is_committing and _may_run_again(error):
                raise _Lost from error
            known = translate(error)
            if known is None:
                raise
            raise known from error
        with self._count_lock:
            self._n_commits += 1
        self._publish(tx)
        return result

    def _connected(self) -> Connection:
        """A connection of the pool, with the wait for it counted."""
        begun = time.monotonic()
        with self._count_lock:
            self._n_waiting += 1
        try:
            return self._engine.connect()
        finally:
            with self._count_lock:
                self._n_waiting -= 1
                self._waited_s += time.monotonic() - begun

    def _publish(self, tx: Tx) -> None:
        if tx.topics:
            topics = frozenset(tx.topics)
            self.hub.publish(topics)
            self._relay.send(topics)

    def read(self, fn: Callable[[Connection], T]) -> T:
        for attempt in range(_ATTEMPTS):
            self._refuse_when_closed()
            try:
                with self._reading.connect() as conn:
                    return fn(conn)
            except AppError:
                raise
            except Exception as error:
                if attempt + 1 < _ATTEMPTS and _may_run_again(error):
                    continue
                known = translate(error)
                if known is None:
                    raise
                raise known from error
        raise storage_busy()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        unsubscribe = super().subscribe(listener)
        self._relay.listen()
        return unsubscribe

    def stats(self) -> StoreStats:
        return StoreStats(
            n_transactions=self._n_commits,
            n_commits=self._n_commits,
            n_waiting=self._n_waiting,
            waited_s=self._waited_s,
        )

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._relay.close()
            self._engine.dispose()

    def _refuse_when_closed(self) -> None:
        if self._is_closed:
            raise storage_busy("the store is closed")


class _Lost(Exception):
    """The transaction has to run again; its cause says why."""


def _may_run_again(error: Exception) -> bool:
    """Whether nothing can have been committed and another try may do better.

    A connection that was dead when it left the pool takes its whole generation along: the next
    try gets a fresh one.
    """
    return is_retriable(error) or (isinstance(error, DBAPIError) and error.connection_invalidated)
