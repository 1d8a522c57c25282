"""Auth stays on from the first token on: in every running process, across restarts, and whatever
becomes of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.store.opening import open_store
from app.store.tables import tokens

from .running import Process, Service, tunewell

PASSWORD = "hunter2secret"


@pytest.fixture
def replicas(folder: Path, database_url: str, dialect: str) -> Iterator[list[Service]]:
    """Running services on one database: two where that can be."""
    made = [Service(folder, database_url, {}) for _ in range(2 if dialect == "postgresql" else 1)]
    for each in made:
        each.start()
    yield made
    for each in made:
        each.end()


def statuses(replicas: list[Service], headers: dict[str, str] | None = None) -> set[int]:
    return {
        httpx.get(f"{each.url}/v1/studies", headers=headers, timeout=60).status_code
        for each in replicas
    }


def token(folder: Path, database_url: str, *args: str) -> str:
    """Runs a `tunewell token` command straight on the database; its last line."""
    command = Process(tunewell("token", *args, "--database-url", database_url), folder)
    assert command.process.wait(timeout=60) == 0, command.errors.read_text()
    command.end()
    lines = []
    while (line := command.lines.get(timeout=10)) is not None:
        lines.append(line.strip())
    return lines[-1]


def test_auth_never_reopens(replicas: list[Service], folder: Path, database_url: str) -> None:
    assert statuses(replicas) == {200}
    secret = token(folder, database_url, "create", "--role", "admin", "--name", "me", "--quiet")
    granted = {"Authorization": f"Bearer {secret}"}
    assert statuses(replicas) == {401}
    assert statuses(replicas, granted) == {200}

    own = httpx.get(f"{replicas[0].url}/v1/session", headers=granted).json()["token_id"]
    token(folder, database_url, "revoke", own)
    assert statuses(replicas, granted) == {401}
    assert statuses(replicas) == {401}

    store = open_store(database_url, pool_size=2)
    store.write(lambda tx: tx.conn.execute(tokens.delete()))
    store.close()
    assert statuses(replicas) == {401}
    for each in replicas:
        each.kill()
        each.start()
    assert statuses(replicas) == {401}


def test_no_password_of_a_database_is_said(folder: Path) -> None:
    url = f"postgresql://me:{PASSWORD}@127.0.0.1:1/none"
    env = {"TUNEWELL_DATABASE_URL": url}
    for command in (["serve", "--port", "0"], ["migrate"], ["token", "list"]):
        process = Process(tunewell(*command), folder, env)
        assert process.process.wait(timeout=120) != 0
        process.end()
        said = process.errors.read_text()
        while (line := process.lines.get(timeout=10)) is not None:
            said += line
        assert said
        assert PASSWORD not in said
