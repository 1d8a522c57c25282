"""The outermost ring: request ids, security headers, how large and how slow a body may be, and a
problem document for what nobody foresaw.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..domain.ids import request_id
from ..errors import AppError, Unavailable
from ..logs import serving
from ..store.actor import Actor, acting_as
from .access import check_origin
from .deps import is_auth_on
from .problems import log, problem_response
from .rate import count_call
from .wire import BODY_IS_HERE

REQUEST_ID = "X-Request-ID"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_access = logging.getLogger("tunewell.access")
_CONTENT = re.compile(r"/v1/checkpoints/[^/:]+/content")
_NO_DATABASE = frozenset({"/healthz", "/readyz"})
"""Paths that answer while the database does not, so nothing is looked up for them beforehand."""

_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Set on every answer that does not bring its own (pages bring their own policy)."""

_RAW_SECURITY = [(k.lower().encode(), v.encode()) for k, v in _SECURITY_HEADERS.items()]


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_limit_bytes: int,
        body_timeout_s: float,
        has_access_log: bool = True,
    ) -> None:
        self._app = app
        self._limit_bytes = body_limit_bytes
        self._limit_s = body_timeout_s
        self._has_access_log = has_access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, and says so in a line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(Headers(scope=scope))
        outgoing = _Outgoing(send, state)
        its_id = state["request_id"]
        with serving(its_id), acting_as(Actor(request_id=its_id)):
            try:
                await self._answer(scope, receive, outgoing)
            finally:
                self._note(scope, outgoing)

    async def _answer(self, scope: Scope, receive: Receive, outgoing: _Outgoing) -> None:
        try:
            await self._admit(scope)
            incoming = _Incoming(
                scope,
                receive,
                limit_bytes=self._limit_bytes,
                limit_s=self._limit_s,
                is_streamed=is_streamed(scope),
            )
            await self._app(scope, incoming.receive, outgoing.send)
        except asyncio.CancelledError:
            if outgoing.has_started or not _is_stopping(scope):
                raise
            # What has not ended within the grace of a stop is cancelled. The caller repeats it, as
            # after a lost answer.
            stopping = Unavailable("the service is stopping", retry_after_s=1)
            await problem_response(stopping, Request(scope))(scope, receive, outgoing.send)
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
        if not is_streamed(scope) and length.isdigit() and int(length) > self._limit_bytes:
            raise too_large(self._limit_bytes)
        path = scope["path"]
        if path in _NO_DATABASE:
            return
        if not path.startswith("/v1/"):
            count_call(request, None)  # the routes of /v1 count for themselves, by token
        scope["state"]["is_auth_on"] = await is_auth_on(request)
        if not scope["state"]["is_auth_on"]:
            check_origin(request)


def _is_stopping(scope: Scope) -> bool:
    services = scope["app"].state.services if "app" in scope else None
    return services is not None and services.health.is_draining


class _Incoming:
    """`receive`, which ends a body that grows past its limit or takes too long.

    A body that is streamed through has no limit of its size here, and its time is that between two
    parts.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        limit_bytes: int,
        limit_s: float,
        is_streamed: bool,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._limit_bytes = math.inf if is_streamed else limit_bytes
        self._limit_s = limit_s
        self._is_streamed = is_streamed
        self._n_bytes = 0
        self._deadline: float | None = None
        self._is_whole = False

    async def receive(self) -> Message:
        """The next part of the body; once it is whole, whatever the server says."""
        if self._is_whole:
            return await self._receive()
        message = await self._part()
        self._n_bytes += len(message.get("body", b""))
        if self._n_bytes > self._limit_bytes:
            raise too_large(int(self._limit_bytes))
        self._is_whole = not message.get("more_body", False)
        return message

    async def _part(self) -> Message:
        if BODY_IS_HERE in self._scope:
            return await self._receive()  # at once: nobody is waited for
        if self._deadline is None or self._is_streamed:
            # From when somebody reads: a request that waits for its turn is not the client's fault.
            self._deadline = asyncio.get_running_loop().time() + self._limit_s
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError as error:
            raise AppError(
                f"the body did not come in within {self._limit_s:g} s", code="request-timeout"
            ) from error


def is_streamed(scope: Scope) -> bool:
    """Whether a request's body is the content of a checkpoint, which its endpoint bounds."""
    return scope["method"] == "PUT" and _CONTENT.fullmatch(scope["path"]) is not None


def too_large(limit_bytes: int) -> AppError:
    """The error of a body that is over its limit."""
    return AppError(
        f"a body may have {limit_bytes} bytes at most",
        code="too-large",
        members={"limit_bytes": limit_bytes},
    )


class _Outgoing:
    """`send`, which adds the headers that every answer has, and notes when it began with what.

    Attributes:
        status: of the answer; 0 while there is none.
        waited_s: seconds from the request to the beginning of the answer.
    """

    def __init__(self, send: Send, state: dict[str, Any]) -> None:
        self._send = send
        self._state = state
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

    @property
    def request_id(self) -> str:
        """The request's id."""
        return str(self._state["request_id"])

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.waited_s = self.age_s()
            given = message.get("headers", ())
            named = {REQUEST_ID: self.request_id, **self._state.get("rate_headers", {})}
            ours = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in named.items()]
            decided = {name for name, _ in ours}
            headers = [each for each in given if each[0] not in decided] + ours
            present = {name for name, _ in headers}
            headers += [each for each in _RAW_SECURITY if each[0] not in present]
            message = {**message, "headers": headers}
        await self._send(message)


def _request_id(headers: Headers) -> str:
    given: Any = headers.get(REQUEST_ID, "")
    return given if _GIVEN_ID.fullmatch(given) else request_id()
