"""What an endpoint works with: the services, the caller, one way to call a service in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import Depends
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from ..errors import Unavailable
from ..service.todo import Todo
from ..service.views import Caller
from ..store.idempotency import Answer, Receipt
from . import cookies, etags
from .access import secret_of
from .answers import respond
from .idempotency import Attempt

if TYPE_CHECKING:
    from ..service.services import Services

RECHECK_S = 1.0
"""A call that goes on for longer looks again whether its caller may still be here."""

AT_ONCE_S = 0.2
"""A call that goes on for longer looks whether its client is still there."""

QUEUE_WAIT_S = 10.0
"""How long a call waits for one of the database connections before it is told to come back."""

MOST_SUBMITTED = 128
"""Writes at once that no thread waits for: as many as may share a commit."""

P = ParamSpec("P")
T = TypeVar("T")


def services_of(request: Request) -> Services:
    """The services that the application was built with, or given at its start.

    Raises:
        Unavailable: the service is starting.
    """
    services: Services | None = request.app.state.services
    if services is None:
        raise Unavailable("the service is starting", retry_after_s=1)
    return services


async def threaded(request: Request, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a blocking call in a thread; never more at once than there are database connections.

    Raises:
        Unavailable: all of them were busy for `QUEUE_WAIT_S`.
    """
    state = request.app.state
    place = object()
    await _take_place(state.limiter, place)
    try:
        return await run_sync(partial(fn, *args, **kwargs), limiter=state.unlimited)
    finally:
        state.limiter.release_on_behalf_of(place)


async def written(request: Request, todo: Todo[T]) -> T:
    """Does a write. Where the store has a thread that writes, no other is kept waiting for it.

    Raises:
        Unavailable: too many waited before it for `QUEUE_WAIT_S`.
    """
    if not todo.store.takes_submitted:
        return await threaded(request, todo.run)
    limiter, place = request.app.state.submitted, object()
    await _take_place(limiter, place)
    try:
        return await todo.submitted()
    finally:
        limiter.release_on_behalf_of(place)


async def _take_place(limiter: anyio.CapacityLimiter, place: object) -> None:
    try:
        limiter.acquire_on_behalf_of_nowait(place)
    except anyio.WouldBlock:
        try:
            with anyio.fail_after(QUEUE_WAIT_S):
                await limiter.acquire_on_behalf_of(place)
        except TimeoutError:
            raise Unavailable("too many calls wait for the database", retry_after_s=1) from None


async def is_auth_on(request: Request) -> bool:
    """Whether calls need a token. A request is told the same all along."""
    state = request.scope.setdefault("state", {})
    if "is_auth_on" not in state:
        tokens = services_of(request).tokens
        known = tokens.memory.is_required()
        if known is None:
            known = await threaded(request, tokens.auth_required)
        state["is_auth_on"] = known
    return bool(state["is_auth_on"])


async def caller_of(request: Request) -> Caller:
    """Who calls: by a token, by the session of a browser; an admin while auth is off.

    Raises:
        Denied: `unauthenticated`; `forbidden` for a write of a session that another page may have
            made.
    """
    # The edge has just asked; a stream that asks again later asks anew.
    known: bool | None = request.scope["state"].pop("is_auth_on", None)
    if not (await is_auth_on(request) if known is None else known):
        return Caller()
    services, header = services_of(request), request.headers.get("authorization")
    cookie = cookies.session_cookie(request)
    if header is not None or not cookie:
        return await _caller_by_token(request, secret_of(header))
    signed_in = await threaded(request, services.sessions.authenticate, cookie)
    cookies.check_csrf(request, signed_in)
    request.state.signed_in = signed_in
    return Caller.of(signed_in.token)


async def _caller_by_token(request: Request, secret: str) -> Caller:
    tokens = services_of(request).tokens
    token = tokens.remembered(secret)
    if token is None:
        token = await threaded(request, tokens.authenticate, secret)
    return Caller.of(token)


@dataclass(frozen=True, slots=True)
class Api:
    """One request's view of the service."""

    request: Request
    services: Services
    caller: Caller
    attempt: Attempt | None
    began_at: float

    async def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One service call, in a thread."""
        return await threaded(self.request, fn, *args, **kwargs)

    async def write(self, todo: Todo[T]) -> T:
        """One write of a service."""
        return await written(self.request, todo)

    def receipt(self, render: Callable[[T], Answer]) -> Receipt[T] | None:
        """The receipt under the request's Idempotency-Key; None without one."""
        return self.attempt.receipt(render) if self.attempt else None

    async def kept(
        self, fn: Callable[..., T], *args: Any, render: Callable[[T], Answer], **kwargs: Any
    ) -> Response:
        """One writing service call whose answer is kept under the request's key."""
        result = await self.call(fn, *args, receipt=self.receipt(render), **kwargs)
        return respond(render(result))

    async def while_connected(self, waiting: Coroutine[Any, Any, T]) -> T | None:
        """The result of a waiting call; None as soon as the client is gone, so that it takes
        nothing.
        """
        call = asyncio.ensure_future(waiting)
        others: list[asyncio.Future[Any]] = []
        try:
            await asyncio.wait({call}, timeout=AT_ONCE_S)
            if not call.done():
                others.append(asyncio.ensure_future(_disconnected(self.request)))
                await asyncio.wait({call, *others}, return_when=asyncio.FIRST_COMPLETED)
            return call.result() if call.done() else None
        finally:
            running = [each for each in (call, *others) if not each.done()]
            for each in running:
                each.cancel()
            if running:
                await asyncio.gather(*running, return_exceptions=True)

    async def recheck(self) -> None:
        """Looks again whether the caller may be here, for a call that has waited a while.

        Raises:
            Denied: its token was revoked or has expired meanwhile.
        """
        if monotonic() - self.began_at >= RECHECK_S:
            await caller_of(self.request)

    async def revision(
        self, current: Callable[[], int], *, is_required: bool = False
    ) -> int | None:
        """The revision that `If-Match` allows the write to find.

        Args:
            current: reads the present revision, for a header that leaves a choice (`*`, several
                tags).
            is_required: whether the header has to be there.

        Returns:
            The revision; None without the header.

        Raises:
            Precondition: `etag-required`, or the header holds no tag of ours.
        """
        if is_required:
            etags.require(self.request)
        allowed = etags.revisions(self.request)
        if allowed is None:
            return await self.call(current) if is_required else None
        if len(allowed) == 1:
            return min(allowed)
        present = await self.call(current)
        return present if present in allowed else min(allowed)


async def _disconnected(request: Request) -> None:
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await request.receive()


async def api_of(request: Request) -> Api:
    """The request's view of the service; the route has found out the caller before."""
    return Api(
        request=request,
        services=services_of(request),
        caller=request.state.caller,
        attempt=request.state.attempt,
        began_at=monotonic(),
    )


ApiDep = Annotated[Api, Depends(api_of)]
