"""The code blocks of the README, docs/ and examples/, and which test runs each of them.

A comment before a block says how it is run:

- none: `tests/examples/test_docs.py` runs it, page by page, in order;
- `<!-- background -->`: the same, in a terminal of its own, where it goes on to the page's end;
- `<!-- test: NAME -->`: a test elsewhere, which asks for it here by `marked("NAME")`;
- `<!-- not run: NAME -->`: no test here can run it; `NOT_RUN` says why. Its syntax, commands and
  options are looked at.
"""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

NOT_RUN = {
    "containers": "no container engine is at hand; packaging/test_containers.py runs the images' "
    "scripts with what the compose file and the manifests give them",
    "the tests": "`make test` is what runs this; `make crash-matrix` runs all of it, and the "
    "tests run cells of it",
}
"""The blocks that no test runs, each with its reason. There are no others."""

PROGRAMS = {
    "nginx": "the blocks for nginx run where it is installed: apt-get install nginx-light",
    "systemd-analyze": "the unit is held against systemd's rules where systemd is installed",
    "caddy": "the blocks for Caddy run where it is installed: apt-get install caddy",
}
"""What some blocks need that pip cannot install; a test that finds it missing is skipped so."""

WHOLE_PAGES = {
    "examples/curl.md": "examples/test_curl.py",
    "docs/how-to/own-code.md": "examples/test_pages.py",
    "docs/how-to/checkpoints.md": "examples/test_pages.py",
    "docs/how-to/early-stopping.md": "examples/test_pages.py",
    "docs/how-to/history.md": "examples/test_pages.py",
    "docs/how-to/python.md": "sdk/test_pages.py",
    "docs/reference/study-definition.md": "unit/domain/test_reference.py",
    "docs/reference/cli.md": "unit/domain/test_reference.py",
}
"""Pages of which a test of their own runs every block."""

_BLOCK = re.compile(
    r"(?:<!-- (?P<how>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$"
    r"(?=(?:\s*Save it as `(?P<file>[\w.-]+)`)?)",
    re.DOTALL | re.MULTILINE,
)


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


def name_of(page: Path) -> str:
    """The page's path in the checkout."""
    return str(page.relative_to(ROOT))


def all_pages() -> list[Path]:
    """Every page with a code block."""
    found = [ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(page for page in found if "```" in page.read_text())


def blocks(page: Path) -> list[Block]:
    """A page's code blocks, in order."""
    return [
        Block(match["how"] or "", match["language"], match["text"], match["file"])
        for match in _BLOCK.finditer(page.read_text())
    ]


@cache
def marks(kind: str) -> dict[str, Block]:
    """The blocks with a comment `kind: NAME`, by name. Blocks of one name are equal."""
    found: dict[str, Block] = {}
    for page in all_pages():
        for block in blocks(page):
            if block.how.startswith(f"{kind}: "):
                name = block.how.removeprefix(f"{kind}: ")
                assert found.setdefault(name, block).text == block.text, (name_of(page), name)
    return found


def marked(name: str) -> str:
    """The text of the block `<!-- test: NAME -->`."""
    return marks("test")[name].text


def program(name: str) -> str:
    """The path of one of `PROGRAMS`; skips the test that asks where it is not installed."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(PROGRAMS[name])
    return found
