"""The wheel carries everything, under names that cannot meet a user's own packages."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel unpacked, as pip would lay it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("tunewell-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


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
