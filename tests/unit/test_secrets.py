"""No secret in a repr, and none in what settings print."""

from __future__ import annotations

import re
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.api.schemas.sessions import SignInBody
from app.domain import session
from app.domain.token import Role, Token
from app.settings import Settings, masked_url

PASSWORD = "hunter2-S3cr%40et"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{PASSWORD}@host/db", "postgresql://me:***@host/db"),
        (f"postgresql://me:a:{PASSWORD}@host:5432/db", "postgresql://me:***@host:5432/db"),
        (f"postgresql://me:p@{PASSWORD}@host/db", "postgresql://me:***@host/db"),
        (
            f"postgresql://host/db?user=me&password={PASSWORD}",
            "postgresql://host/db?user=me&password=***",
        ),
        (
            f"postgresql://host/db?sslpassword={PASSWORD}&x=1",
            "postgresql://host/db?sslpassword=***&x=1",
        ),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:////tmp/a@b:c.db", "sqlite:////tmp/a@b:c.db"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_a_password_in_a_database_url_is_hidden(url: str, shown: str) -> None:
    assert masked_url(url) == shown


def test_settings_print_no_secret() -> None:
    settings = Settings(database_url=f"postgresql://me:{PASSWORD}@host/db")
    for text in (repr(settings), str(settings), f"{settings}", str(settings.masked())):
        assert PASSWORD not in text
        assert "***" in text
    assert "port=8700" in repr(settings)


def test_settings_that_are_called_secret_are_hidden_whoever_adds_them() -> None:
    class More(Settings):
        webhook_secret: str = "abc-secret"
        other_password: str = ""

    assert "abc-secret" not in repr(More())
    assert More().masked()["webhook_secret"] == "***"
    assert More().masked()["other_password"] == ""


def test_a_token_holds_no_secret() -> None:
    """Only how the secret begins, to tell tokens apart."""
    assert {field.name for field in fields(Token)} == {
        "id",
        "name",
        "role",
        "prefix",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    }
    token = Token(
        id="tk_1", name="n", role=Role.ADMIN, prefix="tw_abcde", created_at=datetime.now(UTC)
    )
    assert len(token.prefix) == 8


def test_a_session_prints_neither_its_cookie_nor_its_csrf_token() -> None:
    key = b"k" * 32
    made = session.sign(key, "tk_1", datetime.now(UTC), "nonce")
    assert session.read(key, made.cookie) is not None
    assert made.cookie not in repr(made)
    assert made.csrf_token not in repr(made)
    assert session.read(b"x" * 32, made.cookie) is None


def test_a_sign_in_body_prints_no_token() -> None:
    assert "tw_abc" not in repr(SignInBody(token="tw_abc"))


def test_the_security_page_tells_each_setting_and_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `TUNEWELL_(\w+)` \| `([^`]*)` \|", text, re.MULTILINE))
    assert len(told) == 9
    for name, default in told.items():
        assert str(Settings.model_fields[name.lower()].default) == default, name


def test_the_security_page_names_tests_that_exist() -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text))
    assert len(named) >= 8
    assert [name for name in named if not (root / name).exists()] == []
