"""tunewell backup, restore: a database into one file and back, of either kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Json, load, print_json, refusals, say
from .service import DatabaseUrl


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.")],
    database_url: DatabaseUrl = None,
    json: Json = False,
) -> None:
    """Back the database up into one file, beside a running service or without one.

    The file holds hashes of tokens and the key that signs sessions: keep it as you keep passwords.
    Contents of checkpoints are not in it; they lie in their own folder.
    """
    with refusals():
        made = load("app", "offline", extra="server").backup(database_url, file, _progress(json))
    _tell(made, "backed up into", json=json)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of `tunewell backup`.")],
    database_url: Annotated[
        str,
        typer.Option(
            "--database-url",
            help="An empty database: sqlite:///path or postgresql://...; never the default one.",
            show_default=False,
        ),
    ],
    json: Json = False,
) -> None:
    """Restore a backup into an empty database, of SQLite or Postgres, whichever it was made of."""
    with refusals():
        done = load("app", "offline", extra="server").restore(file, database_url, _progress(json))
    _tell(done, "restored from", json=json)


def _progress(as_json: bool) -> Callable[[str, int], None]:
    """Says on a terminal how far it is; nothing for programs."""
    is_shown = sys.stderr.isatty() and not as_json

    def tell(table: str, n_rows: int) -> None:
        if is_shown and n_rows:
            say(f"  {table}: {n_rows:,} rows")

    return tell


def _tell(found: dict[str, Any], what: str, *, json: bool) -> None:
    if json:
        print_json(found)
    else:
        print(f"{sum(found['rows'].values()):,} rows {what} {found['file']}")
