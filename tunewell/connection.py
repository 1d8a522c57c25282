"""A connection to a service that blocks: it carries out what the calls want that `exchange.py` and
those above it write as generators. `aconnection.py` is its twin for asyncio.

Nothing here knows what the service is for; `client.py` does.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import httpx

from .address import RETRY_S, Address
from .errors import ApiError, Retryable, TunewellError
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
    resume,
    unreachable,
)

_STREAM_SILENCE_S = 60.0
"""How long an event stream may be silent: the service says something every 15 s."""

R = TypeVar("R")


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
        opened = os.getpid(), self.made(httpx.Client, transport=self._transport)
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
                effect = resume(call, outcome)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            outcome = self._outcome(effect)

    def items(self, call: Call[Any]) -> Iterator[Any]:
        """Carries a call out that hands over items; they, as they come."""
        outcome: Any = None
        try:
            while True:
                effect = resume(call, outcome)
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


def _close(pid: int, http: httpx.Client) -> None:
    if pid == os.getpid():
        http.close()


def _is_done(future: Any, seconds: float) -> bool:
    """Waits for a future, whatever comes of it."""
    try:
        future.exception(timeout=seconds)
    except TimeoutError:
        return False
    return True
