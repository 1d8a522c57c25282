"""A bare HTTP/1.1 client on asyncio: one kept connection, JSON in and out, every call timed.

What a general client costs would count as the service's: this one reads a status line, a length
and a body, and takes nothing else.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

Timings = defaultdict[str, list[float]]
"""Seconds that calls took, by route."""


def timings() -> Timings:
    """Nothing timed yet."""
    return defaultdict(list)


class Refused(Exception):
    """The service answered with an error."""


class Client:
    """One connection to the service on this machine. A context manager."""

    def __init__(self, url: str, taken: Timings, token: str | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        auth = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = f"Host: {self._host}:{self._port}\r\n{auth}"
        self._taken = taken
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()

    async def call(self, route: str, method: str, path: str, body: Any = None) -> Any:
        """One call, timed under `route`.

        Raises:
            Refused: the status is no success.
        """
        raw = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        kind = "Content-Type: application/json\r\n" if raw else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{kind}Content-Length: {len(raw)}\r\n\r\n"
        began = time.perf_counter()
        self._writer.write(head.encode() + raw)
        status, answer = await self._receive()
        self._taken[route].append(time.perf_counter() - began)
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {answer[:300]!r}")
        return json.loads(answer) if answer else None

    async def _receive(self) -> tuple[int, bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        place = head.lower().find(b"\r\ncontent-length:")
        length = int(head[place + 17 : head.index(b"\r\n", place + 2)]) if place >= 0 else 0
        return status, await self._reader.readexactly(length) if length else b""
