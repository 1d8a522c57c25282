"""What is said when the service cannot begin."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from app.main import _refusal, _unheard, serve
from app.settings import Settings


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = _unheard(Settings(host="127.0.0.1", port=port)).splitlines()
    assert said[0] == f"error: cannot listen on 127.0.0.1 port {port}: address already in use"
    assert said[1].startswith("  end what listens there, or choose another: --port")


def test_a_service_for_others_needs_a_token_first() -> None:
    said = _refusal(Settings(host="0.0.0.0", database_url="sqlite:///x.db"))
    assert said.startswith("error: refusing to listen on 0.0.0.0 without a token")
    assert said.endswith(
        "tunewell token create --role admin --name me --database-url sqlite:///x.db"
    )


def test_checkpoints_that_could_not_be_kept_are_told_before_it_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.main.configure_logging", lambda level: None)
    (tmp_path / "file").touch()
    for place, reason in (
        ("nosuch://bucket/prefix", "nosuch://"),
        (str(tmp_path / "file" / "folder"), f"{tmp_path / 'file'} cannot be written"),
    ):
        database_url = f"sqlite:///{tmp_path / 'a.db'}"
        assert serve(database_url=database_url, port=0, checkpoint_dir=place) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert reason in said
