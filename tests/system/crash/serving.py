"""Entry of a service process under test: the real application over the real store, with an
injector around both. Started by `replica.py` alone.
"""

from __future__ import annotations

import asyncio
import os
from multiprocessing.connection import Connection as Pipe
from typing import Any

import uvicorn

from app.logs import configure_logging
from app.main import create_app
from app.settings import Settings
from app.store import schema
from app.store.opening import open_store

from .edge import FaultyEdge
from .injector import Injector
from .plan import Plan

LEASE_S = 1.0
SWEEP_S = 0.1


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    def __init__(self, config: uvicorn.Config, injector: Injector) -> None:
        super().__init__(config)
        self._injector = injector

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._injector.say("ready", port=self.servers[0].sockets[0].getsockname()[1])


def run(
    database_url: str, port: int, plan: Plan | None, pipe: Pipe, log_path: str, contents: str
) -> None:
    """Serves until killed."""
    with open(log_path, "ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    configure_logging()
    injector = Injector(plan, pipe)
    injector.listen()
    injector.watch_statements()
    settings = Settings(
        database_url=database_url,
        port=port,
        lease_ttl_s=LEASE_S,
        sweep_s=SWEEP_S,
        suggest_processes=1,
        checkpoint_dir=contents,
    )
    with schema.ServeLock(database_url):
        injector.say("migrating")
        schema.upgrade(database_url)
        injector.migrated()
        store = open_store(database_url, pool_size=settings.pool_size)
        injector.watch_store(store)
        app = FaultyEdge(create_app(settings, store), injector)
        config = uvicorn.Config(
            app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="on"
        )
        asyncio.run(_Server(config, injector).serve())
