"""Databases for every test that needs one: each on SQLite and on Postgres, fresh for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.store import schema
from app.store.engine import Store
from app.store.opening import open_store
from workers.processor import same_bits

from . import postgres as embedded
from .postgres import Postgres

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    # Set before numpy is loaded: more BLAS threads than one make processes that share cores slow.
    os.environ.setdefault(_name, "1")
for _name, _value in same_bits().items():
    os.environ.setdefault(_name, _value)  # as a worker's trials have it
# Tests use the data folder or the shipped data; none of them waits for a network.
os.environ["TUNEWELL_DOWNLOAD"] = "0"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        embedded.choose_folder()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        embedded.remove_folder()


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        given = getattr(item, "callspec", None)
        is_second = given is not None and given.params.get("dialect") == "postgresql"
        if is_second and item.get_closest_marker("one_database"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's Postgres server. Where it cannot start the test fails; it is never skipped."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "template.db"
    schema.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Which database; asking for it runs a test on both."""
    return str(request.param)


@pytest.fixture
def database_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database that exists and is empty: no migration has run."""
    with ExitStack() as stack:
        if dialect == "sqlite":
            yield f"sqlite:///{tmp_path / 'tunewell.db'}"
        else:
            server: Postgres = request.getfixturevalue("postgres")
            yield stack.enter_context(server.database(is_migrated=False))


@pytest.fixture
def migrated_url(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database with the newest schema and no rows."""
    with ExitStack() as stack:
        if dialect == "sqlite":
            path = tmp_path / "tunewell.db"
            shutil.copyfile(request.getfixturevalue("migrated_file"), path)
            yield f"sqlite:///{path}"
        else:
            server: Postgres = request.getfixturevalue("postgres")
            yield stack.enter_context(server.database(is_migrated=True))


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    """An open store with the newest schema and no rows; `store.clock.offset_s` moves its time."""
    opened = open_store(migrated_url)
    yield opened
    opened.close()
