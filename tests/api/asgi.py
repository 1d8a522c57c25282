"""A bare ASGI caller, for what a buffering client cannot do: streams without an end, bodies without
a length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from fastapi import FastAPI


class Call:
    """One request under way: `async with` starts it, and leaves like a client that goes away."""

    def __init__(
        self,
        app: FastAPI,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        chunks: Iterable[bytes] = (),
    ) -> None:
        path, _, query = target.partition("?")
        given = {"host": "127.0.0.1:8700", **(headers or {})}
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
            "server": ("127.0.0.1", 8700),
            "client": ("127.0.0.1", 50000),
        }
        self._app = app
        self._chunks = list(chunks)
        self.n_chunks_read = 0
        self._left = asyncio.Event()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._rest = ""

    async def __aenter__(self) -> Call:
        self.task = asyncio.create_task(self._app(self._scope, self._receive, self._sent.put))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()
        await asyncio.wait_for(self.task, 10)

    def leave(self) -> None:
        """The client closes the connection."""
        self._left.set()

    async def _receive(self) -> dict[str, Any]:
        if self.n_chunks_read < len(self._chunks):
            self.n_chunks_read += 1
            body = self._chunks[self.n_chunks_read - 1]
            more = self.n_chunks_read < len(self._chunks)
            return {"type": "http.request", "body": body, "more_body": more}
        if not self._chunks and not self.n_chunks_read:
            self.n_chunks_read += 1
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def start(self) -> tuple[int, dict[str, str]]:
        """Status and headers."""
        message = await asyncio.wait_for(self._sent.get(), 10)
        headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        return message["status"], headers

    async def read(self) -> bytes:
        """The whole rest of the body."""
        body = b""
        while True:
            message = await asyncio.wait_for(self._sent.get(), 10)
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return body

    async def event_after_start(self) -> dict[str, str]:
        """The first event of a stream whose status and headers were not looked at."""
        status, _ = await self.start()
        assert status == 200
        return await self.event()

    async def event(self) -> dict[str, str]:
        """The next server-sent event with data; comments are skipped."""
        while True:
            while "\n\n" not in self._rest:
                message = await asyncio.wait_for(self._sent.get(), 10)
                assert message.get("more_body", False), "the stream has ended"
                self._rest += message["body"].decode()
            block, self._rest = self._rest.split("\n\n", 1)
            fields = dict(
                line.split(": ", 1) for line in block.split("\n") if not line.startswith(":")
            )
            if "data" in fields:
                return fields
