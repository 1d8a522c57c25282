"""What `import tunewell` gives, and what it does not load."""

import importlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tunewell

HEAVY = [
    "httpx",
    "pydantic",
    "rich",
    "numpy",
    "pandas",
    "polars",
    "sklearn",
    "sqlalchemy",
    "fastapi",
    "torch",
]
IMPORT_LIMIT_S = 0.25
ZIP_LIMIT_BYTES = 200_000


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
        "AsyncClient",
        "AsyncStudy",
        "Cat",
        "Client",
        "DefinitionMismatch",
        "Float",
        "Forbidden",
        "Infeasible",
        "Int",
        "InvalidStudy",
        "Metric",
        "NotFound",
        "NotInstalled",
        "Objective",
        "Retryable",
        "StaleLease",
        "Study",
        "Trial",
        "TrialEnded",
        "TunewellError",
        "TunewellSearchCV",
        "Unreachable",
        "When",
        "WrongAddress",
        "WrongToken",
        "aconnect",
        "connect",
        "local",
        "maximize",
        "minimize",
        "objective",
        "when",
    ]
    assert all(getattr(tunewell, name) is not None for name in tunewell.__all__)
    assert set(tunewell.__all__) <= set(dir(tunewell))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        tunewell.Cleint  # noqa: B018


def test_the_decorator_stays_a_function_when_its_module_is_imported() -> None:
    importlib.import_module("tunewell.objective")
    assert callable(tunewell.objective)


def test_the_import_is_light() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import tunewell"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = [line.split("|") for line in done.stderr.splitlines()[1:]]
    names = {name.strip() for *_, name in lines}
    assert "tunewell.errors" in names
    assert not {name.partition(".")[0] for name in names} & set(HEAVY)


def test_the_import_takes_little_time() -> None:
    code = (
        "import time; begun = time.process_time(); import tunewell; "
        "print(time.process_time() - begun)"
    )
    took = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(took) <= IMPORT_LIMIT_S


def test_the_package_is_small() -> None:
    package = Path(tunewell.__file__).parent
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, str(path.relative_to(package.parent)))
    assert len(packed.getvalue()) <= ZIP_LIMIT_BYTES


def test_type_checkers_are_told_that_it_has_types() -> None:
    assert (Path(tunewell.__file__).parent / "py.typed").is_file()


def test_a_function_stays_one_when_modules_of_a_like_name_are_imported() -> None:
    for name in ("private", "embedded", "space", "client"):
        importlib.import_module(f"tunewell.{name}")
    assert callable(tunewell.local)
    assert callable(tunewell.when)


@pytest.mark.parametrize("statement", ["import tunewell.objective", "import tunewell.cli"])
def test_neither_objectives_nor_the_command_line_load_what_is_heavy(statement: str) -> None:
    assert loaded_by(statement) == []


def test_a_command_on_a_database_loads_neither_the_http_edge_nor_numerics() -> None:
    loaded = loaded_by("from tunewell._parts import part; part('app', 'offline')")
    assert {"fastapi", "numpy", "torch", "httpx"}.isdisjoint(loaded)
