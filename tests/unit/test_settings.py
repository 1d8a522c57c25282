"""The settings as they are documented and as the command line takes them."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import DAY_S, Settings
from tunewell.cli.service import serve

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "retention.md"
KEPT = [name for name in Settings.model_fields if name.startswith("keep_")]


@pytest.mark.parametrize("name", KEPT)
def test_how_long_things_are_kept_is_documented_and_a_flag(name: str) -> None:
    found = re.search(rf"^\|.*\| (.*) \| `TUNEWELL_{name.upper()}`", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    default = Settings.model_fields[name].default
    if default is not None:
        assert f"{default / DAY_S:g} days" in found[1]
    assert name in signature(serve).parameters


@pytest.mark.parametrize("name", KEPT)
def test_nothing_is_kept_for_less_than_a_minute(name: str) -> None:
    assert getattr(Settings(**{name: 60}), name) == 60.0
    with pytest.raises(ValidationError):
        Settings(**{name: 59.9})
