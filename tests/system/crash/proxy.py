"""A small TCP proxy before Postgres, which cuts the service's connections when it is told to."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from sqlalchemy.engine import make_url

_BACKEND_KEY = b"K\x00\x00\x00\x0c"
"""Type and length of the message in which the server tells the id of a connection's process."""

_CHUNK = 65_536


class Proxy:
    """Passes connections on to the server of a database URL.

    Args:
        database_url: of a server that listens on a Unix socket.
    """

    def __init__(self, database_url: str) -> None:
        self._target = make_url(database_url)
        self._socket = Path(str(self._target.query["host"])) / ".s.PGSQL.5432"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[_Link] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The same database by way of the proxy."""
        port = self._listener.getsockname()[1]
        through = self._target.set(host="127.0.0.1", port=port, query={})
        return through.render_as_string(hide_password=False)

    def cut(self) -> None:
        """Cuts every connection; new ones are let through."""
        for link in list(self._links):
            link.cut()

    def cut_at_commit(self, backend: int) -> None:
        """Lets the next COMMIT of one connection through, and cuts before its answer comes back."""
        (link,) = [each for each in self._links if each.backend == backend and not each.is_cut]
        link.is_armed = True

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)
        self.cut()
        for link in self._links:
            link.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._socket))
            self._links.append(_Link(client, server))


class _Link:
    """One connection: two threads, one for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client, self._server = client, server
        self.backend: int | None = None
        self.is_armed = False
        self.is_cut = False
        self._is_committing = False
        self._threads = [
            threading.Thread(target=self._pump, args=pair, daemon=True)
            for pair in ((client, server), (server, client))
        ]
        for thread in self._threads:
            thread.start()

    def cut(self) -> None:
        self.is_cut = True
        for end in (self._client, self._server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it was cut from the other side

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
        self._client.close()
        self._server.close()

    def _pump(self, source: socket.socket, to: socket.socket) -> None:
        while True:
            try:
                data = source.recv(_CHUNK)
                if not data or (source is self._server and self._is_committing):
                    break
                self._look_at(source, data)
                to.sendall(data)
            except OSError:
                break
        self.cut()

    def _look_at(self, source: socket.socket, data: bytes) -> None:
        if source is self._client:
            self._is_committing = self.is_armed and b"COMMIT" in data
        elif self.backend is None and (at := data.find(_BACKEND_KEY)) >= 0:
            self.backend = int.from_bytes(data[at + 5 : at + 9], "big")
