"""Imports into a real service: nothing twice, a batch as a whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunewell import cli
from tunewell.client import Client
from tunewell.private import Local

STORAGES = Path(__file__).parents[1] / "unit" / "tunewell" / "history" / "storages"


class Importing:
    """Runs imports against a service."""

    def __init__(self, local: Local, capfd: pytest.CaptureFixture[str]) -> None:
        self._url, self._capfd = local.url, capfd
        self.client = Client(local.url, "")

    def __call__(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The last JSON line of an import."""
        found = cli.run(["import", *arguments, "--url", self._url, "--json"])
        out, err = self._capfd.readouterr()
        assert found == status, out + err
        self.lines = [json.loads(line) for line in out.splitlines()]
        return dict(self.lines[-1])

    def talk(self, *arguments: str, status: int = 0) -> str:
        """What an import says to people."""
        assert cli.run(["import", *arguments, "--url", self._url]) == status
        out, err = self._capfd.readouterr()
        return err + out

    def study(self, name: str) -> str:
        """A study to import into; its name."""
        space = [
            {"name": "lr", "type": "float", "low": 0.001, "high": 0.1},
            {"name": "width", "type": "int", "low": 1, "high": 512},
        ]
        metrics = [{"name": "accuracy", "direction": "maximize"}]
        self.client.create_study({"name": name, "space": space, "metrics": metrics})
        return name

    def trials(self, name: str) -> list[Any]:
        """The study's trials."""
        return list(self.client.trials(self.client.find_study(name)["id"]))


@pytest.fixture
def bring(local: Local, capfd: pytest.CaptureFixture[str]) -> Any:
    importing = Importing(local, capfd)
    yield importing
    importing.client.close()


@pytest.mark.parametrize("file", ["optuna-3.db", "optuna-4.log", "optuna-5.db"])
def test_an_optuna_study_comes_with_its_space_once(bring: Any, file: str) -> None:
    name = f"from-{file}"
    arguments = ("optuna", str(STORAGES / file), "--from", "net", "--study", name)
    assert bring(*arguments, status=1)["type"] == "error"
    first = bring(*arguments, "--create")
    assert (first["imported"], first["refused"]) == (12, 0)
    again = bring(*arguments)
    assert (again["imported"], again["there_already"]) == (0, 12)
    trials = bring.trials(name)
    assert len(trials) == 12
    assert {t["source"] for t in trials} == {"import"}
    curve = bring.client.request("GET", f"/v1/trials/{trials[0]['id']}/measurements")
    assert [m["step"] for m in curve["measurements"]] == [1, 2, 3]


def rows(n: int, first: str = "lr,width,accuracy,state") -> str:
    return "\n".join([first, *(f"0.01,{k},0.5,COMPLETE" for k in range(1, n + 1))]) + "\n"


def test_what_was_added_to_a_file_is_all_that_comes_the_second_time(
    bring: Any, tmp_path: Path
) -> None:
    study, file = bring.study("growing"), tmp_path / "growing.csv"
    # Two equal rows are two trials, and stay two.
    file.write_text(rows(3) + "0.01,3,0.5,COMPLETE\n")
    assert bring("csv", str(file), "--study", study)["imported"] == 4
    with file.open("a") as more:
        more.write("0.02,3,0.6,COMPLETE\n")
    again = bring("csv", str(file), "--study", study)
    assert (again["imported"], again["there_already"]) == (1, 4)
    assert len(bring.trials(study)) == 5


def test_rows_at_fault_are_named_and_their_batch_is_left_out(bring: Any, tmp_path: Path) -> None:
    study, file = bring.study("faulty-rows"), tmp_path / "faulty.csv"
    file.write_text(rows(4) + "7,5,0.5,COMPLETE\n0.01,none,0.5,COMPLETE\n")
    said = bring.talk("csv", str(file), "--study", study, status=2)
    assert "refused  line 6  /params/lr: " in said
    assert "refused  line 7  /params/width: " in said
    assert "4 sound rows stood in a batch with one at fault" in said
    assert f"{study}  0 imported  0 there already  2 refused" in said
    assert bring.trials(study) == []
    rest = bring("csv", str(file), "--study", study, "--skip-refused", status=2)
    assert (rest["imported"], rest["refused"], rest["held_back"]) == (4, 2, 0)
    assert [line["place"] for line in bring.lines if line["type"] == "refused"] == [
        "line 6", "line 7",
    ]  # fmt: skip


def test_our_own_export_comes_back(bring: Any, tmp_path: Path) -> None:
    source, target = bring.study("exported"), bring.study("imported")
    file = tmp_path / "rows.csv"
    file.write_text(rows(3) + "0.01,9,,PRUNED\n0.01,9,,FAIL\n")
    assert bring("csv", str(file), "--study", source)["imported"] == 5
    study_id = bring.client.find_study(source)["id"]
    for kind in ("csv", "jsonl"):
        exported = tmp_path / f"export.{kind}"
        exported.write_bytes(b"".join(bring.client.export(study_id, kind)))
        done = bring(kind, str(exported), "--study", target)
        assert (done["imported"], done["refused"]) == ((5, 0) if kind == "csv" else (0, 0))
    shown = [
        [(t["params"], t["values"], t["state"], t["ended_at"]) for t in bring.trials(name)]
        for name in (source, target)
    ]
    assert shown[0] == shown[1]


def test_it_is_said_what_becomes_what(bring: Any, tmp_path: Path) -> None:
    study, file = bring.study("said"), tmp_path / "said.jsonl"
    file.write_text('{"config": {"lr": 0.01, "width": 3}, "acc": 0.5, "host": "lab"}\n')
    said = bring.talk("jsonl", str(file), "--study", study, "--map", "acc=accuracy")
    assert "config.lr     -> parameter lr" in said
    assert "acc           -> metric accuracy" in said
    assert "left out: host" in said
    assert "1 finished trials (1 completed): 1 new, 0 there already" in said
    wrong = bring.talk("jsonl", str(file), "--study", study, status=2)
    assert "no column for metric accuracy" in wrong
    assert "--map COLUMN=NAME" in wrong
