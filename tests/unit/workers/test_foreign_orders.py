"""Whatever a study says, and whatever a service hands out, a worker runs only what its owner
configured.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from workers import main
from workers.lease import is_sound
from workers.objectives.offers import BUILT_IN
from workers.processes import ROOT

from .fake_service import FakeService
from .helpers import HERE
from .test_worker import finish, worker

FOREIGN = ("mnist-mlp", "os:system", "user_code:good", "good", "../function", "function\n", "")
"""Names that the worker of these tests does not offer: other built-in ones, modules, paths."""


@pytest.fixture(autouse=True)
def _in_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


@pytest.mark.parametrize("name", FOREIGN)
def test_an_objective_that_is_not_offered_is_given_back_unrun(
    service: FakeService, name: str
) -> None:
    service.add("ls_1", name, options={"module": "os", "code": "raise SystemExit"})
    service.add("ls_2")
    with worker(service) as statuses:
        service.wait_for(lambda: len(service.ends()) == 2)
        assert finish(service, statuses) == 0
    ended = {body["path"].split("/")[3].split(":")[0]: what for what, body in service.ends()}
    assert ended["ls_1"] == "release"
    assert [what for what, _ in service.ends()].count("complete") == 1
    assert all(report["lease_id"] == "ls_2" for report in service.reports())


@pytest.mark.parametrize("lease_id", ["../../x", "/tmp/x", "a b", "", "ls_1\n", "x" * 101])
def test_an_id_that_would_name_a_file_elsewhere_is_refused(lease_id: str) -> None:
    fine = {"lease_id": "ls_1", "trial": {"id": "tr_1"}}
    assert is_sound(fine)
    assert not is_sound({**fine, "lease_id": lease_id})
    assert not is_sound({**fine, "trial": {"id": lease_id}})


def test_params_and_options_are_values_and_nothing_more(service: FakeService) -> None:
    """Text that looks like code, a template or a path arrives as that text, or is refused."""
    nasty = "__import__('os').system('touch owned')"
    service.add("ls_1", options={"function": nasty, "steps": 1})
    service.add("ls_2", params={"x0": nasty})
    with worker(service) as statuses:
        service.wait_for(lambda: len(service.ends()) == 2)
        finish(service, statuses)
    assert [what for what, _ in service.ends()] == ["fail", "fail"]
    assert not (HERE / "owned").exists()
    assert main.run is not None


def test_imports_by_name_take_their_name_from_the_owner_alone() -> None:
    """Each place in the worker that loads code by a name that is not written there."""
    code_loading = set()
    for path in (Path(ROOT) / "workers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                is_builtin = isinstance(node.func, ast.Name)
                if called in ("import_module", "eval") or (
                    is_builtin and called in ("__import__", "exec", "compile")
                ):
                    code_loading.add((path.name, called))
    assert code_loading == {
        ("loading.py", "import_module"),  # BUILT_IN[...].module, our own table
        ("nursery.py", "import_module"),  # likewise
        ("user_objective.py", "import_module"),  # `--objective module:name` of the command line
        ("scoring.py", "eval"),  # torch's Module.eval(), which runs no text
    }
    assert all("." not in built_in.module for built_in in BUILT_IN.values())


def test_no_worker_code_unpickles_what_comes_from_the_service() -> None:
    for path in (Path(ROOT) / "workers").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not imported & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = {word.arg: word.value for word in node.keywords}.get("weights_only")
                assert isinstance(safe, ast.Constant), path
                assert safe.value is True, path
