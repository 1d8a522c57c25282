"""The wheel carries everything, under names that cannot meet a user's own packages."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pages import ROOT, marked


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs lines where an environment is active that has all of this one's packages but ours.

    So pip finds what the wheel needs, and asks no index.
    """
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    here, there = (
        Path(sysconfig.get_path("purelib", vars={"base": str(base)}))
        for base in (sys.prefix, folder / "venv")
    )
    (folder / "packages").mkdir()
    for entry in here.iterdir():
        if "tunewell" not in entry.name and entry.suffix != ".pth":
            (folder / "packages" / entry.name).symlink_to(entry)
    (there / "others.pth").write_text(f"{folder / 'packages'}\n")
    programs = folder / "venv" / "bin"
    (programs / "pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n')
    (programs / "pip").chmod(0o755)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # how pip spells "no isolation" in a variable
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(folder / "dist"),
        "TUNEWELL_DATA_DIR": str(folder / "no-data"),
    }

    def run_lines(text: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text.replace("dist .", f"dist {ROOT}")],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run_lines


@pytest.fixture(scope="module")
def site(shell: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's wheel unpacked, as pip would lay it."""
    make, *_ = marked("the wheel").splitlines()
    shell(make)
    wheel = shell("ls $PWD/dist/tunewell-*.whl").strip()
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_is_installed_as_the_pages_have_it(
    shell: Callable[[str], str], site: Path
) -> None:
    *first, last = marked("the wheel").splitlines()
    assert last == "tunewell demo"  # what that does is for the slow test below
    shell(first[-1])
    for name in ("a worker's wheel", "Ray on every node"):
        shell(marked(name))
    said = shell("cd / && tunewell --version && python -c 'import tunewell; print(tunewell)'")
    assert "/venv/" in said


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(shell: Callable[[str], str]) -> None:
    said = shell(marked("the wheel"))
    assert [line.split()[0] for line in said.splitlines()[-3:]] == ["random", "gp", "tpe"]


@pytest.mark.slow
def test_make_runs_the_demo(tmp_path: Path) -> None:
    # What `make install` does to the environment that runs this test is done already.
    command = ["make", "--old-file", ".venv/.installed", *marked("make demo").split()[1:]]
    env = {**os.environ, "HOME": str(tmp_path), "TUNEWELL_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[-3:]] == ["random", "gp", "tpe"]


def run(site: Path, cwd: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tunewell", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_packages_have_names_of_their_own(site: Path) -> None:
    packages = sorted(p.name for p in site.iterdir() if (p / "__init__.py").is_file())
    assert packages == ["tunewell", "tunewell_app", "tunewell_migrations", "tunewell_workers"]


@pytest.mark.parametrize(
    "pattern",
    [
        "tunewell/example_studies/mnist-random.json",
        "tunewell/py.typed",
        "tunewell_migrations/versions/*.py",
        "tunewell_app/dashboard/templates/*.html",
        "tunewell_app/dashboard/static/lib/*.js",
        "tunewell_app/dashboard/static/pages/study/*.js",
        "tunewell_app/dashboard/static/vendor/*.js",
        "tunewell_workers/objectives/data/cal_housing_raw.csv.gz",
        "tunewell_workers/objectives/data/mnist-5k-*.gz",
        "tunewell-*.dist-info/licenses/NOTICE",
    ],
)
def test_what_is_no_code_travels_along(site: Path, pattern: str) -> None:
    assert list(site.glob(pattern)), f"nothing like {pattern} in the wheel"


def test_a_database_is_migrated_from_the_wheel_beside_a_folder_named_app(
    site: Path, tmp_path: Path
) -> None:
    for name in ("app", "workers", "migrations"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('the user own package')\n")
    url = f"sqlite:///{tmp_path / 'tunewell.db'}"
    done = run(site, tmp_path, "migrate", "--database-url", url)
    assert done.returncode == 0, done.stderr
    assert run(site, tmp_path, "migrate", "--check", "--database-url", url).returncode == 0
