"""The command line against a real service: each command meets the answers that it expects."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tunewell import cli
from tunewell.private import Local

from .commands import Command

EXAMPLES = Path(__file__).parents[2] / "examples"
FUNCTION = {
    "objective": {"name": "function"},
    "metrics": [{"name": "value", "direction": "minimize"}],
    "space": [{"name": "x0", "type": "float", "low": -5, "high": 5}],
    "suggester": {"name": "random", "seed": 1},
}
Run = Callable[..., str]


@pytest.fixture
def run(local: Local, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("TUNEWELL_URL", local.url)

    def call(*arguments: str, status: int = 0) -> str:
        found = cli.run(arguments)
        out, err = capfd.readouterr()
        assert found == status, err
        assert "\x1b" not in out + err
        return out

    return call


def written(folder: Path, **definition: object) -> str:
    path = folder / "study.json"
    path.write_text(json.dumps({**FUNCTION, **definition}))
    return str(path)


def test_a_study_is_run_shown_and_exported(run: Run, tmp_path: Path) -> None:
    file = written(tmp_path, name="shown", limits={"max_trials": 3})
    best, params = run("study", "run", file).splitlines()
    assert re.fullmatch(r"trial_id=tr_\w+  number=[123]  value=[\d.]+", best)
    assert re.fullmatch(r"x0=-?[\d.]+", params)
    assert "completed (max_trials: all 3 trials" in run("study", "show", "shown")
    assert "shown\tcompleted\t3/3\t" in run("study", "list", "--prefix", "sho")
    assert len(run("study", "export", "shown").splitlines()) == 4
    rows = [json.loads(line) for line in run("study", "export", "shown", "--json").splitlines()]
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert run("study", "watch", "shown").splitlines() == [best, params]
    last = json.loads(run("study", "watch", "shown", "--json").splitlines()[-1])
    assert (last["type"], last["study"]["state"]) == ("result", "completed")


def test_trials_are_listed_and_shown(run: Run, tmp_path: Path) -> None:
    run("study", "run", written(tmp_path, name="trials", limits={"max_trials": 2}))
    assert len(run("trial", "list", "trials").splitlines()) == 3
    trials = json.loads(run("trial", "list", "trials", "--json"))["trials"]
    shown = run("trial", "show", trials[0]["id"])
    assert shown == run("trial", "show", "trials", "1")
    assert "by wk_" in shown
    run("trial", "retry", trials[0]["id"], status=1)
    run("trial", "show", "tr_none", status=1)


def test_a_study_is_steered(run: Run, tmp_path: Path) -> None:
    slow = {"objective": {"name": "function", "options": {"step_s": 600.0}}}
    file = written(tmp_path, name="steered", **slow)
    assert run("study", "submit", file).split()[1] == "steered"
    run("study", "submit", file, status=1)
    assert run("study", "pause", "steered") == "steered  paused\n"
    assert run("study", "resume", "steered") == "steered  active\n"
    run("study", "resume", "steered", status=1)
    assert run("study", "cancel", "steered") == "steered  cancelled\n"
    run("study", "watch", "steered", status=1)
    assert run("study", "delete", "steered") == "steered  deleted\n"
    run("study", "show", "steered", status=1)


def test_a_faulty_study_is_refused_with_its_pointers(
    local: Local, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, name="faulty", suggester={"name": "rnadom"}, lmits={})
    assert cli.run(["study", "submit", file, "--url", local.url]) == 2
    err = capfd.readouterr().err
    assert "/suggester/name" in err
    assert "/lmits" in err


def test_workers_are_listed_and_drained(run: Run) -> None:
    assert "local\ttaking trials\t" in run("worker", "list")
    assert run("worker", "drain", "local") == "local  draining\n"
    assert run("worker", "drain", "local", "--undo") == "local  taking trials\n"


def test_versions_are_those_of_the_service(run: Run) -> None:
    found = json.loads(run("version", "--service", "--json"))
    assert found["service"]["name"] == "tunewell"


@pytest.mark.parametrize(
    ("name", "objective", "n_trials"),
    [("own_objective", "line", 4), ("own_torch", "net", 3), ("own_sklearn", "digits", 4)],
)
def test_an_objective_of_ones_own_runs_by_one_command(
    tmp_path: Path, name: str, objective: str, n_trials: int
) -> None:
    for suffix in ("py", "json"):
        shutil.copy(EXAMPLES / f"{name}.{suffix}", tmp_path)
    file = tmp_path / f"{name}.json"
    study = json.loads(file.read_text())
    study["limits"]["max_trials"] = n_trials
    file.write_text(json.dumps(study))
    command = Command(
        tmp_path, "study", "run", file.name, "--local", "--slots", "1",
        "--objective", f"{name}:{objective}",
    )  # fmt: skip
    assert command.ended() == 0, command.err.text
    assert command.out.seen[0].startswith("trial_id=tr_")
    ends = [line for line in command.err.seen if re.search(r"Z #\d+ (completed|stopped) ", line)]
    assert len(ends) == n_trials


def test_a_command_of_ones_own_runs_by_one_command(tmp_path: Path) -> None:
    for name in ("own_command.py", "own_command.toml", "own_command.json"):
        shutil.copy(EXAMPLES / name, tmp_path)
    command = Command(
        tmp_path, "study", "run", "own_command.json", "--local", "--slots", "2", "--json",
        "--command-objective", "line=own_command.toml",
    )  # fmt: skip
    assert command.ended() == 0, command.err.text
    study = json.loads((tmp_path / "own_command.json").read_text())
    ended = [line for line in command.out.seen if '"completed"' in line or '"stopped"' in line]
    assert len(ended) >= study["limits"]["max_trials"]


@pytest.mark.parametrize(
    "name",
    ["own_objective.py", "own_torch.py", "own_sklearn.py", "own_command.py", "own_command.toml"],
)
def test_an_own_objective_is_short(name: str) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) < 40


def test_an_objective_that_nobody_offers_is_said_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, name="none", objective={"name": "nobodys"}, limits={"max_trials": 1})
    command = Command(tmp_path, "study", "run", file, "--local", "--slots", "1")
    assert command.ended() == 1
    assert "no worker here offers the objective 'nobodys'" in command.err.text


def test_a_worker_that_cannot_start_is_said_at_once_with_its_words(tmp_path: Path) -> None:
    file = written(tmp_path, name="none", limits={"max_trials": 1})
    command = Command(tmp_path, "study", "run", file, "--local", "--objective", "no_module:x")
    assert command.ended() == 1
    assert "the private worker has ended" in command.err.text
    assert "no_module" in command.err.text
