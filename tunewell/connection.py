"""Connections to a service, one that blocks and one for asyncio: the two drivers of the calls that
`exchange.py` and those above it write as generators.

Nothing here knows what the service is for; `client.py` does.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, TypeVar

import httpx

from .errors import ApiError, Retryable, TunewellError, WrongAddress
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
    pause_s,
    read,
    unreachable,
)

DEFAULT_URL = "http://127.0.0.1:8700"
RETRY_S = 60.0
"""For how long a call is tried again while the service is busy or away."""

_STREAM_SILENCE_S = 60.0
"""How long an event stream may be silent: the service says something every 15 s."""

R = TypeVar("R")


class Address:
    """Where a service is, and how it is spoken to: what both kinds of connection have.

    Args:
        url: address of the service; `TUNEWELL_URL`, else http://127.0.0.1:8700.
        token: bearer token; `TUNEWELL_TOKEN`, else none. The empty one: none.
        timeout_s: how long one answer may take.
        retry_s: for how long a call is tried again when the service is busy or away.

    Attributes:
        url: the address.
        timeout_s, retry_s: as given; may be changed at any time.

    Raises:
        WrongAddress: the address is none.
    """

    def __init__(
        self, url: str | None, token: str | None, *, timeout_s: float, retry_s: float
    ) -> None:
        self.url = (url or os.environ.get("TUNEWELL_URL") or DEFAULT_URL).rstrip("/")
        self.timeout_s = timeout_s
        self.retry_s = retry_s
        self.token = (os.environ.get("TUNEWELL_TOKEN") or "" if token is None else token).strip()
        self._host = _host(self.url)

    def _settings(self) -> dict[str, Any]:
        """For an httpx client, of either kind."""
        return {
            "base_url": self.url,
            "headers": {"Authorization": f"Bearer {self.token}"} if self.token else {},
            "timeout": self.timeout_s,
            # A proxy for the outer world cannot reach this machine's own addresses.
            "trust_env": not _is_loopback(self._host),
        }


class Connection(Address):
    """A connection to one service that blocks. Safe to use from several threads; after a fork the
    child has connections of its own.

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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(url, token, timeout_s=timeout_s, retry_s=retry_s)
        self._closing = threading.Event()
        self._transport = transport
        self._opened = self._open()

    @property
    def _http(self) -> httpx.Client:
        if self._opened[0] != os.getpid():
            # A fork: the parent's sockets are the parent's. They are left open, not closed.
            self._opened = self._open()
        return self._opened[1]

    def _open(self) -> tuple[int, httpx.Client]:
        """Connections of this process; closed when nobody has this object any more."""
        opened = os.getpid(), httpx.Client(transport=self._transport, **self._settings())
        weakref.finalize(self, _close, *opened)
        return opened

    def close(self) -> None:
        """Closes the connections; a call that is waiting to try again gives up."""
        self._closing.set()
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: bytes | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        retry_s: float | None = None,
        idempotency_key: str | None = None,
    ) -> Any:
        """One call, see `Request`; its JSON answer, None without a body, text of another kind as it
        is.

        Raises:
            Unreachable: no answer, over all tries.
            StaleLease: the lease is no longer the trial's.
            ApiError: the service refused.
        """
        return self.send(
            Request(
                method,
                path,
                body=body,
                content=content,
                params=params or {},
                headers=headers or {},
                timeout_s=timeout_s,
                retry_s=retry_s,
                idempotency_key=idempotency_key,
            )
        )

    def send(self, request: Request) -> Any:
        """Sends a request, as often as it takes; its JSON answer.

        Raises:
            Unreachable, ApiError: as `request`.
        """
        return self.run(exchange(request, self._terms()))

    def run(self, call: Call[R]) -> R:
        """Carries a call out; its result."""
        outcome: Any = None
        while True:
            try:
                effect = _resume(call, outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            outcome = self._outcome(effect)

    def items(self, call: Call[Any]) -> Iterator[Any]:
        """Carries a call out that hands over items; they, as they come."""
        outcome: Any = None
        try:
            while True:
                effect = _resume(call, outcome)
                outcome = None
                if isinstance(effect, Item):
                    yield effect.value
                else:
                    outcome = self._outcome(effect)
        except StopIteration:
            return
        finally:
            call.close()

    def _outcome(self, effect: Effect) -> Any:
        try:
            return self._carry_out(effect)
        except TunewellError as error:
            return error

    def _carry_out(self, effect: Effect) -> Any:
        match effect:
            case Request():
                return self.send(effect)
            case Send(request):
                try:
                    return self._http.send(request)
                except httpx.RequestError as error:
                    return error
            case Pause(seconds):
                self._pause(seconds)
            case Await(future, seconds):
                return _is_done(future, seconds)
            case Download(path, target):
                with target.open("wb") as file:
                    for piece in self.stream_bytes(path, {}):
                        file.write(piece)
            case _:
                raise TypeError(f"nobody asks for items here: {effect!r}")
        return None

    def _pause(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def _now(self) -> float:
        return time.monotonic()

    def _terms(self) -> Terms:
        return Terms(
            url=self.url,
            build=self._http.build_request,
            timeout_s=self.timeout_s,
            retry_s=self.retry_s,
            is_closing=self._closing.is_set,
            now=self._now,
        )

    def stream_bytes(self, path: str, params: Mapping[str, Any]) -> Iterator[bytes]:
        """A long answer, as it comes; never tried again once it has begun.

        Raises:
            Unreachable: no answer, or it broke off.
            ApiError: the service refused.
        """
        try:
            with self._http.stream("GET", path, params=dict(params)) as answer:
                if answer.is_error:
                    answer.read()
                    read(answer)
                yield from answer.iter_bytes()
        except httpx.RequestError as error:
            raise unreachable(self.url, error) from error

    def stream_sent_events(self, path: str, after: int | None) -> Iterator[dict[str, Any]]:
        """Server-sent events from `after` on; goes on where it was when the stream breaks.

        Each event is its data, with `event` (the kind) and `id` (where to go on) added. Ends only
        when the connection is closed.

        Raises:
            Unreachable: the service stayed away for `retry_s`.
            ApiError: the service refused.
        """
        last, attempt, heard_at = after, 0, self._now()
        while not self._closing.is_set():
            problem: TunewellError | None = None
            try:
                for event in self._stream_once(path, last):
                    attempt, heard_at = 0, self._now()
                    if event["id"] is not None:
                        last = int(event["id"])
                    yield event
            except httpx.RequestError as error:
                problem = unreachable(self.url, error)
            except ApiError as error:
                if not isinstance(error, Retryable):
                    raise
                problem = error
            pause = pause_s(attempt, None)
            if problem is not None and self._now() + pause > heard_at + self.retry_s:
                raise problem
            self._pause(pause)
            attempt += 1

    def _stream_once(self, path: str, after: int | None) -> Iterator[dict[str, Any]]:
        params = {} if after is None else {"after": str(after)}
        timeout = httpx.Timeout(self.timeout_s, read=_STREAM_SILENCE_S)
        with self._http.stream("GET", path, params=params, timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                read(answer)
            fields: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                    continue
                if "data" in fields or "event" in fields:
                    data = json.loads(fields.get("data") or "{}")
                    yield {**data, "event": fields.get("event"), "id": fields.get("id")}
                fields = {}


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
        self._http = httpx.AsyncClient(transport=transport, **self._settings())

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
                effect = _resume(call, outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            outcome = await self._outcome(effect)

    async def items(self, call: Call[Any]) -> AsyncIterator[Any]:
        """As `Connection.items`."""
        outcome: Any = None
        try:
            while True:
                effect = _resume(call, outcome)
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


def _close(pid: int, http: httpx.Client) -> None:
    if pid == os.getpid():
        http.close()


def _resume(call: Call[Any], outcome: Any) -> Effect:
    """Goes on with a call until its next effect; what went wrong is the call's to handle.

    Raises:
        StopIteration: it has returned.
    """
    if isinstance(outcome, TunewellError):
        return call.throw(outcome)
    return call.send(outcome)


def _is_done(future: Any, seconds: float) -> bool:
    """Waits for a future, whatever comes of it."""
    try:
        future.exception(timeout=seconds)
    except TimeoutError:
        return False
    return True


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise WrongAddress(f"{url!r} is no address of a service: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise WrongAddress(f"{url!r} is no address of a service; one looks like {DEFAULT_URL}")
    return parsed.host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
