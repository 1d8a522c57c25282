"""A real HTTP server that webhooks are sent to."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "a-secret-of-the-tests"


@dataclass
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def message(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Answers with the statuses of `answers`, one after the other, then with 200.

    Attributes:
        received: every request, as it comes.
        hold: while it is cleared, requests are received but not answered.
    """

    def __init__(self) -> None:
        self.received: queue.Queue[Received] = queue.Queue()
        self.answers: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.hold = threading.Event()
        self.hold.set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    def next(self, timeout_s: float = 60.0) -> Received:
        return self.received.get(timeout=timeout_s)

    def status(self) -> int:
        try:
            return self.answers.get_nowait()
        except queue.Empty:
            return 200


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.put(Received(self.path, headers, body))
            receiver.hold.wait(120)
            status = receiver.status()
            try:
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                self.close_connection = True  # the sender is gone

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hold.set()
        server.shutdown()
        server.server_close()
        thread.join(30)
