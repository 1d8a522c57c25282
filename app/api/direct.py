"""Endpoints called without the machinery that FastAPI has for any endpoint there could be.

For each request it looks for parameters everywhere, opens three exit stacks and catches errors once
more. Most of our endpoints take parts of the path and what a few coroutines make of the request.
They are called as they stand; all others go FastAPI's way.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def direct(endpoint: Dependant) -> Handler | None:
    """What calls an endpoint directly; None where it takes more than that."""
    call = endpoint.call
    others = (
        endpoint.query_params,
        endpoint.header_params,
        endpoint.cookie_params,
        endpoint.body_params,
        endpoint.request_param_name,
        endpoint.response_param_name,
    )
    needed = [(each.name, _maker(each)) for each in endpoint.dependencies]
    makers = [(name, maker) for name, maker in needed if maker is not None]
    if any(others) or len(makers) < len(needed) or not inspect.iscoroutinefunction(call):
        return None
    fields = endpoint.path_params

    async def handle(request: Request) -> Response:
        values: dict[str, Any] = {}
        for name, make in makers:
            made = await make(request)
            if name is not None:
                values[name] = made
        faults: list[Any] = []
        for field in fields:
            raw = request.path_params[field.alias]
            values[field.name], found = field.validate(raw, {}, loc=("path", field.alias))
            faults += found
        if faults:
            raise RequestValidationError(faults)
        response: Response = await call(**values)
        return response

    return handle


def _maker(needed: Dependant) -> Callable[[Request], Awaitable[Any]] | None:
    """The coroutine function behind a dependency, where the request is all that it takes."""
    name = needed.request_param_name
    takes_more = (
        needed.dependencies
        or needed.path_params
        or needed.query_params
        or needed.header_params
        or needed.cookie_params
        or needed.body_params
    )
    if name is None or takes_more or not inspect.iscoroutinefunction(needed.call):
        return None
    found: Callable[[Request], Awaitable[Any]] = needed.call
    return found


def serving(handle: Handler) -> ASGIApp:
    """A handler as an application; what it raises is answered further out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await handle(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
