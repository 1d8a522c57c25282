"""tunewell backup, restore: a database into one file and back, of either kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import Json, load, print_json, refusals, say
from .service import DatabaseUrl

CheckpointDir = Annotated[
    str | None,
    typer.Option(
        "--checkpoint-dir",
        help="Where contents of checkpoints lie: a folder, or protocol://place; as the setting "
        "TUNEWELL_CHECKPOINT_DIR says by default.",
        show_default=False,
    ),
]
Checkpoints = Annotated[
    bool,
    typer.Option("--checkpoints/--no-checkpoints", help="With the contents of checkpoints."),
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.")],
    database_url: DatabaseUrl = None,
    checkpoint_dir: CheckpointDir = None,
    checkpoints: Checkpoints = True,
    json: Json = False,
) -> None:
    """Back the database up into one file, beside a running service or without one.

    The file holds hashes of tokens and the key that signs sessions: keep it as you keep passwords.
    """
    with refusals():
        made = load("app", "offline", extra="server").backup(
            database_url,
            file,
            _progress(json),
            checkpoint_dir=checkpoint_dir,
            has_contents=checkpoints,
        )
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
    checkpoint_dir: CheckpointDir = None,
    checkpoints: Checkpoints = True,
    json: Json = False,
) -> None:
    """Restore a backup into an empty database, of SQLite or Postgres, whichever it was made of."""
    with refusals():
        done = load("app", "offline", extra="server").restore(
            file,
            database_url,
            _progress(json),
            checkpoint_dir=checkpoint_dir,
            has_contents=checkpoints,
        )
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
        contents = found["checkpoints"] or {}
        n_whole = len(contents.get("whole", ()))
        more = f" and the contents of {n_whole:,} checkpoints" if n_whole else ""
        print(f"{sum(found['rows'].values()):,} rows{more} {what} {found['file']}")
        _warn("were gone: collected meanwhile, or never there", contents.get("gone", ()))
        _warn("are not what was committed", contents.get("damaged", ()))


def _warn(what: str, ids: Sequence[str]) -> None:
    """Names checkpoints whose contents are not in the backup."""
    if ids:
        shown = ", ".join(ids[:MOST_NAMED]) + (", ..." if len(ids) > MOST_NAMED else "")
        say(f"contents of {len(ids):,} checkpoints {what}; their trials begin anew: {shown}")


MOST_NAMED = 5
