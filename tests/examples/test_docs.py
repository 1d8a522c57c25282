"""Every code block of the tutorials and of pages made for copying, run as it stands, page by page.

A comment before a block says how: `<!-- background -->` starts it and goes on (the service is the
one of these tests), `<!-- shown: WHY -->` means that it cannot run here; then its syntax is looked
at, and whether its commands and their options are there. A block that a page says to save is
written to that file, and a definition to NAME.json.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tunewell.cli.app import Later
from tunewell.cli.root import root
from tunewell.private import Local

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = {
    "examples/curl.md": "test_curl.py",
    "docs/how-to/own-code.md": "test_pages.py",
    "docs/how-to/checkpoints.md": "test_pages.py",
    "docs/how-to/early-stopping.md": "test_pages.py",
    "docs/how-to/history.md": "test_pages.py",
    "docs/how-to/python.md": "../sdk/test_pages.py",
    "docs/reference/study-definition.md": "../unit/domain/test_reference.py",
}
"""Pages whose blocks other tests run."""
PAGES = sorted(
    page
    for page in [
        ROOT / "README.md",
        *DOCS.rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
    if "```" in page.read_text() and str(page.relative_to(ROOT)) not in ELSEWHERE
)
SYNTAX_ONLY = {"ini", "text", "nginx", "yaml", ""}
_BLOCK = re.compile(
    r"(?:<!-- (?P<how>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$"
    r"(?=(?:\s*Save it as `(?P<file>[\w.-]+)`)?)",
    re.DOTALL | re.MULTILINE,
)
TIMEOUT_S = 150


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A service of these pages' own: others have studies of the same names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWELL_DATA_DIR", str(tmp_path_factory.mktemp("no-data")))
        with Local(tmp_path_factory.mktemp("docs")) as running:
            running.start_worker(2)
            yield running


class Block(NamedTuple):
    """A code block of a page.

    Attributes:
        how: the comment before it, or nothing.
        file: what the text behind it says to save it as.
    """

    how: str
    language: str
    text: str
    file: str | None


def blocks(page: Path) -> list[Block]:
    return [
        Block(match["how"] or "", match["language"], match["text"], match["file"])
        for match in _BLOCK.finditer(page.read_text())
    ]


@contextmanager
def bench(local: Local, folder: Path) -> Iterator[dict[str, str]]:
    """An environment in which `tunewell` is this checkout's, and the service the tests' own."""
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    command = bin_folder / "tunewell"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m tunewell "$@"\n')
    command.chmod(0o755)
    (folder / "examples").symlink_to(ROOT / "examples")
    yield {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "TUNEWELL_URL": local.url,
        "TUNEWELL_STATE_DIR": str(folder / "state"),
        "TUNEWELL_DATA_DIR": str(folder / "no-data"),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def background(block: Block, folder: Path, env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        ["bash", "-euc", f"exec {block.text}"],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def run(command: list[str], folder: Path, env: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def look_at(block: Block) -> None:
    """What cannot run here is at least what it says it is."""
    if block.language == "python":
        ast.parse(block.text)
    elif block.language == "sh":
        subprocess.run(["bash", "-n", "-c", block.text], check=True, capture_output=True)
        text = block.text.replace("\\\n", " ")
        for line in re.findall(r"^ *tunewell (.*?)(?:  #.*)?$", text, re.MULTILINE):
            look_at_command(line)


def look_at_command(line: str) -> None:
    """The command is there, and takes the options that the line gives."""
    command: Any = root()
    words = [word for word in shlex.split(line, comments=True) if word not in (">", "|", "&&")]
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
        command = command.made() if isinstance(command, Later) else command
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: Path, local: Local, tmp_path: Path
) -> None:
    with bench(local, tmp_path) as env:
        if page.name == "tokens.md":
            # A service of its own: the first token closes it to those who have none.
            del env["TUNEWELL_URL"]
            env["TUNEWELL_DATABASE_URL"] = f"sqlite:///{tmp_path / 'tokens.db'}"
            run(["tunewell", "migrate"], tmp_path, env)
        _follow(blocks(page), tmp_path, env)


def _follow(rest: list[Block], folder: Path, env: dict[str, str]) -> None:
    for k, block in enumerate(rest):
        if block.how.startswith(("shown:", "test:")):  # a test of its own runs the latter
            look_at(block)
        elif block.how == "background" and "objective " in block.text:
            with background(block, folder, env):
                return _follow(rest[k + 1 :], folder, env)
        elif block.how == "background":
            look_at(block)  # the tests' own service and worker do it
        elif block.file is not None:
            (folder / block.file).write_text(block.text)
        elif block.language == "json":
            definition = json.loads(block.text)
            (folder / f"{definition['name']}.json").write_text(block.text)
        elif block.language == "python":
            run([sys.executable, "-c", block.text], folder, env)
        elif block.language == "sh":
            run(["bash", "-euc", block.text], folder, env)
        else:
            assert block.language in SYNTAX_ONLY, block
    return None


def test_links_between_pages_lead_somewhere() -> None:
    missing = []
    for page in [ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)", page.read_text()):
            if not (page.parent / target[0]).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target[0]}")
    assert missing == []


def _anchor(heading: str) -> str:
    text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return text.replace(" ", "-")


def test_links_to_headings_lead_to_one() -> None:
    missing = []
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", page.read_text()):
            where = (page.parent / target) if target else page
            headings = re.findall(r"^#+ (.*)$", where.read_text(), re.MULTILINE)
            if anchor not in map(_anchor, headings):
                missing.append(f"{page.relative_to(ROOT)}: {target}#{anchor}")
    assert missing == []


@pytest.mark.slow
def test_the_site_is_built(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    (tmp_path / "zensical.toml").write_text((ROOT / "zensical.toml").read_text())
    subprocess.run([sys.executable, "-m", "zensical", "build"], cwd=tmp_path, check=True)
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    built = {page.relative_to(tmp_path / "build/site") for page in tmp_path.rglob("*.html")}
    assert pages - {Path("README.html")} <= built
    navigation = (ROOT / "zensical.toml").read_text()
    assert [
        page for page in DOCS.rglob("*.md") if f'"{page.relative_to(DOCS)}"' not in navigation
    ] == []
