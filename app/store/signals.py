"""Tells subscribers which topics a commit concerned: here at once, in other replicas by NOTIFY.

NOTIFY goes out after the commit, from a thread of its own. Inside the transaction it would take a
lock of the whole cluster until the commit is on disk, and no two commits could share a flush. What
gets lost when a process dies in between is only a wake-up: who waits looks again by itself in time.
"""

from __future__ import annotations

import logging
import queue
import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Iterator

import psycopg

log = logging.getLogger(__name__)

Listener = Callable[[frozenset[str]], None]

EVERYTHING = frozenset({"*"})
"""Published when the connection to other replicas is back: anything may have changed meanwhile."""

CHANNEL = "tunewell"

_PAYLOAD_BYTES = 7_900
"""Postgres takes fewer than 8,000 bytes a notification."""

_CHECK_S = 15.0
"""After this long without a word the connection is tried: a dead one may look silent."""

_RECONNECT_S = (0.1, 0.5, 1.0, 2.0, 5.0)
"""Waits between attempts to listen again; the last one repeats."""


class Hub:
    """The subscribers of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: tuple[Listener, ...] = ()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Adds a listener; returns what removes it. It is called from any thread."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(one for one in self._listeners if one is not listener)

        return unsubscribe

    def publish(self, topics: frozenset[str]) -> None:
        """Calls every listener; one that fails does not keep the others from hearing it."""
        for listener in self._listeners:
            try:
                listener(topics)
            except Exception:
                log.exception("listener_failed")


class Relay:
    """Carries topics between the replicas of one Postgres database; reconnects by itself.

    Args:
        connect: opens a connection that commits each statement.
        hub: where what is heard is published.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection], hub: Hub) -> None:
        self._connect = connect
        self._hub = hub
        self._origin = secrets.token_hex(8)
        self._closing = threading.Event()
        self._tried = threading.Event()
        self._outbox: queue.SimpleQueue[frozenset[str] | None] = queue.SimpleQueue()
        self._start_lock = threading.Lock()
        self._listening: threading.Thread | None = None
        self._sending: threading.Thread | None = None
        self._sender: psycopg.Connection | None = None
        self._wake, self._waker = socket.socketpair()

    def listen(self) -> None:
        """Starts listening, once; returns when it does, or after a first attempt that failed."""
        with self._start_lock:
            if self._listening is None:
                self._listening = threading.Thread(
                    target=self._listen, name="tunewell-listen", daemon=True
                )
                self._listening.start()
        self._tried.wait()

    def send(self, topics: frozenset[str]) -> None:
        """Hands topics to the other replicas, soon."""
        with self._start_lock:
            if self._sending is None:
                self._sending = threading.Thread(
                    target=self._send, name="tunewell-notify", daemon=True
                )
                self._sending.start()
        self._outbox.put(topics)

    def close(self) -> None:
        """Sends what is left, then ends both threads."""
        self._closing.set()
        self._outbox.put(None)
        self._waker.send(b"x")
        for thread in (self._sending, self._listening):
            if thread is not None:
                thread.join()
        self._wake.close()
        self._waker.close()

    def _listen(self) -> None:
        attempt = 0
        while not self._closing.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    attempt = 0
                    self._announce()
                    self._receive(connection)
            except (psycopg.Error, OSError) as error:
                self._tried.set()
                log.warning("listen_lost", extra={"error": str(error).strip()})
                self._closing.wait(_RECONNECT_S[min(attempt, len(_RECONNECT_S) - 1)])
                attempt += 1

    def _announce(self) -> None:
        if self._tried.is_set():
            self._hub.publish(EVERYTHING)
        self._tried.set()

    def _receive(self, connection: psycopg.Connection) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._closing.is_set():
                for notice in connection.notifies(timeout=0):
                    self._hear(notice.payload)
                if not selector.select(_CHECK_S):
                    connection.execute("SELECT 1")

    def _hear(self, payload: str) -> None:
        origin, *topics = payload.split("\n")
        if origin != self._origin:
            self._hub.publish(frozenset(topics))

    def _send(self) -> None:
        while (topics := self._next_batch()) is not None:
            if not self._notify(topics):
                self._notify(topics)  # the connection may just have been old
        if self._sender is not None:
            self._sender.close()

    def _notify(self, topics: frozenset[str]) -> bool:
        try:
            if self._sender is None or self._sender.closed:
                self._sender = self._connect()
                self._sender.execute("SET synchronous_commit = off")
            for payload in _payloads(self._origin, topics):
                self._sender.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
        except psycopg.Error as error:
            log.warning("notify_failed", extra={"error": str(error).strip()})
            return False
        return True

    def _next_batch(self) -> frozenset[str] | None:
        topics = self._outbox.get()
        if topics is None:
            return None
        gathered = set(topics)
        while True:
            try:
                more = self._outbox.get_nowait()
            except queue.Empty:
                return frozenset(gathered)
            if more is None:
                self._outbox.put(None)
                return frozenset(gathered)
            gathered |= more


def _payloads(origin: str, topics: Iterable[str]) -> Iterator[str]:
    lines, size = [origin], len(origin)
    for topic in sorted(topics):
        length = len(topic.encode()) + 1
        if size + length > _PAYLOAD_BYTES:
            yield "\n".join(lines)
            lines, size = [origin], len(origin)
        lines.append(topic)
        size += length
    yield "\n".join(lines)
