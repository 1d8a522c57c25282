"""Opens a store on either database."""

from __future__ import annotations

from .engine import Store, parse_url
from .postgres import PostgresStore
from .sqlite import SqliteStore
from .transaction import DatabaseClock


def open_store(url: str, *, clock: DatabaseClock | None = None, pool_size: int = 8) -> Store:
    """Opens the database of `sqlite:///path` or `postgresql://...`; it may still be empty.

    Args:
        url: where the database is.
        clock: the database's clock; tests give one with an offset.
        pool_size: connections that may be in use at a time.

    Raises:
        InvalidInput: no URL of these kinds.
    """
    parsed = parse_url(url)
    chosen = SqliteStore if parsed.get_backend_name() == "sqlite" else PostgresStore
    return chosen(url, parsed, clock, pool_size)
