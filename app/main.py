"""Wires the service together and serves."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import json
import logging
import math
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from .api import build
from .api.wire import bounded_protocol
from .blobs.opening import check_place
from .errors import AppError, InvalidInput
from .logs import configure_logging
from .service.services import Services
from .service.tokens import TokenService
from .settings import Settings, misspelt
from .store import schema
from .store.engine import Store
from .store.opening import open_store

log = logging.getLogger(__name__)

GC_THRESHOLDS = (20_000, 20, 50)
"""New objects until a look for cycles among them, and how many such looks until one at older ones.
"""

END_S = 10.0
"""How long the service may take, past its grace for requests, to put itself away: then it is ended,
with status 1. A database that hangs must not keep the process.
"""


def create_app(settings: Settings, store: Store) -> FastAPI:
    """The ASGI application over an open store; its lifespan runs the sweep and the fitting
    processes.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        services = Services(store, settings)
        await services.start()
        app.state.services = services
        try:
            yield
        finally:
            await services.stop()

    return build(settings, lifespan=lifespan)


class _Server(uvicorn.Server):
    """Says where it listens once it does, and stops in order: not ready, no more waits, listening
    for `drain_s` more, then requests to their end. A second signal ends the process at once.
    """

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, settings: Settings, *, json_lines: bool
    ) -> None:
        super().__init__(config)
        self._app = app
        self._json_lines = json_lines
        self._settings = settings
        self._stop_at: float | None = None

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            _say_ready(self._address(), json_lines=self._json_lines)

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self._stop_at is not None:
            os._exit(128 + sig)
        self._stop_at = time.monotonic() + self._settings.drain_s
        services: Services | None = getattr(self._app.state, "services", None)
        if services is not None:
            services.drain()
        limit_s = self._settings.drain_s + self._settings.grace_s + END_S
        overdue = threading.Timer(limit_s, _end_overdue)
        overdue.daemon = True
        overdue.start()

    async def on_tick(self, counter: int) -> bool:
        is_over = self._stop_at is not None and time.monotonic() >= self._stop_at
        return await super().on_tick(counter) or is_over

    def _address(self) -> str:
        port = self.servers[0].sockets[0].getsockname()[1]
        host = self.config.host
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _end_overdue() -> None:
    log.error("stop_overdue")
    os._exit(1)


def serve(*, migrate: bool = True, json_lines: bool = False, **given: Any) -> int:
    """Runs the service until it is told to stop.

    Args:
        migrate: bring the database's schema up to date first; otherwise refuse when it is not.
        json_lines: print the ready line as JSON.
        given: settings by name that win over the environment; None means not given.

    Returns:
        Exit status: 0 after an orderly stop, 1 when it cannot serve, 2 for a URL of no database.
    """
    settings = Settings(**{k: v for k, v in given.items() if v is not None})
    configure_logging(settings.log_level)
    for name, meant in misspelt(os.environ):
        print(f"warning: {name} is no setting; {meant} is", file=sys.stderr)
    try:
        with schema.ServeLock(settings.database_url):
            return _serve(settings, migrate=migrate, json_lines=json_lines)
    except AppError as error:
        print(f"error: {error.detail}", file=sys.stderr)
        return 2 if isinstance(error, InvalidInput) else 1


def _serve(settings: Settings, *, migrate: bool, json_lines: bool) -> int:
    if migrate:
        schema.upgrade(settings.database_url)
    elif not schema.is_current(settings.database_url):
        print(
            "error: the database's schema is not current\n  bring it up to date: tunewell migrate",
            file=sys.stderr,
        )
        return 1
    if (place := settings.checkpoint_place()) is not None:
        check_place(place)
    with _opened(settings) as store:
        is_open = not TokenService(store).auth_required()
        if is_open and not is_loopback(settings.host):
            print(_refusal(settings), file=sys.stderr)
            return 1
        if is_open:
            print(
                "warning: no token was ever made: everyone on this machine may do everything\n"
                "  turn auth on for good: tunewell token create --role admin --name NAME",
                file=sys.stderr,
            )
        app = create_app(settings, store)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            http=bounded_protocol(head_s=settings.head_timeout_s, idle_s=settings.idle_timeout_s),
            ws="none",
            timeout_keep_alive=math.ceil(settings.idle_timeout_s),
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_graceful_shutdown=math.ceil(settings.grace_s),
            server_header=False,
        )
        server = _Server(config, app, settings, json_lines=json_lines)
        _spare_the_collector()
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            try:
                runner.run(server.serve())
            except SystemExit:  # the server's answer to an address that it cannot have
                print(_unstarted(settings, server), file=sys.stderr)
        return 0 if server.started else 1


def _spare_the_collector() -> None:
    """Has the cycle collector leave alone what was imported, and look less often: by default it
    walks over all the objects that never go, again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


@contextmanager
def _opened(settings: Settings) -> Iterator[Store]:
    store = open_store(settings.database_url, pool_size=settings.pool_size)
    try:
        yield store
    finally:
        store.close()


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(settings: Settings) -> str:
    url = settings.masked()["database_url"]
    return (
        f"error: refusing to listen on {settings.host} without a token: anyone who reaches it "
        "could run studies\n  make the first token, then start again:\n"
        f"  tunewell token create --role admin --name me --database-url {url}"
    )


def _unstarted(settings: Settings, server: uvicorn.Server) -> str:
    """Why there is no service: what its start stumbled over has been logged."""
    if server.lifespan.should_exit:
        return "error: the service could not start; the log above says why"
    return _unheard(settings)


def _unheard(settings: Settings) -> str:
    """Why nothing can listen on the address, asked once more."""
    reason = "it was not free"
    try:
        socket.create_server((settings.host, settings.port)).close()
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
    return (
        f"error: cannot listen on {settings.host} port {settings.port}: {reason}\n"
        "  end what listens there, or choose another: --port NUMBER (0 picks a free one)"
    )


def _say_ready(address: str, *, json_lines: bool) -> None:
    line = json.dumps({"event": "ready", "url": address}) if json_lines else None
    print(line or f"tunewell ready at {address}", flush=True)
