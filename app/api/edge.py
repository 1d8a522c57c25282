"""The outermost ring: request ids, security headers, the size of bodies, and a problem document for
what nobody foresaw.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import AppError
from .access import check_origin
from .deps import is_auth_on
from .problems import log, problem_response

REQUEST_ID = "X-Request-ID"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NO_DATABASE = frozenset({"/healthz", "/readyz"})
"""Paths that answer while the database does not, so nothing is looked up for them beforehand."""

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Set on every answer that does not bring its own (pages bring their own policy)."""


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, body_limit_bytes: int) -> None:
        self._app = app
        self._limit = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(Headers(scope=scope))
        outgoing = _Outgoing(send, state["request_id"])
        try:
            await self._admit(scope)
            await self._app(scope, self._bounded(receive), outgoing.send)
        except Exception as exc:
            if outgoing.has_started:
                log.exception("answer_broken", extra={"request_id": state["request_id"]})
                raise
            response = problem_response(exc, Request(scope))
            await response(scope, receive, outgoing.send)

    async def _admit(self, scope: Scope) -> None:
        request = Request(scope)
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._limit:
            raise self._too_large()
        if scope["path"] in _NO_DATABASE:
            return
        if not await is_auth_on(request):
            check_origin(request)

    def _bounded(self, receive: Receive) -> Receive:
        """`receive`, which stops a body that grows past the limit while it comes in."""
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise self._too_large()
            return message

        return bounded

    def _too_large(self) -> AppError:
        return AppError(
            f"a body may have {self._limit} bytes at most",
            code="too-large",
            members={"limit_bytes": self._limit},
        )


class _Outgoing:
    """`send`, which adds the headers that every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.has_started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _request_id(headers: Headers) -> str:
    given: Any = headers.get(REQUEST_ID, "")
    return given if _GIVEN_ID.fullmatch(given) else f"rq_{secrets.token_hex(12)}"
