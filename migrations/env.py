"""Runs the migrations: on the connection that the service hands over, or from Alembic's command.

Alembic loads this file by its path, so it cannot import its neighbours relatively.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, MetaData, create_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator

config = context.config


def render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Has a new revision name the database's own types: the service's may change after it."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{type(item.impl_instance).__name__}()"
    return False


def run_on(connection: Connection | None, metadata: MetaData) -> None:
    """Runs what was asked for on a connection, or, without one, prints it as SQL."""
    context.configure(
        connection=connection,
        dialect_name=None if connection else config.get_main_option("dialect"),
        target_metadata=metadata,
        render_as_batch=True,  # SQLite changes most of a table only by copying it
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


def from_command_line() -> None:
    """For a developer in a checkout, on the database that TUNEWELL_DATABASE_URL names."""
    from tunewell._parts import part

    engine_of = part("app", "store.engine")
    metadata: MetaData = part("app", "store.tables").metadata
    url = os.environ.get("TUNEWELL_DATABASE_URL") or config.get_main_option("sqlalchemy.url")
    engine = create_engine(engine_of.parse_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        run_on(connection, metadata)
        connection.commit()


if (handed_over := config.attributes.get("connection")) is not None:
    run_on(handed_over, config.attributes["metadata"])
else:
    from_command_line()
