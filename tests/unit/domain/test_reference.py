"""The committed reference pages equal what the code's tables make of them."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from app.domain.fault_codes import FAULT_CODES
from app.domain.study import StopReason, StudyState
from app.domain.trial import TrialState

from .building import check

ROOT = Path(__file__).resolve().parents[3]


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = loaded()


@pytest.mark.parametrize("name", MAKER.PAGES)
def test_a_page_equals_what_the_code_makes(name: str) -> None:
    text = MAKER.page(name).read_text(encoding="utf-8")
    assert MAKER.filled(text) == text, "run python docs/make_reference.py"


def test_the_example_is_a_valid_definition() -> None:
    text = MAKER.page("study-definition.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    assert check(json.loads(example)).warnings == ()


def test_every_table_stands_on_a_page() -> None:
    pages = "".join(MAKER.page(name).read_text(encoding="utf-8") for name in MAKER.PAGES)
    assert [name for name in MAKER.TABLES if f"<!-- begin: {name} -->" not in pages] == []


@pytest.mark.parametrize("word", [*StudyState, *StopReason, *TrialState])
def test_every_state_and_reason_is_explained(word: str) -> None:
    assert f"\n| `{word}` |" in MAKER.page("states.md").read_text(encoding="utf-8")


def test_every_documented_code_stands_in_the_code() -> None:
    folders = ("domain", "service", "store", "api")
    files = [path for folder in folders for path in (ROOT / "app" / folder).rglob("*.py")]
    files = [path for path in files if path.name != "fault_codes.py"]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    made = {"unknown-suggester", "unknown-early-stopping", "unknown-option", "unknown-field"}
    made |= {f"default-{rule}" for rule in ("out-of-range", "off-step", "not-a-choice")}
    made |= {"off-step", "not-a-choice"}
    assert [code for code in FAULT_CODES if code not in made and f'"{code}"' not in source] == []
