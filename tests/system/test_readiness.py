"""`readyz` turns red when the database or the writer is stuck, soon, and green again after."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests import postgres

from .running import Process, Service, tunewell

SOON_S = 10.0
"""A look of 2 s, on a machine that may be busy."""


def look(service: Service) -> tuple[int, dict[str, Any]]:
    """The answer of `readyz`, which must come soon; the process itself must be fine."""
    begun = time.monotonic()
    answer = httpx.get(f"{service.url}/readyz", timeout=60)
    assert time.monotonic() - begun < SOON_S
    assert httpx.get(f"{service.url}/healthz", timeout=60).status_code == 200
    found: dict[str, Any] = answer.json()
    return answer.status_code, found


def wait_for(service: Service, status: int) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = look(service)
        if found[0] == status:
            return found[1]
    raise AssertionError(f"readyz never became {status}")


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_writer_that_waits_for_a_lock_makes_it_red(service: Service, database_url: str) -> None:
    assert look(service)[0] == 200
    file = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        status, found = look(service)
        assert (status, found["code"]) == (503, "storage-busy")
        assert (found["database"], found["writer"]) == ("ok", "no-answer")
        holder.execute("ROLLBACK")
    assert wait_for(service, 200)["writer"] == "ok"


@pytest.fixture
def private_postgres(tmp_path: Path) -> Iterator[Any]:
    """A server of this test's own, for it is stopped."""
    folder = tmp_path / "pg"
    folder.mkdir()
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)  # as root the server runs as a user of its own
    server = postgres._server(folder)
    yield server
    server.stop()


def stop_still(process: psutil.Process) -> None:
    """Stands still when this returns: a signal that was sent has not been taken yet."""
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
        assert time.monotonic() < deadline


@contextmanager
def suspended(server: Any) -> Iterator[None]:
    """Every process of the server stands still: nothing is answered, nothing is refused.

    The postmaster is stopped before its children are listed: a connection that a service opens
    between the two would have a process that nobody stops.
    """
    postmaster = psutil.Process(server.get_pid())
    processes = [postmaster]
    try:
        stop_still(postmaster)
        for child in postmaster.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                processes.append(child)
                stop_still(child)
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def test_a_postgres_that_stands_still_or_is_gone_makes_it_red(
    private_postgres: Any, folder: Path
) -> None:
    url = str(private_postgres.get_uri(database="postgres"))
    service = Service(folder, url, {})
    service.start()
    try:
        assert look(service)[0] == 200
        with suspended(private_postgres):
            status, found = look(service)
            assert (status, found["database"]) == (503, "no-answer")
        assert wait_for(service, 200)["database"] == "ok"
        private_postgres.stop()
        assert wait_for(service, 503)["database"] == "no-answer"
    finally:
        service.end()


def test_a_database_that_hangs_does_not_keep_a_service_that_is_told_to_stop(
    private_postgres: Any, folder: Path
) -> None:
    url = str(private_postgres.get_uri(database="postgres"))
    command = tunewell("serve", "--port", "0", "--database-url", url, "--json")
    process = Process(command, folder, {"TUNEWELL_GRACE_S": "0"})
    address = json.loads(process.line("ready"))["url"]
    with suspended(private_postgres):
        answer = httpx.get(f"{address}/readyz", timeout=60)
        assert answer.status_code == 503, answer.text
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(timeout=60) == 1
    process.end()
    assert "stop_overdue" in process.errors.read_text()
