"""Faults between client and service: a reply that is lost, a request that comes twice, a service
that dies in the middle of a chunk.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .injector import Injector
from .plan import Action, Point, Step

_REQUESTS = {
    Step.CREATE: r"POST /v1/studies",
    Step.CLAIM_BEFORE: r"POST /v1/leases:claim",
    Step.CLAIM_AFTER: r"POST /v1/leases:claim",
    Step.HEARTBEAT: r"POST /v1/leases:heartbeat",
    Step.REPORT: r"POST /v1/trials/[^/]+/measurements",
    Step.ANNOUNCE: r"POST /v1/trials/[^/]+/checkpoints",
    Step.UPLOAD: r"PUT /v1/checkpoints/[^/]+/content",
    Step.COMMIT: r"POST /v1/checkpoints/[^/]+:commit",
    Step.COMPLETE: r"POST /v1/trials/[^/]+:complete",
    Step.FAIL: r"POST /v1/trials/[^/]+:fail",
    Step.RELEASE: r"POST /v1/leases/[^/]+:release",
    Step.PAUSE: r"POST /v1/leases/[^/]+:release",
    Step.PROMOTE: r"POST /v1/trials/[^/]+:cancel",
    Step.STOP: r"POST /v1/studies/[^/]+:stop",
}
_AROUND = frozenset({Point.REQUEST, Point.MIDWAY, Point.UNANSWERED})


class FaultyEdge:
    """ASGI middleware outside the whole application."""

    def __init__(self, app: ASGIApp, injector: Injector) -> None:
        self._app = app
        self._injector = injector

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, badly when the plan says so."""
        plan = self._injector.plan
        if (
            plan is None
            or not _is(scope, plan.step)
            or plan.point not in _AROUND
            or not self._injector.takes(plan.step, plan.point)
        ):
            await self._app(scope, receive, send)
        elif plan.point is Point.MIDWAY:
            await self._midway(scope, receive, send)
        elif plan.point is Point.UNANSWERED:
            await self._unanswered(scope, receive, send)
        elif plan.action is Action.LOSE_REPLY:
            await self._lose(scope, receive, send)
        else:
            await self._twice(scope, receive, send, at_once=plan.action is Action.TWICE_AT_ONCE)

    async def _midway(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Strikes when the application has taken half of the body and asks for more."""
        half = int(dict(scope["headers"])[b"content-length"]) // 2
        came, has_struck = 0, False

        async def read() -> Message:
            nonlocal came, has_struck
            if came > half and not has_struck:
                has_struck = True
                await asyncio.to_thread(self._injector.strike)
            message = await receive()
            came += len(message.get("body", b""))
            return message

        await self._app(scope, read, send)

    async def _unanswered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Strikes when the application is done and begins to answer."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                await asyncio.to_thread(self._injector.strike)
            await send(message)

        await self._app(scope, receive, answer)

    async def _lose(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Does all of it, then hangs up instead of answering."""

        async def hang_up(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._injector.say("struck", action="lose reply", status=message["status"])
                _transport(send).abort()

        await self._app(scope, receive, hang_up)

    async def _twice(self, scope: Scope, receive: Receive, send: Send, *, at_once: bool) -> None:
        """Delivers the request two times; the client gets the answer to the first."""
        body = await _body(receive)
        first, second = _Delivery(scope, body, receive), _Delivery(scope, body, receive)
        if at_once:
            await asyncio.gather(first.to(self._app), second.to(self._app))
        else:
            await first.to(self._app)
            await second.to(self._app)
        statuses = [each.answer[0]["status"] for each in (first, second)]
        self._injector.say("struck", action="twice", statuses=statuses)
        for message in first.answer:
            await send(message)


class _Delivery:
    """One of two deliveries of the same request, its answer kept back."""

    def __init__(self, scope: Scope, body: bytes, receive: Receive) -> None:
        self._scope = {**scope, "state": dict(scope.get("state", {}))}
        self._receive = receive
        self._waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self.answer: list[Message] = []

    async def to(self, app: ASGIApp) -> None:
        await app(self._scope, self._next, self._keep)

    async def _next(self) -> Message:
        return self._waiting.pop() if self._waiting else await self._receive()

    async def _keep(self, message: Message) -> None:
        self.answer.append(message)


def _is(scope: Scope, step: Step) -> bool:
    pattern = _REQUESTS.get(step)
    return (
        scope["type"] == "http"
        and pattern is not None
        and re.fullmatch(pattern, f"{scope['method']} {scope['path']}") is not None
    )


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _transport(send: Any) -> Any:
    """The connection under uvicorn's `send`, a method of the request's cycle."""
    return send.__self__.transport
