"""What is said when something is wrong, and what is asked before something is lost."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.tunewell.fake_service import (
    DEFINITION,
    FakeService,
    PatientClient,
    problem,
    study,
    trial,
    worker,
)
from tunewell import cli
from tunewell.client import Client
from tunewell.following import Goal, WrongGoal
from tunewell.models import Study, read

LIST, STUDY = "GET /v1/studies", "GET /v1/studies/st_1"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    fake = FakeService()
    for name in ("TUNEWELL_URL", "TUNEWELL_TOKEN", "TUNEWELL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)

    def client(url: str | None, token: str | None, *, retry_s: float) -> Client:
        transport = httpx.MockTransport(fake)
        return PatientClient(url, token or "", retry_s=retry_s, transport=transport)

    monkeypatch.setattr("tunewell.client.Client", client)
    return fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        status = cli.run(arguments)
        found = capsys.readouterr()
        return status, found.out, found.err

    return call


def listed(*studies: dict[str, Any]) -> dict[str, Any]:
    return {"studies": list(studies), "next_page_token": None}


def test_a_command_that_is_misspelt_has_a_near_miss(run: Run) -> None:
    status, _, err = run("study", "pauze", "x")
    assert status == 2
    assert err == (
        "error: no such command 'pauze', did you mean 'pause'?\n"
        "  tunewell study -h tells what it takes\n"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("study list --jsn", "no such option --jsn, did you mean --json?"),
        ("study show", "missing argument 'STUDY'"),
        ("worker run --slots 0", "invalid value for '--slots': it should be greater than or equal"),
        ("worker run --labels x", "a label is k=v, not 'x'"),
        ("token create --role x --name y", "invalid value for '--role': 'x' is not one of"),
        ("study undelete a b", "got unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_line_and_where_help_is(run: Run, line: str, said: str) -> None:
    status, out, err = run(*line.split())
    first, second = err.splitlines()
    assert (status, out) == (2, "")
    assert first.startswith(f"error: {said}")
    assert second == f"  tunewell {' '.join(line.split()[:2])} -h tells what it takes"


def test_wrong_usage_is_told_to_programs_too(run: Run) -> None:
    status, out, _ = run("study", "show", "--json")
    assert (status, json.loads(out)["error"]["code"]) == (2, "wrong-usage")


def test_without_a_command_the_help_is_shown_as_wrong_usage(run: Run) -> None:
    status, out, err = run("study")
    assert (status, out) == (2, "")
    assert "Commands:\n  submit" in err


def test_a_setting_out_of_its_bounds_is_an_error_like_others(run: Run) -> None:
    status, _, err = run("serve", "--pool-size", "0")
    assert status == 2
    assert err.startswith("error: TUNEWELL_POOL_SIZE or its option: input should be greater")


def test_a_study_that_is_misspelt_has_a_near_miss(run: Run, service: FakeService) -> None:
    service.on(LIST, listed(), listed(study(name="mnist-lr"), study(name="rf")))
    assert run("study", "show", "mnist-lrr") == (
        1, "", "error: there is no study 'mnist-lrr', did you mean 'mnist-lr'?\n",
    )  # fmt: skip


def test_a_worker_that_is_misspelt_has_a_near_miss(run: Run, service: FakeService) -> None:
    service.on("GET /v1/workers", {"workers": [worker(name="gpu-a")], "next_page_token": None})
    status, _, err = run("worker", "drain", "gpu-b")
    assert (status, err) == (1, "error: there is no worker 'gpu-b', did you mean 'gpu-a'?\n")


@pytest.mark.parametrize(
    ("verb", "needs"),
    [("pause", "active"), ("stop", "active or paused"), ("cancel", "active, paused or stopping")],
)  # fmt: skip
def test_a_wrong_state_says_which_one_is_needed_and_the_request(
    run: Run, service: FakeService, verb: str, needs: str
) -> None:
    service.on(STUDY, study(state="completed"))
    refusal = problem(
        409, "illegal-transition", "no", current_state="completed", allowed=[], request_id="rq_7f3a"
    )
    service.on(f"POST /v1/studies/st_1:{verb}", refusal)
    status, out, err = run("study", verb, "st_1")
    assert (status, out) == (1, "")
    assert err == f"error: study is completed; {verb} needs {needs} (request rq_7f3a)\n"


def test_one_fault_is_one_line_with_its_file_and_several_are_a_list(
    run: Run, service: FakeService, tmp_path: Path
) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps(DEFINITION))
    fault = {"pointer": "/space/0/lwo", "code": "x", "detail": 'unknown field, did you mean "low"?'}
    one = problem(422, "invalid-study", "1 fault", errors=[fault])
    two = problem(422, "invalid-study", "2 faults", errors=[fault, fault])
    service.on("POST /v1/studies", one, two)
    status, _, err = run("study", "submit", str(file))
    line = '/space/0/lwo: unknown field, did you mean "low"?'
    assert (status, err) == (2, f"error: {file} {line}\n")
    assert run("study", "submit", str(file))[2].splitlines() == [
        f"error: {file} 2 faults", f"  {line}", f"  {line}",
    ]  # fmt: skip


def test_a_study_comes_from_standard_input(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.read", lambda: json.dumps(DEFINITION), raising=False)
    service.on("POST /v1/studies", study())
    assert run("study", "submit", "-")[:2] == (0, "st_1  demo\n")


def test_the_quiet_hear_data_and_errors_only(run: Run, service: FakeService) -> None:
    service.on("POST /v1/studies", study(warnings=["there is no worker"]))
    assert run("study", "submit", "mnist-random", "--quiet") == (0, "st_1  demo\n", "")
    service.on(LIST, httpx.ConnectError("Connection refused"))
    assert "error: no service at" in run("study", "list", "-q")[2]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Somebody at a terminal."""

    def answer(text: str) -> None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        monkeypatch.setattr("sys.stdin.readline", lambda: text, raising=False)

    return answer


