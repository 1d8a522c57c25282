"""A client that reads no answer is cut off: uvicorn with our protocol, over a real socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn

from app.api.wire import BoundedProtocol

pytestmark = pytest.mark.anyio

PATIENCE_S = 60


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Impatient(BoundedProtocol):
    """As the service's, with a short limit."""

    stall_limit_s = 0.2


class Endless:
    """An application whose answer has no end; says when its client is gone."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        leaving = asyncio.ensure_future(receive())
        while not leaving.done():
            part = {"type": "http.response.body", "body": b"x" * 65536, "more_body": True}
            await send(part)
            await asyncio.sleep(0)
        assert leaving.result()["type"] == "http.disconnect"
        self.gone.set()


class Quiet(uvicorn.Server):
    """Leaves the signals of the test alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


async def test_a_client_that_reads_no_answer_is_cut_off() -> None:
    app = Endless()
    config = uvicorn.Config(
        app, port=0, http=Impatient, lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    server = Quiet(config)
    serving = asyncio.create_task(server._serve())
    try:
        await asyncio.wait_for(server.is_up.wait(), PATIENCE_S)
        port = server.servers[0].sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(app.gone.wait(), PATIENCE_S)
    finally:
        server.should_exit = True
        await asyncio.wait_for(serving, PATIENCE_S)
