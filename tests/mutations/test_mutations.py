"""The named tests can fail: each does when its guard is taken out of a copy of the source."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from .guards import GUARDS, MODEL_TEST, UNSHRUNK, Cut, Guard

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("app", "docs", "examples", "migrations", "tests", "tunewell", "workers")
FILES = ("pyproject.toml", "alembic.ini", "README.md")
LIMIT_S = 600


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the source tree."""
    for name in PARTS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def outcome(copy: Path, tests: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """What pytest says of some tests in a copy; on SQLite, where that is a choice."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    environment |= {"PYTHONPATH": str(copy), "COLUMNS": "240"}  # wide: else it cuts the reasons
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            "-k", "not postgresql", *tests,
        ],
        cwd=copy, env=environment, timeout=LIMIT_S, capture_output=True, text=True, check=False,
    )  # fmt: skip


def apply(copy: Path, cut: Cut) -> None:
    path = copy / cut.path
    source = path.read_text()
    assert source.count(cut.guarded) == 1, f"{cut.path} has not exactly one {cut.guarded!r}"
    path.write_text(source.replace(cut.guarded, cut.unguarded))


@pytest.mark.slow
def test_the_named_tests_pass_with_their_guards(copy: Path) -> None:
    done = outcome(copy, [*(guard.test for guard in GUARDS), MODEL_TEST])
    assert done.returncode == 0, done.stdout


CASES = [(guard, guard.test) for guard in GUARDS] + [
    (guard, MODEL_TEST) for guard in GUARDS if guard.is_modelled
]


@pytest.mark.slow
@pytest.mark.parametrize(("guard", "test"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_a_named_test_fails_without_its_guard(
    guard: Guard, test: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for cut in (*guard.cuts, UNSHRUNK):
        apply(copy, cut)
    done = outcome(copy, [test])
    failed = re.findall(r"^FAILED (\S+)(?: - (.*))?$", done.stdout, re.MULTILINE)
    # 1: tests ran, and some failed; anything else would be an error of the copy.
    assert done.returncode == 1, done.stdout + done.stderr
    assert failed
    assert all(name.startswith(test) for name, _ in failed)
    with capsys.disabled():
        print(f"\n| {guard.name} | {test.split('::')[1]} | fails: {failed[0][1]} |")


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_each_guard_stands_in_the_source_once(guard: Guard) -> None:
    for cut in guard.cuts:
        assert (ROOT / cut.path).read_text().count(cut.guarded) == 1
