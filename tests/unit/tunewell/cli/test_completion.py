"""What the shell is offered after Tab, by a service of our own making that may be slow."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from tunewell.cli.completion import LIMIT_S, study_files, study_names, worker_names


class Handler(BaseHTTPRequestHandler):
    """Lists two studies and a worker to whoever has the token."""

    def do_GET(self) -> None:
        allowed = self.headers.get("Authorization") == "Bearer tw_x"
        kind = "workers" if "workers" in self.path else "studies"
        names = ["gpu-a"] if kind == "workers" else ["mnist-lr", "mnist-\x1b[1m", "rf"]
        body = json.dumps({kind: [{"name": name} for name in names]}).encode()
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def context(url: str, token: str = "tw_x") -> typer.Context:
    return cast("typer.Context", SimpleNamespace(params={"url": url, "token": token}))


def test_names_that_begin_so_are_offered_if_a_terminal_can_show_them(url: str) -> None:
    assert study_names(context(url), "mni") == ["mnist-lr"]
    assert study_names(context(url), "") == ["mnist-lr", "rf"]
    assert worker_names(context(url), "gpu") == ["gpu-a"]


def test_nobody_is_offered_anything_without_a_token_or_a_service(url: str) -> None:
    assert study_names(context(url, "tw_wrong"), "") == []
    assert study_names(context("http://127.0.0.1:9"), "") == []
    assert study_names(context("tune:8700"), "") == []


def test_a_service_that_says_nothing_is_given_up_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begun = time.monotonic()
        found = study_names(context(f"http://127.0.0.1:{silent.getsockname()[1]}"), "")
        assert found == []
        assert time.monotonic() - begun < LIMIT_S + 0.7


def test_files_and_examples_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist.json").touch()
    (tmp_path / "mnist.txt").touch()
    (tmp_path / "mnested").mkdir()
    (tmp_path / "mnested" / "a.json").touch()
    assert study_files("mn")[:2] == ["mnested", "mnist.json"]
    assert "mnist-random" in study_files("mn")
    assert study_files("mnested/") == ["mnested/a.json"]


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("bash", {"COMP_WORDS": "tunewell study show rf", "COMP_CWORD": "3"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "tunewell study show rf"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "tunewell study show rf",
                  "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)  # fmt: skip
def test_each_shell_is_told_in_its_own_way(
    url: str, shell: str, environment: dict[str, str]
) -> None:
    told = {
        "_TUNEWELL_COMPLETE": f"complete_{shell}",
        "TUNEWELL_URL": url,
        "TUNEWELL_TOKEN": "tw_x",
    }
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "tunewell"],
        env={**os.environ, **told, **environment},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "rf" in ran.stdout
    assert "mnist" not in ran.stdout
