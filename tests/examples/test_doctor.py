"""doctor against a real service, none, one that needs a token, and with a clock that is off."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.running import Service
from tunewell import checkup, cli
from tunewell._parts import part
from tunewell.private import Local

Checks = dict[str, dict[str, Any]]
Doctor = Callable[..., Checks]


@pytest.fixture
def doctor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Doctor:
    """Runs it with a data folder of its own; the findings by check, `result` for the counts."""
    for name in ("TUNEWELL_URL", "TUNEWELL_TOKEN", "TUNEWELL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    def call(*arguments: str, status: int) -> Checks:
        assert cli.run(["doctor", *arguments, "--json"]) == status
        lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        assert lines[-1]["exit_status"] == status
        return {line.get("check", line["type"]): line for line in lines}

    return call


def test_a_service_that_is_well_is_all_ok(local: Local, doctor: Doctor) -> None:
    found = doctor("--url", local.url, "--database-url", local.database_url, status=0)
    assert {each["verdict"] for name, each in found.items() if name != "result"} == {"ok"}
    assert found["service"]["data"]["version"] == found["versions"]["data"]["tunewell"]
    assert found["token"]["data"] == {
        "accepted": True, "token_id": None, "role": "admin", "expires_at": None,
    }  # fmt: skip
    assert found["database"]["data"] == {"found": True, "schema_current": True}
    assert abs(found["clock"]["data"]["ahead_s"]) < checkup.SKEW_LIMIT_S
    assert found["data"]["data"]["found"]


def test_people_are_told_in_lines_with_a_count(
    local: Local, doctor: Doctor, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["doctor", "--url", local.url]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].startswith("ok    tunewell ")
    assert lines[-1] == f"{len(lines) - 1} ok, 0 warnings, 0 failures"


def test_a_clock_that_is_off_is_a_warning(
    local: Local, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for off_s, side in ((41.0, "ahead of"), (-90.0, "behind")):
        monkeypatch.setattr(checkup, "now_s", lambda off_s=off_s: time.time() + off_s)
        found = doctor("--url", local.url, status=0)
        assert found["clock"]["verdict"] == "warn"
        assert found["clock"]["data"]["ahead_s"] == pytest.approx(off_s, abs=2)
        assert f"s {side} the service" in found["clock"]["text"]


def test_no_service_ends_with_3_and_the_rest_is_looked_at(doctor: Doctor) -> None:
    found = doctor("--url", "http://127.0.0.1:9", status=3)
    assert found["service"]["verdict"] == "FAIL"
    assert "start one: tunewell serve" in found["service"]["text"]
    assert {"versions", "devices", "data"} <= found.keys()
    assert "token" not in found


def test_a_token_is_named_with_its_role_and_its_end(tmp_path: Path, doctor: Doctor) -> None:
    service = Service(tmp_path, f"sqlite:///{tmp_path / 'own.db'}", {})
    service.start()
    try:
        made = service.call("POST", "/v1/tokens", {"name": "me", "role": "admin"})
        secret = made["secret"]
        service.http.headers["Authorization"] = f"Bearer {secret}"
        soon = {"name": "soon", "role": "reader", "expires_in_s": 7200}
        short = service.call("POST", "/v1/tokens", soon)
        at = ("--url", service.url)
        lasting = doctor(*at, "--token", secret, status=0)["token"]
        ending = doctor(*at, "--token", short["secret"], status=0)["token"]
        refused = doctor(*at, "--token", "tw_wrong", status=1)
    finally:
        service.end()
    assert lasting["text"] == f"token tk_..{made['id'][-2:]}: role admin, has no end"
    assert ending["verdict"] == "warn"
    assert ending["text"].endswith(
        ": role reader, ends in 2 h; make another before: tunewell token create"
    )
    assert refused["token"]["verdict"] == "FAIL"
    assert "--token or TUNEWELL_TOKEN" in refused["token"]["text"]


def test_a_database_that_is_behind_is_a_warning(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "old.db").touch()
    for url in (f"sqlite:///{tmp_path}/old.db", f"sqlite+pysqlite:///{tmp_path}/old.db?timeout=5"):
        found = doctor("--url", "http://127.0.0.1:9", "--database-url", url, status=3)
        assert found["database"]["verdict"] == "warn"
        assert "a migration is due" in found["database"]["text"]


def test_a_database_that_is_not_there_yet_is_well(doctor: Doctor, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db?timeout=5"
    found = doctor("--url", "http://127.0.0.1:9", "--database-url", url, status=3)
    assert found["database"]["data"] == {"found": False}
    assert f"{tmp_path}/new.db is not there yet" in found["database"]["text"]


def test_a_gpu_that_torch_cannot_use_is_a_failure(
    local: Local, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    devices = part("workers", "devices")
    gpu = devices.Device(index=0, kind="gpu", model="H200", memory_total_bytes=139 * 2**30)
    monkeypatch.setattr(devices, "gpus", lambda: [gpu])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = doctor("--url", local.url, status=1)["device"]
    assert found["text"] == "device 0: driver seen, torch has no CUDA -> docs/how-to/gpus.md"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    found = doctor("--url", local.url, status=0)["device"]
    assert (found["verdict"], found["text"]) == ("ok", "device 0: H200, 139 GiB")


def test_a_data_set_with_other_content_is_a_failure(
    local: Local, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = part("workers", "objectives.data")
    for name in data.MNIST.md5:
        (tmp_path / "mnist").mkdir(exist_ok=True)
        (tmp_path / "mnist" / name).write_bytes(b"other")
    monkeypatch.setenv("TUNEWELL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "MNIST_5K", data.MNIST)
    monkeypatch.setattr(data, "CALIFORNIA", data.MNIST)
    found = doctor("--url", local.url, status=1)["data"]
    assert found["verdict"] == "FAIL"
    assert "is corrupt: the md5" in found["text"]
