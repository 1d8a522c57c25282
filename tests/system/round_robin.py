"""A tiny proxy that sends each request to the next service, as a balancer without memory would."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

_GONE = (OSError, asyncio.IncompleteReadError)


class RoundRobin:
    """Listens on a free port, in a thread of its own. A context manager.

    A connection carries one request. One to a service that is down goes to the next; one that
    breaks on the way breaks for the client too: it is not known what came of it.

    Args:
        urls: of the services.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self._ports = itertools.cycle([int(url.rpartition(":")[2]) for url in urls])
        self._n_services = len(urls)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="round-robin")
        self._serving: set[asyncio.Task[Any] | None] = set()
        self.url = ""

    def __enter__(self) -> RoundRobin:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._server = server
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> Any:
        return await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        # The loop itself holds tasks and readers by weak references only.
        task = asyncio.current_task()
        self._serving.add(task)
        try:
            head = await client.readuntil(b"\r\n\r\n")
            service, request = await self._next_service()
            try:
                line, _, rest = head.partition(b"\r\n")
                request.write(line + b"\r\nConnection: close\r\n" + _without_connection(rest))
                await _until_one_ends(_pipe(client, request), _pipe(service, answer))
            finally:
                await _close(request)
        except _GONE:
            pass  # the client sees its connection end
        finally:
            await _close(answer)
            self._serving.discard(task)

    async def _next_service(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(self._n_services):
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection("127.0.0.1", next(self._ports))
        raise ConnectionRefusedError("no service is up")


def _without_connection(head: bytes) -> bytes:
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith(b"connection:"))


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while chunk := await source.read(1 << 16):
        sink.write(chunk)
        await sink.drain()


async def _until_one_ends(*pipes: Coroutine[Any, Any, None]) -> None:
    """The service has answered, or the client is gone: either way the other has no more to say."""
    tasks = [asyncio.ensure_future(pipe) for pipe in pipes]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Sends what is written and closes the socket."""
    writer.close()
    with suppress(*_GONE):
        await writer.wait_closed()
