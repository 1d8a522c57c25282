"""One private service for all tests of the SDK, as a script gets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tunewell as tw


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared service has its files."""
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="package")
def client(folder: Path) -> Iterator[tw.Client]:
    """A client of a service that was started by `tunewell.local`, with its own token."""
    with tw.local(folder) as made:
        yield made


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test is a script of its own: nothing of another is kept for it."""
    from tunewell import identity

    monkeypatch.setenv("TUNEWELL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("TUNEWELL_URL", raising=False)
    monkeypatch.delenv("TUNEWELL_TOKEN", raising=False)
    identity._forget()


@pytest.fixture
def study(client: tw.Client, request: pytest.FixtureRequest) -> tw.Study:
    """A fresh study of three random trials, named after the test."""
    return client.studies.create(
        request.node.name[:100],
        [tw.Float("x", -1.0, 1.0)],
        tw.minimize("value"),
        max_trials=3,
        suggester="random",
        seed=1,
    )
