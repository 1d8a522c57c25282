"""Wires the service together, and runs what the command line asks of it: serve, migrate, tokens
beside a service.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from .api import build
from .api.wire import bounded_protocol
from .domain.token import Role, Token
from .errors import AppError, Conflict
from .logs import configure_logging
from .service.replay import Replayer
from .service.services import Services
from .service.tokens import TokenService
from .settings import Settings
from .store import schema
from .store import studies as study_rows
from .store.engine import Store
from .store.opening import open_store

log = logging.getLogger(__name__)

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
        Exit status: 0 after an orderly stop, 1 when it cannot serve.
    """
    settings = Settings(**{k: v for k, v in given.items() if v is not None})
    configure_logging(settings.log_level)
    try:
        with schema.ServeLock(settings.database_url):
            return _serve(settings, migrate=migrate, json_lines=json_lines)
    except AppError as error:
        print(f"tunewell: {error.detail}", file=sys.stderr)
        return 1


def _serve(settings: Settings, *, migrate: bool, json_lines: bool) -> int:
    if migrate:
        schema.upgrade(settings.database_url)
    elif not schema.is_current(settings.database_url):
        print(
            "tunewell: the database's schema is not current; run `tunewell migrate` first",
            file=sys.stderr,
        )
        return 1
    with _opened(settings) as store:
        is_open = not TokenService(store).auth_required()
        if is_open and not is_loopback(settings.host):
            print(_refusal(settings), file=sys.stderr)
            return 1
        if is_open:
            print(
                "tunewell: no token was ever made: everyone on this machine may do everything. "
                "`tunewell token create --role admin --name NAME` turns auth on for good.",
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
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve())
        return 0 if server.started else 1


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
        f"tunewell: refusing to listen on {settings.host} without a token: anyone who reaches it "
        "could run studies. Make the first token, then start again:\n"
        f"  tunewell token create --role admin --name me --database-url {url}"
    )


def _say_ready(address: str, *, json_lines: bool) -> None:
    line = json.dumps({"event": "ready", "url": address}) if json_lines else None
    print(line or f"tunewell ready at {address}", flush=True)


def migrate(
    database_url: str | None = None, *, check: bool = False, json_lines: bool = False
) -> int:
    """Brings a database's schema up to date; with `check` only says whether that is due.

    Returns:
        Exit status: 0 fine, 1 a migration is due (`check`) or the file is being served.
    """
    settings = _settings(database_url)
    try:
        if check:
            is_current = schema.is_current(settings.database_url)
            _say_schema(is_current, json_lines=json_lines)
            return 0 if is_current else 1
        with schema.ServeLock(settings.database_url):
            schema.upgrade(settings.database_url)
        _say_schema(True, json_lines=json_lines)
        return 0
    except AppError as error:
        print(f"tunewell: {error.detail}", file=sys.stderr)
        return 1


def _say_schema(is_current: bool, *, json_lines: bool) -> None:
    if json_lines:
        print(json.dumps({"schema_current": is_current}))
    else:
        print("schema: current" if is_current else "schema: a migration is due")


class LocalTokens:
    """Tokens straight in the database, also beside a running service: for the first one."""

    def __init__(self, database_url: str | None = None) -> None:
        settings = _settings(database_url)
        _make_folder(settings.database_url)
        if not schema.is_current(settings.database_url):
            with schema.ServeLock(settings.database_url):
                schema.upgrade(settings.database_url)
        self._store = open_store(settings.database_url, pool_size=2)
        self._tokens = TokenService(self._store)

    def create(self, name: str, role: str, expires_in_s: float | None) -> tuple[Token, str]:
        """Makes a token; returns it and its secret."""
        return self._tokens.create(name, Role(role), expires_in_s)

    def list(self) -> list[Token]:
        """All tokens."""
        found: list[Token] = []
        at: str | None = None
        while True:
            page = self._tokens.page(1000, at)
            found += page.items
            at = page.next_page_token
            if at is None:
                return found

    def revoke(self, token_id: str) -> Token:
        """Ends a token at once."""
        return self._tokens.revoke(token_id)

    def close(self) -> None:
        """Closes the database."""
        self._store.close()


class LocalReplay:
    """Replays of the studies in a database, without a service or beside one; changes nothing."""

    def __init__(self, database_url: str | None = None) -> None:
        settings = _settings(database_url)
        if not schema.is_current(settings.database_url):
            raise Conflict("the database's schema is not current; run `tunewell migrate` first")
        self._store = open_store(settings.database_url, pool_size=2)
        self._replayer = Replayer(self._store, fit_limit_s=settings.fit_limit_s)

    def find(self, id_or_name: str) -> str:
        """The id of a study."""
        named = self._store.read(lambda conn: study_rows.by_name(conn, id_or_name))
        return id_or_name if named is None else named.id

    def pages(self, study_id: str, *, force: bool) -> Iterator[dict[str, Any]]:
        """The pages that the service would answer."""
        after: int | None = 0
        while after is not None:
            page = self._replayer.page(study_id, after=after, force=force)
            yield asdict(page)
            after = page.next_after

    def close(self) -> None:
        """Ends the fitting process and closes the database."""
        self._replayer.close()
        self._store.close()


def local_replay(database_url: str | None = None) -> LocalReplay:
    """Opens a database to replay its studies."""
    return LocalReplay(database_url)


def local_tokens(database_url: str | None = None) -> LocalTokens:
    """Opens the tokens of a database; None for the default one."""
    return LocalTokens(database_url)


def _settings(database_url: str | None) -> Settings:
    return Settings() if database_url is None else Settings(database_url=database_url)


def _make_folder(database_url: str) -> None:
    if database_url.startswith("sqlite:///"):
        Path(database_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
