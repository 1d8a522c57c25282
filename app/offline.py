"""What the command line does with a database itself, beside a running service or without one.

Loading it loads neither the HTTP edge nor numerics: these commands are run many times in a row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .blobs.opening import open_blobs
from .clock import SystemClock
from .domain.token import Role, Token
from .errors import AppError, Conflict, InvalidInput
from .service.contents import BackedContents
from .service.tokens import TokenService
from .settings import Settings
from .store import backup as backups
from .store import restore as restores
from .store import schema
from .store import studies as study_rows
from .store.copying import Progress
from .store.opening import open_store


def backup(
    database_url: str | None,
    path: Path,
    progress: Progress,
    *,
    checkpoint_dir: str | None = None,
    has_contents: bool = True,
) -> dict[str, Any]:
    """Backs the database up into a new file; None for the default database.

    Args:
        checkpoint_dir: where contents of checkpoints lie; None: where the settings say.
        has_contents: whether they go into the backup.
    """
    settings = _settings(database_url)
    contents = _contents(settings, checkpoint_dir)
    read = _unread if contents is None else contents.read
    made = backups.backup(
        settings.database_url,
        path,
        now=SystemClock().now(),
        progress=progress,
        read=read if has_contents else None,
    )
    return {
        "file": str(path),
        "schema_revision": made.schema_revision,
        "rows": made.rows,
        "size_bytes": made.size_bytes,
        "checkpoints": made.contents and asdict(made.contents),
    }


def _contents(settings: Settings, checkpoint_dir: str | None) -> BackedContents | None:
    place = checkpoint_dir or settings.checkpoint_place()
    return None if place is None else BackedContents(open_blobs(place))


def _unread(checkpoint_id: str, _size_bytes: int) -> Iterator[bytes]:
    """Refuses a backup of contents that lie nobody knows where."""
    raise Conflict(
        f"checkpoint {checkpoint_id} is committed, and nobody has said where contents lie: give "
        "--checkpoint-dir (TUNEWELL_CHECKPOINT_DIR) as for the service, or --no-checkpoints",
        code="checkpoints-off",
    )


def restore(
    path: Path,
    database_url: str,
    progress: Progress,
    *,
    checkpoint_dir: str | None = None,
    has_contents: bool = True,
) -> dict[str, Any]:
    """Restores a backup into an empty database.

    Args:
        checkpoint_dir: where contents of checkpoints go; None: where the settings say.
        has_contents: whether they are restored.
    """
    settings = _settings(database_url)
    done = restores.restore(
        path,
        database_url,
        progress=progress,
        contents=_contents(settings, checkpoint_dir) if has_contents else None,
        is_without_contents=not has_contents,
    )
    return {
        "file": str(path),
        "schema_revision": done.header.schema_revision,
        "source": done.header.source,
        "created_at": done.header.created_at,
        "rows": done.rows,
        "checkpoints": done.contents and {"whole": done.contents},
    }


def migrate(
    database_url: str | None = None, *, check: bool = False, json_lines: bool = False
) -> int:
    """Brings a database's schema up to date; with `check` only says whether that is due.

    Returns:
        Exit status: 0 fine, 1 a migration is due (`check`) or the file is being served, 2 for a URL
        of no database.
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
        print(f"error: {error.detail}", file=sys.stderr)
        return 2 if isinstance(error, InvalidInput) else 1


def _say_schema(is_current: bool, *, json_lines: bool) -> None:
    if json_lines:
        print(json.dumps({"schema_current": is_current}))
    else:
        print("schema: current" if is_current else "schema: a migration is due")


class LocalTokens:
    """Tokens straight in the database, also beside a running service: for the first one."""

    def __init__(self, database_url: str | None = None) -> None:
        settings = _settings(database_url)
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
        # Loaded here: no other command on a database needs the numerics.
        from .service.replay import Replayer

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
