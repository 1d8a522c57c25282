"""A connection to the service for asyncio: carries out what calls want, as `connection.py` does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import httpx

from .address import RETRY_S, Address
from .errors import TunewellError
from .exchange import (
    Await,
    Call,
    Download,
    Effect,
    Item,
    Pause,
    Request,
    Send,
    Terms,
    exchange,
    read,
    resume,
    unreachable,
)

R = TypeVar("R")


class AsyncConnection(Address):
    """A connection to one service for asyncio; to be used from one event loop.

    Args:
        url, token, timeout_s, retry_s: see `Address`.
        transport: replaces the network, for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 30.0,
        retry_s: float = RETRY_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(url, token, timeout_s=timeout_s, retry_s=retry_s)
        self._is_closing = False
        self._http = self.made(httpx.AsyncClient, transport=transport)

    async def close(self) -> None:
        """Closes the connections; a call that waits to try again gives up after its pause."""
        self._is_closing = True
        await self._http.aclose()

    async def send(self, request: Request) -> Any:
        """As `Connection.send`."""
        return await self.run(exchange(request, self._terms()))

    async def run(self, call: Call[R]) -> R:
        """As `Connection.run`."""
        outcome: Any = None
        while True:
            try:
                effect = resume(call, outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            outcome = await self._outcome(effect)

    async def items(self, call: Call[Any]) -> AsyncIterator[Any]:
        """As `Connection.items`."""
        outcome: Any = None
        try:
            while True:
                effect = resume(call, outcome)
                outcome = None
                if isinstance(effect, Item):
                    yield effect.value
                else:
                    outcome = await self._outcome(effect)
        except StopIteration:
            return
        finally:
            call.close()

    async def _outcome(self, effect: Effect) -> Any:
        try:
            return await self._carry_out(effect)
        except TunewellError as error:
            return error

    async def _carry_out(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return await self.send(effect)
            case Send(request):
                try:
                    return await self._http.send(request)
                except httpx.RequestError as error:
                    return error
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Await(future, seconds):
                waiting = asyncio.wrap_future(future)
                done, _ = await asyncio.wait([waiting], timeout=seconds)
                return bool(done)
            case Download(path, target):
                await self._download(path, target)
            case _:
                raise TypeError(f"nobody asks for items here: {effect!r}")
        return None

    async def _download(self, path: str, target: Any) -> None:
        try:
            async with self._http.stream("GET", path) as answer:
                if answer.is_error:
                    await answer.aread()
                    read(answer)
                with target.open("wb") as file:
                    async for piece in answer.aiter_bytes():
                        file.write(piece)
        except httpx.RequestError as error:
            raise unreachable(self.url, error) from error

    def _terms(self) -> Terms:
        return Terms(
            url=self.url,
            build=self._http.build_request,
            timeout_s=self.timeout_s,
            retry_s=self.retry_s,
            is_closing=lambda: self._is_closing,
        )
