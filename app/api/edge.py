"""The outermost ring: request ids, security headers, the size of bodies, and a problem document for
what nobody foresaw.
"""

from __future__ import annotations

import logging
import re
import secrets
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import AppError
from ..logs import serving
from .access import check_origin
from .deps import is_auth_on
from .problems import log, problem_response

REQUEST_ID = "X-Request-ID"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_access = logging.getLogger("tunewell.access")
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

    def __init__(self, app: ASGIApp, *, body_limit_bytes: int, has_access_log: bool = True) -> None:
        self._app = app
        self._limit = body_limit_bytes
        self._has_access_log = has_access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, and says so in a line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(Headers(scope=scope))
        outgoing = _Outgoing(send, state["request_id"])
        with serving(state["request_id"]):
            try:
                await self._answer(scope, receive, outgoing)
            finally:
                self._note(scope, outgoing)

    async def _answer(self, scope: Scope, receive: Receive, outgoing: _Outgoing) -> None:
        try:
            await self._admit(scope)
            await self._app(scope, self._bounded(receive), outgoing.send)
        except Exception as exc:
            if outgoing.has_started:
                log.exception("answer_broken")
                raise
            response = problem_response(exc, Request(scope))
            await response(scope, receive, outgoing.send)

    def _note(self, scope: Scope, outgoing: _Outgoing) -> None:
        """Counts the request and writes its line; its query and headers may hold secrets."""
        route: str = getattr(scope.get("route"), "path_format", "")
        method: str = scope["method"]
        services = scope["app"].state.services if "app" in scope else None
        if services is not None and outgoing.has_started:
            services.counters.request(route, method, outgoing.status, outgoing.waited_s)
        if self._has_access_log:
            took = {"duration_ms": round(outgoing.age_s() * 1000, 3)}
            shown = {"method": method[:20], "route": route, "status": outgoing.status}
            _access.info("request", extra={**shown, **took})

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
    """`send`, which adds the headers that every answer has, and notes when it began with what.

    Attributes:
        status: of the answer; 0 while there is none.
        waited_s: seconds from the request to the beginning of the answer.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self._begun = perf_counter()
        self.status = 0
        self.waited_s = 0.0

    @property
    def has_started(self) -> bool:
        """Whether the answer has begun."""
        return self.status != 0

    def age_s(self) -> float:
        """Seconds since the request came."""
        return perf_counter() - self._begun

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.waited_s = self.age_s()
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self._request_id
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)


def _request_id(headers: Headers) -> str:
    given: Any = headers.get(REQUEST_ID, "")
    return given if _GIVEN_ID.fullmatch(given) else f"rq_{secrets.token_hex(12)}"
