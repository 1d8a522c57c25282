"""Puts the HTTP edge together: routes, errors, what stands around them. Wiring only."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from ..errors import AppError
from ..settings import Settings
from . import description, parquet
from .deps import MOST_SUBMITTED
from .edge import Edge
from .feed import Ring
from .head import Head
from .idempotency import InFlight
from .pages import add_pages
from .problems import problem_response
from .rate import RateLimiter, count_call
from .v1 import (
    analysis,
    audit,
    checkpoints,
    events,
    leases,
    logs,
    meta,
    sessions,
    studies,
    tokens,
    trials,
    workers,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_ROUTERS = (
    leases,  # what every trial calls stands first: one route after another is tried
    studies,
    analysis,
    trials,
    logs,
    checkpoints,
    workers,
    sessions,
    tokens,
    audit,
    events,
    meta,
)
_COMPRESSED = (
    "/studies",
    "/trials",
    "/export",
    "/measurements",
    "/logs",
    "/workers",
    "/best",
    "/pareto",
    "/openapi.json",
)


def build(settings: Settings, *, lifespan: Lifespan | None = None) -> FastAPI:
    """The application. Its `state.services` has to be set before the first request.

    Args:
        settings: limits of bodies and threads.
        lifespan: what runs around the application's life; it may set `app.state.services`.
    """
    app = FastAPI(
        title="Tunewell",
        version=description.VERSION,
        description=description.DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = None
    app.state.in_flight = InFlight()
    app.state.ring = Ring()
    app.state.rate_limiter = _rate_limiter(settings)
    app.state.limiter = anyio.CapacityLimiter(settings.pool_size)
    app.state.submitted = anyio.CapacityLimiter(MOST_SUBMITTED)
    app.state.unlimited = anyio.CapacityLimiter(math.inf)  # who has a place gets a thread
    for module in _ROUTERS:
        app.router.routes.extend(module.router.routes)
    for error in (AppError, HTTPException, RequestValidationError):
        app.add_exception_handler(error, _on_error)
    add_pages(app)
    description.install(app)
    app.add_middleware(_Compress)
    app.add_middleware(Head)
    app.add_middleware(
        Edge,
        body_limit_bytes=settings.body_limit_bytes,
        body_timeout_s=settings.body_timeout_s,
        has_access_log=settings.access_log,
    )
    return app


def _rate_limiter(settings: Settings) -> RateLimiter | None:
    if settings.rate_limit_per_s == 0:
        return None
    return RateLimiter(settings.rate_limit_per_s, settings.rate_limit_burst)


async def _on_error(request: Request, exc: Exception) -> Response:
    if isinstance(exc, HTTPException) and exc.status_code == 405:
        request.state.allow = ", ".join(_methods(request))
    if isinstance(exc, HTTPException) and request.url.path.startswith("/v1/"):
        try:
            count_call(request, None)  # no route took it, so none has counted it
        except AppError as refused:
            return problem_response(refused, request)
    return problem_response(exc, request)


def _methods(request: Request) -> list[str]:
    """Every method that some route takes at the request's path."""
    app: FastAPI = request.app
    methods: set[str] = set()
    for route in app.router.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


class _Compress:
    """gzip for lists and files; not for streams of events, and not for secrets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(
            app,
            minimum_size=1024,
            compresslevel=5,
            exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, parquet.MEDIA_TYPE),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, compressed where that pays."""
        is_long = (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and (scope["path"].endswith(_COMPRESSED) or "/analysis/" in scope["path"])
        )
        await (self._gzip if is_long else self._app)(scope, receive, send)
