"""The store on SQLite: one thread writes, and one flush to disk serves every write that is waiting.

The file has room for one writer at a time anyway. While a commit waits for the disk other writes
queue up; the next transaction takes them all, each in a savepoint of its own, so that one that
fails undoes only itself. BEGIN IMMEDIATE, so that a transaction never has to give up half way
because another process (`tunewell token create`) wrote in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from ..errors import AppError, Unavailable
from . import actor, idempotency, together_sqlite
from .engine import Store, StoreStats
from .failures import storage_busy, translate, unwritable
from .idempotency import Receipt
from .transaction import CLOCK_OPTION, DatabaseClock, Tx

log = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_TIMEOUT_MS = 5_000
"""How long a statement waits for another process that holds the file."""

_BATCH = 128
"""Writes that share one commit at most."""

_READ_WAIT_S = 10.0


class _Write(Generic[T]):
    """One queued write: what to run, and where its caller waits."""

    __slots__ = ("actor", "done", "error", "fn", "queued_at", "receipt", "result", "topics", "tx")

    def __init__(
        self, fn: Callable[[Tx], T], receipt: Receipt[T] | None, done: Callable[[], None]
    ) -> None:
        self.fn = fn
        self.receipt = receipt
        self.actor = actor.present()  # of the thread that waits; the writer's own has none
        self.queued_at = time.monotonic()
        self.done = done
        self.result: T
        self.error: BaseException | None = None
        self.topics: frozenset[str] = frozenset()
        self.tx: Tx | None = None

    def outcome(self) -> T:
        """After the commit: returns or raises what came of the write."""
        if self.error is None:
            return self.result
        try:
            raise self.error
        finally:
            self.error = None  # the traceback would hold this frame, and the frame the error


class SqliteStore(Store):
    """An SQLite file. Safe to use from any thread; other processes may write it too."""

    def __init__(self, url: str, parsed: URL, clock: DatabaseClock | None, pool_size: int) -> None:
        super().__init__(url, "sqlite", clock)
        make_file(parsed)
        self._writing = _engine(parsed, self.clock, 1, "BEGIN IMMEDIATE", _prepare_writer)
        self._reading = _engine(parsed, self.clock, pool_size, "BEGIN", _prepare_reader)
        self._queue: queue.SimpleQueue[_Write[Any] | None] = queue.SimpleQueue()
        self._n_transactions = 0
        self._n_commits = 0
        self._waited_s = 0.0
        self._busy_since: float | None = None
        self._forgets = False  # the last transaction was undone as a whole
        self._closing = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._serve, name="tunewell-write", daemon=True)
        self._thread.start()

    def write(self, fn: Callable[[Tx], T], *, receipt: Receipt[T] | None = None) -> T:
        if threading.current_thread() is self._thread:
            raise RuntimeError("a write inside a write would wait for itself")
        done = threading.Event()
        job = _Write(fn, receipt, done.set)
        self._put(job)
        done.wait()
        return job.outcome()

    @property
    def takes_submitted(self) -> bool:
        return True

    async def submit(self, fn: Callable[[Tx], T]) -> T:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and who waited with it
                loop.call_soon_threadsafe(done.set)

        job = _Write(fn, None, wake)
        self._put(job)
        await done.wait()
        return job.outcome()

    def _put(self, job: _Write[Any]) -> None:
        with self._closing:
            if self._is_closed:
                raise storage_busy("the store is closed")
            self._queue.put(job)

    def read(self, fn: Callable[[Connection], T]) -> T:
        if self._is_closed:
            raise storage_busy("the store is closed")
        try:
            with self._reading.connect() as conn:
                return fn(conn)
        except AppError:
            raise
        except Exception as error:
            known = translate(error)
            if known is None:
                raise
            raise known from error

    def stats(self) -> StoreStats:
        since = self._busy_since
        return StoreStats(
            n_transactions=self._n_transactions,
            n_commits=self._n_commits,
            n_waiting=self._queue.qsize(),
            waited_s=self._waited_s,
            busy_s=0.0 if since is None else time.monotonic() - since,
        )

    def close(self) -> None:
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()
        self._writing.dispose()
        self._reading.dispose()

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            batch: list[_Write[Any]] = []
            self._busy_since = time.monotonic()
            try:
                self._commit_together(first, batch)
            except BaseException as error:
                self._forgets = True
                known = (translate(error) if isinstance(error, Exception) else None) or error
                if isinstance(known, Unavailable):
                    self._take_all(batch)
                for job in batch:
                    job.error = job.error or known
                    if job.tx is not None:
                        job.tx.has_failed()
            self._busy_since = None
            for job in batch:
                job.done()
            self._publish(batch)

    def _commit_together(self, first: _Write[Any], batch: list[_Write[Any]]) -> None:
        """Runs `first` and what has queued up behind it in one transaction; fills `batch`."""
        batch.append(first)
        with self._writing.connect() as conn, conn.begin():
            raw = conn.connection.driver_connection
            if raw is None:
                raise storage_busy("the connection to the database is gone")
            if self._forgets:
                together_sqlite.forget(conn)
                self._forgets = False
            self._run(conn, raw, first)
            while len(batch) < _BATCH and (job := self._next()) is not None:
                batch.append(job)
                self._run(conn, raw, job)
        self._n_transactions += sum(job.error is None for job in batch)
        self._n_commits += any(job.error is None for job in batch)

    def _take_all(self, batch: list[_Write[Any]]) -> None:
        """Adds what has queued up: behind a database that is busy each would wait for a timeout
        of its own, the last in a long line for many of them.
        """
        while (job := self._next()) is not None:
            batch.append(job)

    def _next(self) -> _Write[Any] | None:
        try:
            job = self._queue.get_nowait()
        except queue.Empty:
            return None
        if job is None:
            self._queue.put(None)  # the end comes after this commit
        return job

    def _run(self, conn: Connection, raw: sqlite3.Connection, job: _Write[Any]) -> None:
        self._waited_s += time.monotonic() - job.queued_at
        raw.execute("SAVEPOINT one")
        tx = Tx(conn, self.clock, self.dialect, job.actor, memory=self.memory)
        job.tx = tx
        try:
            job.result = idempotency.run(tx, job.fn, job.receipt)
            tx.flush()
        except Exception as error:
            job.error = error if isinstance(error, AppError) else translate(error) or error
            tx.has_failed()
            together_sqlite.forget(conn)
            _undo(raw, job.error)
            return
        raw.execute("RELEASE one")
        job.topics = frozenset(tx.topics)

    def _publish(self, batch: list[_Write[Any]]) -> None:
        topics = frozenset().union(*(job.topics for job in batch if job.error is None))
        if topics:
            self.hub.publish(topics)


def make_file(parsed: URL) -> None:
    """Makes the file of a database, and its folder, if there is none. It holds the key that signs
    sessions, so it is its owner's alone; SQLite gives the files beside it the same mode.

    Raises:
        Unavailable: the folder cannot be made.
    """
    file = Path(parsed.database or "").absolute()
    make_folder(file.parent)
    with contextlib.suppress(OSError):  # it is there; or else SQLite says why it cannot be
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))


def make_folder(folder: Path) -> None:
    """Makes the folder of a database, if there is none.

    Raises:
        Unavailable: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _undo(raw: sqlite3.Connection, error: Exception) -> None:
    try:
        raw.execute("ROLLBACK TO one")
        raw.execute("RELEASE one")
    except sqlite3.Error:  # a full disk undoes the whole transaction by itself
        raise error from None


def _engine(
    url: URL,
    clock: DatabaseClock,
    pool_size: int,
    begin: str,
    prepare: Callable[[sqlite3.Connection], None],
) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_READ_WAIT_S,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
        hide_parameters=True,  # values end in no error and no log
        execution_options={CLOCK_OPTION: clock},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # the driver must not open transactions of its own
        prepare(raw)

    @event.listens_for(engine, "begin")
    def _on_begin(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def _prepare_writer(raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA journal_mode = WAL").close()
    raw.execute("PRAGMA synchronous = FULL").close()
    raw.execute("PRAGMA foreign_keys = ON").close()
    # What a savepoint needs to be undone: a file for it would be made, written and removed each
    # time. It holds no more than the pages that one transaction changes, and nothing lasting.
    raw.execute("PRAGMA temp_store = MEMORY").close()


def _prepare_reader(raw: sqlite3.Connection) -> None:
    raw.execute("PRAGMA query_only = ON").close()
