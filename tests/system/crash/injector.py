"""The fault object in the service's process: watches its database and its requests, and strikes
where the plan says. Only tests construct one.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event

from app.store.engine import Store
from app.store.transaction import Tx

from .plan import Action, Plan, Point, Step
from .statements import Statement, finds_expired, note_trigger, steps_of

T = TypeVar("T")

ARM, GO_ON = "arm", "go on"
"""What the test says to the process."""

_UNBOUNDED_PAGES = 2**32 - 2
_BALLAST_BYTES = 4 * 1024 * 1024


class Injector:
    """Strikes once its step comes to its point, and says so to the test.

    Args:
        plan: the fault; None for a service in which nothing goes wrong.
        pipe: to the test: what happened goes out, `ARM` and `GO_ON` come in.
    """

    def __init__(self, plan: Plan | None, pipe: Pipe) -> None:
        self.plan = plan
        self._pipe = pipe
        self._local = threading.local()
        self._lock = threading.Lock()
        self._n_struck = 0
        self._may_go_on = threading.Event()
        self._is_armed = threading.Event()
        if plan is not None and plan.is_armed:
            self._is_armed.set()
        self._n_changes = 0

    def say(self, what: str, **more: Any) -> None:
        """Tells the test."""
        with self._lock:
            self._pipe.send((what, more))

    def listen(self) -> None:
        """Waits for the word to go on, in a thread of its own."""
        threading.Thread(target=self._listen, name="injector", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                word = self._pipe.recv()
            except EOFError:
                return  # the test has ended, and ends this process
            (self._is_armed if word == ARM else self._may_go_on).set()

    def takes(self, step: Step, point: Point) -> bool:
        """Whether the plan's fault is to strike here and now; counts that it does."""
        if self.plan is None or self.plan.step is not step or self.plan.point is not point:
            return False
        with self._lock:
            if self._n_struck >= self.plan.times or not self._is_armed.is_set():
                return False
            self._n_struck += 1
        return True

    def watch_statements(self) -> None:
        """Sees every statement of this process; strikes inside a migration."""
        event.listen(Engine, "before_cursor_execute", self._on_statement)

    def _on_statement(
        self, conn: Connection, _cursor: Any, text: str, parameters: Any, _ctx: Any, _many: bool
    ) -> None:
        note_trigger(text)
        trace: list[Statement] | None = getattr(self._local, "trace", None)
        if trace is not None:
            trace.append((text, parameters))
        sql = text.lstrip().upper()
        if sql.startswith(("ALTER TABLE", "CREATE TABLE", "CREATE INDEX")):
            self._n_changes += 1
            if self._n_changes == 2 and self.takes(Step.MIGRATION, Point.MIDWAY):
                self.strike(conn)
        elif "ALEMBIC_VERSION SET" in sql and self.takes(Step.MIGRATION, Point.BEFORE_COMMIT):
            self.strike(conn)

    def migrated(self) -> None:
        """Strikes right after a migration, before the service is up."""
        if self.takes(Step.MIGRATION, Point.AFTER_COMMIT):
            self.strike()

    def watch_store(self, store: Store) -> None:
        """Puts itself around the store's transactions."""
        plain_write, plain_submit, plain_read = store.write, store.submit, store.read

        def traced_by(trace: list[Statement], fn: Callable[[Tx], T]) -> Callable[[Tx], T]:
            def traced(tx: Tx) -> T:
                trace.clear()
                self._local.trace = trace
                result = fn(tx)
                # Called last of all: what the transaction gathered has been written by then.
                tx.before_commit(lambda: self._end(trace, Point.BEFORE_COMMIT, tx.conn))
                return result

            return traced

        def write(fn: Callable[[Tx], T], **more: Any) -> T:
            trace: list[Statement] = []
            result = plain_write(traced_by(trace, fn), **more)
            self._end(trace, Point.AFTER_COMMIT, None)
            return result

        async def submit(fn: Callable[[Tx], T]) -> T:
            trace: list[Statement] = []
            result = await plain_submit(traced_by(trace, fn))
            self._end(trace, Point.AFTER_COMMIT, None)
            return result

        def read(fn: Callable[[Connection], T]) -> T:
            trace: list[Statement] = []

            def traced(conn: Connection) -> T:
                trace.clear()
                self._local.trace = trace
                try:
                    return fn(conn)
                finally:
                    self._local.trace = None

            found = plain_read(traced)
            if found and finds_expired(trace) and self.takes(Step.SWEEP, Point.FOUND):
                self.strike()
            return found

        store.write, store.submit = write, submit  # type: ignore[method-assign]
        store.read = read  # type: ignore[method-assign]

    def _end(self, trace: list[Statement], point: Point, conn: Connection | None) -> None:
        self._local.trace = None
        plan = self.plan
        is_there = plan is not None and plan.point is point and plan.step in steps_of(trace)
        if plan is not None and is_there and self.takes(plan.step, point):
            self.strike(conn)

    def strike(self, conn: Connection | None = None) -> None:
        """Does what the plan says, in the thread that has come to its point."""
        assert self.plan is not None
        action = self.plan.action
        self.say("struck", action=action.value, backend=_backend(conn))
        if action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        elif action is Action.HOLD:
            self._may_go_on.wait()
        elif action is Action.FULL:
            assert conn is not None
            _fill(conn)


def _backend(conn: Connection | None) -> int | None:
    """The Postgres server process behind a connection."""
    if conn is None or conn.dialect.name != "postgresql":
        return None
    return int(conn.connection.driver_connection.info.backend_pid)  # type: ignore[union-attr]


def _fill(conn: Connection) -> None:
    """Lets the file grow no further, and has this very transaction find that out."""
    pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    try:
        conn.exec_driver_sql("CREATE TABLE IF NOT EXISTS ballast (content BLOB)")
        conn.exec_driver_sql("INSERT INTO ballast VALUES (zeroblob(?))", (_BALLAST_BYTES,))
    finally:
        conn.exec_driver_sql(f"PRAGMA max_page_count = {_UNBOUNDED_PAGES}")
    raise AssertionError("the file could grow")
