"""A command loads what it needs, not what its neighbours need: its first words come at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tunewell.cli.app import Later
from tunewell.cli.root import COMMANDS, root

SLOW = ["httpx", "rich", "pydantic", "numpy", "email", "importlib.metadata", "tunewell.client"]
MODULES = {f"tunewell.cli.{module}" for module, _, _ in COMMANDS.values()}
WIDTH = 80


def loaded_by(*arguments: str) -> set[str]:
    """What is loaded once a command has ended."""
    code = (
        "import json, sys\nfrom tunewell import cli\ncli.run(sys.argv[1:])\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(json.loads(ran.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "modules"),
    [
        (["--help"], set()),
        (["--version"], set()),
        (["version"], {"tunewell.cli.service"}),
        (["study", "--help"], {"tunewell.cli.study"}),
        (["worker", "run", "--help"], {"tunewell.cli.worker"}),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_only_the_group_that_is_asked_for_is_loaded_and_nothing_slow(
    arguments: list[str], modules: set[str]
) -> None:
    loaded = loaded_by(*arguments)
    assert loaded & MODULES == modules
    assert loaded.isdisjoint(SLOW)


def test_a_command_that_asks_the_service_loads_nothing_to_paint_with() -> None:
    loaded = loaded_by("study", "list", "--url", "nowhere")
    assert "httpx" in loaded
    assert loaded.isdisjoint({"rich", "pygments"})


def every_later() -> list[tuple[str, Later]]:
    top = root().commands
    below = [c for later in top.values() for c in getattr(later.made(), "commands", {}).values()]
    return [(each.name, each) for each in [*top.values(), *below]]


@pytest.mark.parametrize(("name", "later"), every_later(), ids=lambda each: "")
def test_what_lists_say_of_a_command_fits_and_is_of_that_command(name: str, later: Later) -> None:
    assert later.made().name == name
    assert later.help
    assert later.help.endswith(".")
    assert later.get_short_help_str(WIDTH - 6 - len("undelete")) == later.help


def test_values_that_need_no_reading_are_taken_as_they_are() -> None:
    command = root().commands["study"].made().commands["run"].made()
    with command.make_context("run", ["a.json", "--slots", "3", "--objective", "m:f"]) as ctx:
        assert ctx.params["file"] == "a.json"
        assert ctx.params["slots"] == 3
        assert list(ctx.params["objective"]) == ["m:f"]
        assert ctx.params["local"] is False
        assert ctx.params["name"] is None
