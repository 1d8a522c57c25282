"""What `import tunewell` gives, and what it does not load."""

import importlib
import json
import subprocess
import sys

import pytest

import tunewell

HEAVY = ["httpx", "pydantic", "rich", "numpy", "sqlalchemy", "fastapi", "torch"]


def loaded_by(statement: str) -> list[str]:
    listing = f"print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    code = "\n".join([statement, "import json, sys", listing])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_the_public_names_are_these_and_all_are_there() -> None:
    assert sorted(tunewell.__all__) == [
        "ApiError",
        "Client",
        "Objective",
        "ServiceUnreachable",
        "StaleLeaseError",
        "Trial",
        "TrialEnded",
        "TunewellError",
        "objective",
    ]
    assert all(getattr(tunewell, name) is not None for name in tunewell.__all__)
    assert set(tunewell.__all__) <= set(dir(tunewell))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        tunewell.Cleint  # noqa: B018


def test_the_decorator_stays_a_function_when_its_module_is_imported() -> None:
    importlib.import_module("tunewell.objective")
    assert callable(tunewell.objective)


@pytest.mark.parametrize("statement", ["import tunewell.objective", "import tunewell.cli"])
def test_neither_objectives_nor_the_command_line_load_what_is_heavy(statement: str) -> None:
    assert loaded_by(statement) == []


def test_a_command_on_a_database_loads_neither_the_http_edge_nor_numerics() -> None:
    loaded = loaded_by("from tunewell._parts import part; part('app', 'offline')")
    assert {"fastapi", "numpy", "torch", "httpx"}.isdisjoint(loaded)
