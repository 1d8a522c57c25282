"""A state folder, a log that is kept, and no download for every test of the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from workers import claimer

from .fake_service import FakeService


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWELL_DOWNLOAD", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TUNEWELL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("TUNEWELL_DATA_DIR", raising=False)
    monkeypatch.delenv("TUNEWELL_TOKEN", raising=False)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service that the tests play answers an idle worker at once."""
    monkeypatch.setattr(claimer, "DRAINED_PAUSE_S", 0.05)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as fake:
        yield fake
