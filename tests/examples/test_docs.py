"""Every code block of the tutorials and of pages made for copying, run as it stands, page by page.

`tests/pages.py` says what the comments before blocks mean. A block that a page says to save is
written to that file, and a definition to NAME.json.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.pages import (
    DOCS,
    NOT_RUN,
    ROOT,
    WHOLE_PAGES,
    Block,
    all_pages,
    blocks,
    marks,
    name_of,
)
from tests.system.running import Service
from tunewell.cli.app import Later
from tunewell.cli.root import root

from .bench import Bench

PAGES = [
    page
    for page in all_pages()
    if name_of(page) not in WHOLE_PAGES
    and any(not block.how.startswith(("test:", "not run:")) for block in blocks(page))
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """What the pages that start no service find at the usual address."""
    folder = tmp_path_factory.mktemp("docs")
    made = Service(folder, f"sqlite:///{folder / 'tunewell.db'}", {})
    made.start()
    yield made
    made.end()


def _of_readme(bench: Bench) -> None:
    listed = json.loads(bench.run("tunewell study list --json"))["studies"]
    by_name = {study["name"]: study for study in listed}
    assert by_name["by-hand"]["trial_counts"] == {"completed": 8}
    for name, n_trials in (("cnn", 20), ("mnist-random", 10), ("parabola", 10)):
        assert by_name[name]["state"] == "completed"
        assert sum(by_name[name]["trial_counts"].values()) == n_trials
    assert by_name["own-command"]["state"] == "completed"


AFTERWARDS: dict[str, Callable[[Bench], None]] = {"README": _of_readme}
"""What has to be true once a page was followed, beside that nothing failed."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: Path, service: Service, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        bench = Bench(tmp_path, stack, service.url)
        for block in blocks(page):
            _follow(block, bench)
        AFTERWARDS.get(page.stem, lambda bench: None)(bench)


def _follow(block: Block, bench: Bench) -> None:
    if block.how.startswith(("test: ", "not run: ")):
        return
    assert block.how in ("", "background"), block
    if block.how:
        bench.stay(block.text)
    elif block.file is not None:
        (bench.folder / block.file).write_text(block.text)
    elif block.language == "json":
        definition = json.loads(block.text)
        (bench.folder / f"{definition['name']}.json").write_text(block.text)
    elif block.language == "python":
        bench.python(block.text)
    else:
        assert block.language == "sh", block
        bench.run(block.text)


def test_every_block_is_run_or_its_reason_is_given() -> None:
    assert set(marks("not run")) == set(NOT_RUN)
    tests = {path: path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    source = "".join(tests.values())
    assert [name for name in marks("test") if f'"{name}"' not in source] == []
    made = (DOCS / "make_reference.py").read_text()  # test_reference.py makes the same pages anew
    for page, test in WHOLE_PAGES.items():
        assert Path(page).name in tests[ROOT / "tests" / test] + made, page


@pytest.mark.parametrize("name", NOT_RUN)
def test_what_cannot_run_here_is_at_least_what_it_says(name: str) -> None:
    block = marks("not run")[name]
    if block.language == "python":
        ast.parse(block.text)
        return
    subprocess.run(["bash", "-n", "-c", block.text], check=True, capture_output=True)
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith(("make ", "tunewell ")):
            look_at_command(shlex.split(line, comments=True))


def look_at_command(words: list[str]) -> None:
    """The command is there, and takes the options that the line gives."""
    if words[:1] == ["make"]:
        subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        return
    assert words.pop(0) == "tunewell"
    command: Any = root()
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, words
        command = command.commands[words.pop(0)]
        command = command.made() if isinstance(command, Later) else command
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


_COMMAND = re.compile(r"`(tunewell [a-z][^`]*)`")


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.stem)
def test_commands_within_the_text_are_there_with_their_options(page: Path) -> None:
    for line in _COMMAND.findall(page.read_text()):
        if "{" not in line:
            look_at_command(shlex.split(line.replace("\n", " ")))


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
def test_the_site_is_built_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    for name in ("Makefile", "zensical.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    said = subprocess.run(
        ["make", "-n", "--old-file", ".venv/.installed", "docs"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    copying = [line for line in said.splitlines() if line.startswith(("rm ", "cp "))]
    subprocess.run(["bash", "-euc", "\n".join(copying)], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "zensical", "build"], cwd=tmp_path, check=True)
    site = tmp_path / "build" / "site"
    navigation = (ROOT / "zensical.toml").read_text()
    assert [page for page in DOCS.rglob("*.md") if f'"{name_of(page)}"' not in navigation] == []
    missing = []
    for page in site.rglob("*.html"):
        for target in re.findall(r'(?:href|src)="?([^"\s>#:]+)["#\s>]', page.read_text()):
            place = site / target.lstrip("/") if target.startswith("/") else page.parent / target
            if page.name != "404.html" and not place.exists():
                missing.append(f"{page.relative_to(site)}: {target}")
    assert missing == []
