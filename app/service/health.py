"""Whether the service can serve: asked by what sends requests here, so it never waits long, and
writes nothing: anybody may ask.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from ..store import schema
from ..store.engine import Store
from ..store.transaction import Tx
from .leadership import Leadership
from .probe import Probe

WAIT_S = 2.0
"""How long the database and the writer may take to answer."""

_STUCK = "no-answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What keeps the service from serving, if anything.

    Attributes:
        database: whether a read was answered in time.
        writer: whether an empty write was, and whether the last one of this process's own, which
            come every second, was taken: a full disk refuses only what is to be kept.
        schema_current: whether every migration was applied; None when nobody could say.
        draining: whether the service is stopping.
    """

    database: bool
    writer: bool
    schema_current: bool | None
    draining: bool

    @property
    def ready(self) -> bool:
        """Whether requests can be sent here."""
        return self.database and self.writer and bool(self.schema_current) and not self.draining

    def members(self) -> dict[str, Any]:
        """As the wire has it."""
        return {
            "ready": self.ready,
            "database": "ok" if self.database else _STUCK,
            "writer": "ok" if self.writer else _STUCK,
            "schema_current": self.schema_current,
            "draining": self.draining,
        }


class HealthService:
    """Looks at the database by a read and by an empty write, each bounded."""

    def __init__(self, store: Store, leadership: Leadership, *, wait_s: float = WAIT_S) -> None:
        self._store = store
        self._leadership = leadership
        self._reading = Probe(self._read, "tunewell-ready-read", wait_s)
        self._writing = Probe(self._write, "tunewell-ready-write", wait_s)
        self._is_current = False
        self.is_draining = False

    async def readiness(self) -> Readiness:
        """What it finds; while the service stops nothing is looked at."""
        if self.is_draining:
            return Readiness(database=True, writer=True, schema_current=None, draining=True)
        current, written = await asyncio.gather(self._reading.answer(), self._writing.answer())
        return Readiness(
            database=current is not None,
            writer=bool(written) and self._leadership.is_renewed,
            schema_current=current,
            draining=self.is_draining,
        )

    def _read(self) -> bool:
        self._store.ping()
        # A schema that was current stays so: nobody takes it back under a running service.
        self._is_current = self._is_current or schema.is_current(self._store)
        return self._is_current

    def _write(self) -> bool:
        return self._store.write(_alive)


def _alive(tx: Tx) -> bool:
    return bool(tx.conn.execute(text("SELECT 1")).scalar_one())