@pytest.mark.parametrize(
    ("text", "done"), [("y\n", True), ("n\n", False), ("\n", False), ("", False)]
)
def test_before_something_is_lost_a_terminal_is_asked(
    run: Run, service: FakeService, answers: Callable[[str], None], text: str, done: bool
) -> None:
    answers(text)
    service.on(STUDY, study(trial_counts={"running": 3}))
    service.on("POST /v1/studies/st_1:cancel", study(state="cancelled"))
    status, out, err = run("study", "cancel", "st_1")
    assert "3 running trials of demo are aborted and their work is lost. Cancel it? [y/N]" in err
    assert (status, out) == ((0, "demo  cancelled\n") if done else (1, ""))
    assert ("POST /v1/studies/st_1:cancel" in service.sent()) is done


def test_with_yes_or_without_a_terminal_nothing_is_asked(
    run: Run, service: FakeService, answers: Callable[[str], None]
) -> None:
    service.on(STUDY, study(trial_counts={"running": 3}))
    service.on("POST /v1/studies/st_1:cancel", study(state="cancelled"))
    assert run("study", "cancel", "st_1")[0] == 0
    answers("n\n")
    assert run("study", "cancel", "st_1", "--yes")[0] == 0


@pytest.mark.parametrize("error", [BrokenPipeError(), BrokenPipeError(errno.EPIPE, "gone")])
def test_a_reader_that_has_seen_enough_is_no_error(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch, error: BrokenPipeError
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise error

    service.on(LIST, listed(study()))
    monkeypatch.setattr("tunewell.cli.study_lists.print_table", gone)
    monkeypatch.setattr("os.dup2", lambda *_: 0)
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    assert run("study", "list")[0] == 0


@pytest.mark.parametrize("text", ["", "best", "best=", "best=nan", "best=x", "end", "bets=1"])
def test_a_goal_is_done_or_a_best_value(text: str) -> None:
    with pytest.raises(WrongGoal, match="--until is done, or best=NUMBER"):
        Goal.parsed(text)


@pytest.mark.parametrize(
    ("direction", "wanted", "is_reached"),
    [("maximize", 0.9, True), ("maximize", 0.95, False), ("minimize", 0.95, True),
     ("minimize", 0.9, False)],
)  # fmt: skip
def test_a_goal_follows_the_direction(direction: str, wanted: float, is_reached: bool) -> None:
    best = {**json.loads(json.dumps(DEFINITION)), "name": "x"}
    best["metrics"] = [{"name": "accuracy", "direction": direction}]
    known = read(Study, study(definition=best, best=trial()))
    goal = Goal.parsed(f"best={wanted}")
    assert goal.is_reached(known) is is_reached
    assert goal.status_of(known) == (0 if is_reached else 1)


def test_a_best_value_is_no_goal_of_a_study_with_several(run: Run, service: FakeService) -> None:
    metrics = [{"name": n, "direction": "minimize", "role": "objective"} for n in ("a", "b")]
    service.on(STUDY, study(definition={**DEFINITION, "metrics": metrics}))
    status, _, err = run("study", "watch", "st_1", "--until", "best=1")
    assert status == 2
    assert "needs a study with one objective" in err
