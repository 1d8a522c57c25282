"""Objectives run on the shipped data, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from workers.objectives.denormals import flushed


@pytest.fixture(autouse=True)
def _shipped_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEWELL_DOWNLOAD", "0")
    monkeypatch.setenv("TUNEWELL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def _as_in_a_trial() -> Iterator[None]:
    """One thread; those that torch begins for the first test that takes several are as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with flushed():
        yield
    torch.set_num_threads(before)
