"""The browser is found, or installed where that is allowed, else it is said what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from .chromium import PACKAGES, VARIABLE, NoBrowser, find, main

WORKS = "#!/bin/sh\necho Chromium 1.0\n"
FAILS = "#!/bin/sh\necho 'get it from the shop' >&2\nexit 1\n"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; nothing was downloaded and nothing can be."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "downloads"))
    monkeypatch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:9")
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path / "bin"


def program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_variable_comes_before_the_path(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path / "chromium", WORKS)
    given = program(path / "mine", WORKS)
    monkeypatch.setenv(VARIABLE, str(given))
    assert find() == given


def test_a_variable_that_names_no_browser_is_an_error_even_where_there_is_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(path / "chromium", WORKS)
    monkeypatch.setenv(VARIABLE, str(program(path / "mine", FAILS)))
    with pytest.raises(NoBrowser, match=f"{VARIABLE} is .*mine"):
        find()


def test_a_name_on_the_path_that_is_no_browser_is_passed_over(path: Path) -> None:
    program(path / "chromium-browser", FAILS)
    chrome = program(path / "google-chrome", WORKS)
    assert find() == chrome


def test_what_debian_installs_is_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    said = path.parent / "said"
    program(path.parent / "packed", WORKS)
    unpack = f"if [ $1 = install ]; then /bin/cp {path.parent}/packed {path}/chromium; fi"
    program(path / "apt-get", f"#!/bin/sh\necho $@ >> {said}\n{unpack}\n")
    assert find() == path / "chromium"
    update, install = said.read_text().splitlines()
    assert update == "update"
    assert install.endswith(" ".join(PACKAGES))


def test_where_nothing_works_it_says_what_was_tried_and_what_to_type(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    program(path / "apt-get", "#!/bin/sh\necho 'E: no such mirror' >&2\nexit 100\n")
    assert main() == 1
    said = capsys.readouterr().err
    assert f"apt-get install {' '.join(PACKAGES)}" in said
    assert "playwright install" in said
    assert f"export {VARIABLE}=" in said
    assert "update: exit status 100: E: no such mirror" in said
