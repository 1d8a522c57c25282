"""HTTP on the wire: bounds that uvicorn's own protocol does not have.

A head that never ends, a body that nobody waits for, a client that reads no answer and a connection
that says nothing are cut off; what cannot be read is answered by a problem document too. The body
of a request that is being served has its deadline in `edge.py`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ..errors import AppError
from . import problems

MAX_HEAD_BYTES = 64 * 1024
"""Request line and headers together."""

MAX_HEADERS = 100
"""Header lines of a request."""

DRAIN_S = 5.0
"""How long the rest of a body may still come in after its request was answered."""

LINGER_S = 2.0
"""How long a refused client may read its refusal: closed at once, what it still sends would have
the system throw the answer away.
"""

BODY_IS_HERE = "tunewell.body_is_here"
"""Key of a request's scope that is there once its body is whole."""

STALL_S = 60.0
"""How long a client may leave an answer unread while more of it waits."""


class _TooLarge(ValueError):
    """The head is over its bounds; raised through the parser, which then stops."""


def bounded_protocol(*, head_s: float, idle_s: float) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn.

    Args:
        head_s: how long a request's head may take from its first byte, and a new connection
            until its first request.
        idle_s: how long a connection may say nothing between two requests.
    """

    class Bounded(BoundedProtocol):
        head_limit_s = head_s
        idle_limit_s = idle_s

    return Bounded


class BoundedProtocol(HttpToolsProtocol):
    """One connection; at most one timer watches what its client owes."""

    head_limit_s = 10.0
    idle_limit_s = 30.0
    stall_limit_s = STALL_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._is_idle = False
        self._is_in_head = False
        self._is_refused = False
        self._is_message_whole = True
        self._n_head_bytes = self._n_parsed_bytes = self._n_headers = 0
        self._refusal = "malformed-request"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; its first request is due."""
        super().connection_made(transport)
        self._watch(self.head_limit_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._watch(None)
        self._watch_writing(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes; a head that is not whole yet counts towards its limit."""
        if self._is_refused or self.transport.is_closing():
            return
        if self._is_idle:
            self._is_idle = False
            self._watch(self.head_limit_s, self._head_is_late)
        was_in_head = self._is_in_head
        super().data_received(data)
        # The parser says nothing of a line before its end: what came since is counted here.
        self._n_head_bytes += len(data) if was_in_head and self._is_in_head else 0
        if self._n_head_bytes > MAX_HEAD_BYTES:
            self._refuse("headers-too-large")

    def on_message_begin(self) -> None:
        """The first bytes of a request."""
        super().on_message_begin()
        self._is_in_head, self._is_message_whole = True, False
        self._n_head_bytes = self._n_parsed_bytes = self._n_headers = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line; trailers of a chunked body come here too."""
        super().on_header(name, value)
        self._n_headers += 1
        self._count(len(name) + len(value) + len(": \r\n"))

    def _count(self, n_bytes: int) -> None:
        self._n_parsed_bytes += n_bytes
        if self._n_parsed_bytes > MAX_HEAD_BYTES or self._n_headers > MAX_HEADERS:
            self._refusal = "headers-too-large"
            raise _TooLarge

    def on_headers_complete(self) -> None:
        """The head is whole: from here on the application says how long it waits."""
        self._is_in_head = False
        self._watch(None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole."""
        super().on_message_complete()
        self._is_message_whole = True
        scope: Any = self.scope
        scope[BODY_IS_HERE] = True
        if self.cycle.response_complete:
            self._be_idle()

    def on_response_complete(self) -> None:
        """An answer was given."""
        has_more = bool(self.pipeline)
        super().on_response_complete()
        if has_more or self.transport.is_closing():
            return
        if self._is_in_head:
            self._watch(self.head_limit_s, self._head_is_late)
        elif not self._is_message_whole:
            self._watch(DRAIN_S, self._close)
        else:
            self._be_idle()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._watch_writing(self.stall_limit_s)

    def resume_writing(self) -> None:
        """The client reads again."""
        self._watch_writing(None)
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """What the parser could not read, or was told not to read on."""
        self._refuse(self._refusal)

    def _be_idle(self) -> None:
        self._is_idle = True
        self._watch(self.idle_limit_s, self._close)

    def _watch(self, limit_s: float | None, late: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(limit_s, late) if limit_s and late else None

    def _watch_writing(self, limit_s: float | None) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
        self._stalled = self.loop.call_later(limit_s, self.transport.abort) if limit_s else None

    def _head_is_late(self) -> None:
        if self._is_in_head:
            self._refuse("request-timeout")
        else:
            self._close()

    def _close(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, code: str) -> None:
        """Answers without the application, and closes. Within another answer it just closes."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self.transport.is_closing():
            self._close()
            return
        self._is_refused = True
        self.transport.write(_refusal(code))
        self.transport.write_eof()
        self._watch(LINGER_S, self.transport.abort)


_DETAILS = {
    "malformed-request": "this is no HTTP/1.1 request",
    "headers-too-large": (
        f"a request line and its headers have at most {MAX_HEAD_BYTES} bytes and {MAX_HEADERS} "
        "headers"
    ),
    "request-timeout": "the head of the request took too long",
}


def _refusal(code: str) -> bytes:
    error = AppError(_DETAILS[code], code=code)
    request_id = f"rq_{secrets.token_hex(12)}"
    problem = problems.document(error, request_id=request_id, instance="")
    body = json.dumps(problem).encode()
    lines = (
        f"Content-Type: {problems.MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        f"X-Request-ID: {request_id}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return STATUS_LINE[problem["status"]] + "\r\n".join([*lines, "", ""]).encode() + body
