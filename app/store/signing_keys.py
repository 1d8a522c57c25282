"""Keys that the service makes for itself, shared by all its replicas; made when first needed."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, bindparam, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from .tables import signing_keys
from .transaction import Tx

SESSION = "session"
"""Signs the dashboard's sessions. It is made with the first token."""

_BYTES = 32
_INSERTS = {
    name: insert_into(signing_keys).on_conflict_do_nothing()
    for name, insert_into in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
_SECRET = select(signing_keys.c.secret).where(signing_keys.c.name == bindparam("b_name"))
HAS_SESSION_KEY = exists().where(signing_keys.c.name == SESSION)
"""Whether the key of the sessions is there."""


def make(tx: Tx, name: str) -> None:
    """Makes a key unless it is there."""
    row = {"name": name, "secret": secrets.token_hex(_BYTES), "created_at": tx.now}
    tx.conn.execute(_INSERTS[tx.dialect], row)


def find(conn: Connection, name: str) -> bytes | None:
    """A key, 32 bytes; None when it was never made."""
    found: str | None = conn.execute(_SECRET, {"b_name": name}).scalar_one_or_none()
    return None if found is None else bytes.fromhex(found)
