"""Fixtures of the system tests: a real service on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .running import Service


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for the processes of one test."""
    made = tmp_path / "processes"
    made.mkdir()
    return made


@pytest.fixture
def saving_service(folder: Path, database_url: str, tmp_path: Path) -> Iterator[Service]:
    """One that keeps checkpoints, on both databases."""
    settings = {
        "TUNEWELL_LEASE_TTL_S": "2",
        "TUNEWELL_CHECKPOINT_DIR": str(tmp_path / "checkpoints"),
    }
    made = Service(folder, database_url, settings)
    made.start()
    yield made
    made.end()


@pytest.fixture
def service(folder: Path, database_url: str) -> Iterator[Service]:
    """A running service with leases of 2 s, on SQLite and on Postgres."""
    made = Service(folder, database_url, {"TUNEWELL_LEASE_TTL_S": "2"})
    made.start()
    yield made
    made.end()
