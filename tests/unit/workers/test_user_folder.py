"""A user's objective from a folder that has an `app` and a `workers` of its own, as in the wheel
and as in
a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.processes import ROOT

from .fake_service import FakeService
from .helpers import LIMIT_S

OBJECTIVE = """
import tunewell
from app.settings import SCALE
from workers.main import offset


@tunewell.objective(name="mine", metrics={"value": "minimize"}, params={"x0": {"type": "number"}})
def mine(trial):
    return SCALE * trial.params["x0"] + offset()
"""
START = """
import sys
from tunewell._parts import part
options = {"slots": 1, "exit_when_idle": True, "objectives": ["training:mine"]}
sys.exit(part("workers", "main").run(url=sys.argv[1], **options))
"""


@pytest.fixture
def user_folder(tmp_path: Path) -> Path:
    """A folder with packages that have the names of ours."""
    folder = tmp_path / "mine"
    for package, module, content in (
        ("app", "settings", "SCALE = 10.0\n"),
        ("workers", "main", "def offset():\n    return 0.5\n"),
    ):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").write_text("")
        (folder / package / f"{module}.py").write_text(content)
    (folder / "training.py").write_text(OBJECTIVE)
    return folder


@pytest.fixture(params=["checkout", "wheel"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What stands on the path: the project itself, or the packages under the names of the wheel."""
    if request.param == "checkout":
        return ROOT
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "tunewell").symlink_to(ROOT / "tunewell")
    for name in ("app", "workers", "migrations"):
        (folder / f"tunewell_{name}").symlink_to(ROOT / name)
    return folder


def test_the_users_packages_are_the_users(
    service: FakeService, user_folder: Path, site: Path
) -> None:
    service.add("ls_1", "mine", params={"x0": 2.0})
    with subprocess.Popen(
        [sys.executable, "-P", "-c", START, service.url],
        cwd=user_folder,
        env={**os.environ, "PYTHONPATH": str(site)},
    ) as process:
        service.wait_for(service.ends)
        service.change(lambda: setattr(service, "open_work", False))
        assert process.wait(LIMIT_S) == 0
    what, body = service.ends()[0]
    assert (what, body.get("values")) == ("complete", {"value": 20.5}), body
    assert "x0" in service.registrations[0]["objectives"][-1]["params_schema"]["properties"]
