"""docs/guarantees.md names tests that exist, and the tests whose guards are taken out elsewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.mutations.guards import GUARDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
NAMED = re.findall(r"^- `(tests/[\w/]+\.py)::(\w+)`$", PAGE, re.MULTILINE)


def defined(path: str) -> set[str]:
    """Names of the functions of a file."""
    tree = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, functions)}


def test_every_named_test_exists() -> None:
    missing = [f"{path}::{name}" for path, name in NAMED if name not in defined(path)]
    assert missing == []


def test_every_promise_names_a_test() -> None:
    promises = PAGE.split("## What may happen twice")[0].split("\n### ")[1:]
    assert len(promises) >= 10
    assert [text.split("\n")[0] for text in promises if "- `tests/" not in text] == []


def test_the_tests_that_fail_without_their_guard_are_named() -> None:
    named = {f"{path}::{name}" for path, name in NAMED}
    assert {guard.test for guard in GUARDS} <= named
