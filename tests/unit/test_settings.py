"""The settings as they are documented and as the command line takes them."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import DAY_S, Settings, misspelt
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


@pytest.mark.parametrize("name", ["lease_ttl_s", "sweep_s", "idle_timeout_s", "rate_limit_per_s"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_number_is_finite(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({name: value})


@pytest.mark.parametrize("given", ["", "*", "127.0.0.1", "10.0.0.0/8, ::1", "fd00::/8,10.1.2.3"])
def test_proxies_are_addresses_and_networks(given: str) -> None:
    assert Settings(trusted_proxies=given).trusted_proxies == given


@pytest.mark.parametrize("given", ["proxy", "10.0.0.0/33", "10.0.0.5/8", "127.0.0.1,nginx:80"])
def test_a_proxy_that_would_never_be_trusted_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="names are not looked up"):
        Settings(trusted_proxies=given)


def test_a_setting_that_is_misspelt_is_told() -> None:
    names = ["TUNEWELL_LEASE_TTL", "TUNEWELL_PORTS", "TUNEWELL_TRUSTED_PROXY", "TUNEWELL_PORT"]
    others = ("URL", "TOKEN", "DATA_DIR", "STATE_DIR", "TOKEN_FOLDER", "WORKER_TOKEN_FOLDER")
    assert list(misspelt([*names, *(f"TUNEWELL_{name}" for name in others), "PATH"])) == [
        ("TUNEWELL_LEASE_TTL", "TUNEWELL_LEASE_TTL_S"),
        ("TUNEWELL_PORTS", "TUNEWELL_PORT"),
        ("TUNEWELL_TRUSTED_PROXY", "TUNEWELL_TRUSTED_PROXIES"),
    ]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:////srv/a.db", "/srv/a.db.checkpoints"),
        ("sqlite:///a.db?timeout=7", "a.db.checkpoints"),
        ("sqlite+pysqlite:///a.db", "a.db.checkpoints"),
        ("postgresql://me@/a", None),
    ],
)
def test_checkpoints_lie_beside_a_file_however_it_is_written(url: str, place: str | None) -> None:
    assert Settings(database_url=url, checkpoint_dir="").checkpoint_place() == place
    assert Settings(database_url=url, checkpoint_dir="/x").checkpoint_place() == "/x"
