"""SQL statements and commits of one lifecycle, counted exactly: the real application in this
process, with hooks on the engine of the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import Engine, event

from app.api import build
from app.service.services import Services
from app.settings import Settings
from app.store import schema
from app.store.opening import open_store

from .lifecycle import N_REPORTS, definition

_CONTROL = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


@dataclass
class Counted:
    """What went to the database."""

    statements: list[str] = field(default_factory=list)
    n_commits: int = 0


@contextmanager
def counting() -> Iterator[Counted]:
    """Counts the statements and commits of all engines while the block runs."""
    counted = Counted()

    def on_statement(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.lstrip().upper().startswith(_CONTROL):
            counted.statements.append(statement)

    def on_commit(_connection: Any) -> None:
        counted.n_commits += 1

    event.listen(Engine, "before_cursor_execute", on_statement)
    event.listen(Engine, "commit", on_commit)
    try:
        yield counted
    finally:
        event.remove(Engine, "before_cursor_execute", on_statement)
        event.remove(Engine, "commit", on_commit)


async def per_lifecycle(database_url: str) -> dict[str, Counted]:
    """What the ask, the three reports and the tell of one trial send to the database.

    It is the third trial of its study; auth is off and known to be.
    """
    schema.upgrade(database_url)
    store = open_store(database_url)
    settings = Settings(database_url=database_url, sweep_s=3600)
    services = Services(store, settings)
    app = build(settings)
    app.state.services = services
    transport = httpx.ASGITransport(app=app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            made = await client.post("/v1/studies", json=definition("counted"))
            study_id = made.raise_for_status().json()["id"]
            for _ in range(3):
                found = await _one(client, services, study_id)
        return found
    finally:
        await services.stop()
        store.close()


async def _one(client: httpx.AsyncClient, services: Services, study_id: str) -> dict[str, Counted]:
    found: dict[str, Counted] = {}

    async def step(name: str, path: str, body: dict[str, Any]) -> Any:
        services.tokens.auth_required()  # remembered for half a second, whatever calls come
        with counting() as counted:
            answer = await client.post(path, json=body)
        before = found.setdefault(name, Counted())
        before.statements += counted.statements
        before.n_commits += counted.n_commits
        return answer.raise_for_status().json()

    asked = await step("ask", f"/v1/studies/{study_id}:suggest", {"client_id": "c"})
    trial = asked["trials"][0]
    at, lease_id = f"/v1/trials/{trial['id']}", trial["lease_id"]
    for k in range(1, N_REPORTS + 1):
        point = {"step": k, "values": {"value": 1.0 / k}}
        report = {"lease_id": lease_id, "seq": k, "points": [point]}
        await step("reports", f"{at}/measurements", report)
    told = {"lease_id": lease_id, "state": "completed", "values": {"value": 9.0}}
    await step("tell", f"{at}:complete", told)
    return found
