"""What the command line does with a database itself, beside a running service or without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .clock import SystemClock
from .settings import Settings
from .store import backup as backups
from .store import restore as restores
from .store.copying import Progress


def backup(database_url: str | None, path: Path, progress: Progress) -> dict[str, Any]:
    """Backs the database up into a new file; None for the default database."""
    url = Settings().database_url if database_url is None else database_url
    made = backups.backup(url, path, now=SystemClock().now(), progress=progress)
    return {
        "file": str(path),
        "schema_revision": made.schema_revision,
        "rows": made.rows,
        "size_bytes": made.size_bytes,
    }


def restore(path: Path, database_url: str, progress: Progress) -> dict[str, Any]:
    """Restores a backup into an empty database."""
    done = restores.restore(path, database_url, progress=progress)
    return {
        "file": str(path),
        "schema_revision": done.header.schema_revision,
        "source": done.header.source,
        "created_at": done.header.created_at,
        "rows": done.rows,
    }
