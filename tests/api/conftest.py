"""Fixtures of the API tests: the real services on SQLite behind the real application."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.api import build
from app.api.description import document
from app.domain.token import Role
from app.service.services import Services
from app.settings import Settings
from app.store import schema
from app.store.engine import Store
from app.store.opening import open_store

from ..warm import warm_fits
from .contract import Contract

BASE = "http://127.0.0.1:8700"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database that each test gets a copy of."""
    path = tmp_path_factory.mktemp("database") / "empty.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    path = tmp_path / "tunewell.db"
    for file in empty_database.parent.glob("empty.db*"):
        shutil.copy(file, path.with_name(file.name.replace("empty.db", "tunewell.db")))
    opened = open_store(f"sqlite:///{path}", pool_size=4)
    yield opened
    opened.close()


@pytest.fixture(autouse=True, scope="package")
def _warm_fits() -> Iterator[None]:
    with warm_fits():
        yield


@pytest.fixture
def settings(store: Store) -> Settings:
    return Settings(database_url=store.url, body_limit_bytes=200_000, pool_size=4, sweep_s=3600)


@pytest.fixture
async def services(store: Store, settings: Settings) -> AsyncIterator[Services]:
    made = Services(store, settings)
    yield made
    await made.stop()


@pytest.fixture
def app(services: Services, settings: Settings) -> FastAPI:
    made = build(settings)
    made.state.services = services
    return made


@pytest.fixture(scope="session")
def contract() -> Contract:
    return Contract(document(build(Settings())))


@pytest.fixture
async def http(app: FastAPI, contract: Contract) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application with auth off; every answer is held against the OpenAPI page."""
    async with client_of(app, contract) as client:
        yield client


def client_of(app: FastAPI, contract: Contract, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(
        transport=transport,
        base_url=BASE,
        headers=headers,
        event_hooks={"response": [contract.check]},
    )


@pytest.fixture
def tokens(services: Services) -> dict[Role, str]:
    """A secret of each role; auth is on from here."""
    return {role: services.tokens.create(role.value, role, None)[1] for role in Role}


def definition(name: str = "study", **more: Any) -> dict[str, Any]:
    """A small study that clients evaluate themselves."""
    return {
        "name": name,
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
        "suggester": {"name": "random", "seed": 7},
        **more,
    }


async def create(http: httpx.AsyncClient, name: str = "study", **more: Any) -> dict[str, Any]:
    """A study, created."""
    answer = await http.post("/v1/studies", json=definition(name, **more))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def ask(http: httpx.AsyncClient, study_id: str) -> dict[str, Any]:
    """One trial to evaluate."""
    answer = await http.post(f"/v1/studies/{study_id}:suggest", json={})
    assert answer.status_code == 200, answer.text
    trial: dict[str, Any] = answer.json()["trials"][0]
    return trial


async def tell(http: httpx.AsyncClient, trial: dict[str, Any], value: float) -> dict[str, Any]:
    """Completes a trial."""
    body = {"lease_id": trial["lease_id"], "state": "completed", "values": {"value": value}}
    answer = await http.post(f"/v1/trials/{trial['id']}:complete", json=body)
    assert answer.status_code == 200, answer.text
    ended: dict[str, Any] = answer.json()
    return ended
