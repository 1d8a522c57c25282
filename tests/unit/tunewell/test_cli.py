"""The command line, against a fake service: what it prints where, and its exit statuses."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tunewell import cli
from tunewell.client import Client

from .fake_service import (
    DEFINITION,
    FakeService,
    PatientClient,
    problem,
    study,
    trial,
    worker,
)

LIST, STUDY = "GET /v1/studies", "GET /v1/studies/st_1"
TRIALS = "GET /v1/studies/st_1/trials"

COMMANDS = {
    "": ["serve", "migrate", "demo", "version", "backup", "restore", "doctor", "import", "study",
         "trial", "worker", "token"],
    "import": ["optuna", "csv", "jsonl"],
    "study": ["submit", "run", "watch", "plan", "list", "show", "pause", "resume", "stop",
              "cancel", "delete", "undelete", "export", "best", "replay"],
    "trial": ["list", "show", "cancel", "retry"],
    "worker": ["run", "list", "drain"],
    "token": ["create", "list", "revoke"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TUNEWELL_URL", "TUNEWELL_TOKEN", "TUNEWELL_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    fake = FakeService()

    def client(url: str | None, token: str | None, *, retry_s: float) -> Client:
        transport = httpx.MockTransport(fake)
        return PatientClient(url, token or "", retry_s=retry_s, transport=transport)

    monkeypatch.setattr("tunewell.client.Client", client)
    return fake


class Ran:
    """What a command printed and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def call(*arguments: str) -> Ran:
        status = cli.run(arguments)
        found = capsys.readouterr()
        return Ran(status, found.out, found.err)

    return call


def listed(*studies: dict[str, Any]) -> dict[str, Any]:
    return {"studies": list(studies), "next_page_token": None}


def page(*trials: dict[str, Any]) -> dict[str, Any]:
    return {"trials": list(trials), "next_page_token": None, "change_seq": 9}


def all_commands() -> list[list[str]]:
    return [[*group.split(), name] for group, names in COMMANDS.items() for name in names]


@pytest.mark.parametrize("group", COMMANDS)
def test_every_command_of_the_contract_is_there(run: Callable[..., Ran], group: str) -> None:
    shown = run(*group.split(), "--help").out
    commands = shown.split("Commands:")[1]
    assert [line.split()[0] for line in commands.strip().splitlines() if line[:3].strip()] == (
        COMMANDS[group]
    )


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_every_command_has_json_and_its_help_no_colour(
    run: Callable[..., Ran], command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run(*command, "--help")
    assert shown.status == 0
    assert "\x1b" not in shown.out + shown.err
    if command not in ([group] for group in COMMANDS):
        assert all(option in shown.out for option in ("--json", "--quiet", "--no-color"))


@pytest.mark.parametrize(
    "arguments",
    [["studdy"], ["study", "show"], ["study", "list", "--nme", "x"], ["trial", "show", "a", "0"]],
)
def test_wrong_usage_ends_with_2(run: Any, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.status == 2
    assert ran.out == ""
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--json", "study", "list"], "no such option --json here: a command's options go behind"),
        (["study", "undelete", "digits"], "'digits' is no study's id; a deleted one is named by"),
        (["token", "create"], "missing option '--role': reader, worker, submitter, admin"),
        (["trial", "show", "a", "b"], "invalid value for 'NUMBER': it should be a valid integer"),
        (["study", "list", "--token", "tw_\u00e9"], "characters in it that no token has"),
        (["study", "list", "--token", "tw_a\nb"], "characters in it that no token has"),
    ],
)
def test_wrong_usage_is_told_on_one_line(run: Any, arguments: list[str], said: str) -> None:
    ran = run(*arguments)
    assert ran.status == 2
    first = ran.err.splitlines()[0]
    assert first.startswith("error: ")
    assert said in first
    assert first.isprintable()


def test_a_service_that_is_not_there_ends_with_3_and_says_how_to_start_one(
    run: Any, service: Any
) -> None:
    service.on(LIST, httpx.ConnectError("Connection refused"))
    ran = run("study", "list")
    assert (ran.status, ran.out) == (3, "")
    assert ran.err.splitlines() == [
        "error: no service at http://127.0.0.1:8700 (connection refused)",
        "  start one: tunewell serve     or point elsewhere: --url URL, or TUNEWELL_URL",
    ]


def test_a_database_that_is_not_there_ends_with_3(run: Any, service: Any) -> None:
    service.on(LIST, problem(503, "storage-busy", "the database does not answer"))
    assert run("study", "list").status == 3


def test_errors_are_json_too(run: Any, service: Any) -> None:
    service.on(LIST, httpx.ConnectError("refused"))
    ran = run("study", "list", "--json")
    assert json.loads(ran.out)["error"]["code"] == "service-unreachable"
    service.on(STUDY, problem(404, "not-found", "there is no study"))
    service.on(LIST, listed())
    ran = run("study", "show", "st_1", "--json")
    assert json.loads(ran.out)["error"]["status"] == 404


def test_a_study_that_is_not_found_ends_with_1(run: Any, service: Any) -> None:
    service.on(LIST, listed())
    ran = run("study", "show", "none")
    assert ran.status == 1
    assert ran.err == "error: there is no study 'none'\n"


def test_an_address_that_is_none_ends_with_2(run: Any) -> None:
    ran = run("study", "list", "--url", "tune:8700")
    assert ran.status == 2
    assert "is no address of a service" in ran.err


def test_the_faults_of_a_study_are_printed_with_their_pointers(
    run: Any, service: Any, tmp_path: Path
) -> None:
    fault = {"pointer": "/space/0/low", "code": "x", "detail": "low must be below high\x1b[1m"}
    service.on("POST /v1/studies", problem(422, "invalid-study", "1 fault", errors=[fault]))
    file = tmp_path / "s.json"
    file.write_text(json.dumps(DEFINITION))
    ran = run("study", "submit", str(file))
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == f"error: {file} /space/0/low: low must be below high\ufffd[1m\n"


def test_a_name_that_is_taken_says_what_to_do(run: Any, service: Any) -> None:
    taken = problem(409, "already-exists", "the name is taken", study_id="st_7")
    service.on("POST /v1/studies", taken)
    ran = run("study", "submit", "mnist-random")
    assert ran.status == 1
    assert "tunewell study watch st_7" in ran.err
    assert "--name" in ran.err


def test_the_token_and_the_address_come_from_the_environment(
    run: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEWELL_URL", "http://there:1")
    monkeypatch.setenv("TUNEWELL_TOKEN", "tw_secret")
    service.on(LIST, listed())
    assert run("study", "list").status == 0
    request = service.requests[0]
    assert request.url.host == "there"
    assert request.headers["Authorization"] == "Bearer tw_secret"


def test_without_a_token_it_says_how_to_give_one(run: Any, service: Any) -> None:
    service.on(LIST, problem(401, "unauthenticated", "send a token"))
    ran = run("study", "list")
    assert ran.status == 1
    assert "--token or TUNEWELL_TOKEN" in ran.err


def test_submit_prints_the_id_and_the_name(run: Any, service: Any) -> None:
    service.on("POST /v1/studies", study(warnings=["there is no worker"]))
    ran = run("study", "submit", "mnist-random", "--name", "mine")
    assert (ran.status, ran.out) == (0, "st_1  demo\n")
    assert "warning: there is no worker" in ran.err
    assert json.loads(service.requests[0].content)["name"] == "mine"


def test_run_follows_and_ends_with_0(run: Any, service: Any) -> None:
    service.on("POST /v1/studies", study())
    service.on(STUDY, study(state="completed", best=trial()))
    service.on(TRIALS, page(trial()))
    ran = run("study", "run", "mnist-random")
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "trial_id=tr_3  number=3  accuracy=0.9465",
        "learning_rate=0.0061  batch_size=24",
    ]
    assert "2026-11-23T20:00:00Z #3 completed accuracy=0.9465 took_s=0.0\n" in ran.err
    assert "\x1b" not in ran.out + ran.err


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_watch_ends_with_1_when_the_study_failed(run: Any, service: Any, state: str) -> None:
    service.on(STUDY, study(state=state))
    service.on(TRIALS, page())
    assert run("study", "watch", "st_1").status == 1


def test_the_first_interrupt_stops_following_only(
    run: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tunewell.following.follow", interrupted)
    service.on(STUDY, study())
    ran = run("study", "watch", "st_1")
    assert ran.status == 0
    assert "the study goes on" in ran.err
    assert "`tunewell study watch st_1 --url http://127.0.0.1:8700`" in ran.err
    assert service.sent() == [STUDY]


def test_slots_go_with_local(run: Any) -> None:
    ran = run("study", "run", "mnist-random", "--slots", "2")
    assert ran.status == 2
    assert "go with --local" in ran.err


def test_plan_needs_no_service(run: Any) -> None:
    ran = run("study", "plan", "mnist-grid")
    assert (ran.status, ran.err) == (0, "")
    assert "space           2 parameters, 12 points\n" in ran.out
    assert json.loads(run("study", "plan", "mnist-grid", "--json").out)["grid_size"] == 12


def test_plan_of_a_faulty_study_ends_with_2(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text(json.dumps({**DEFINITION, "lmits": {}}))
    ran = run("study", "plan", str(file))
    assert (ran.status, ran.out) == (2, "")
    assert "/lmits" in ran.err
    assert json.loads(run("study", "plan", str(file), "--json").out)["faults"]


def test_plan_of_a_file_that_is_not_there_ends_with_2(run: Any) -> None:
    assert run("study", "plan", "no-such-file.json").status == 2


def test_lists_are_tab_separated_when_piped(run: Any, service: Any) -> None:
    service.on(LIST, listed(study(name="a\tb", trial_counts={"completed": 1}, best=trial())))
    header, row = run("study", "list").out.splitlines()
    assert header.split("\t")[:6] == ["name", "state", "trials", "best", "created", "id"]
    assert row.split("\t")[:4] == ["a\ufffdb", "active", "1/2", "0.9465"]


def test_lists_are_json_on_demand(run: Any, service: Any) -> None:
    service.on(LIST, listed(study()))
    assert json.loads(run("study", "list", "--json").out)["studies"][0]["id"] == "st_1"


def test_an_empty_list_says_so_on_standard_error(run: Any, service: Any) -> None:
    service.on(LIST, listed())
    ran = run("study", "list")
    assert (ran.status, ran.out) == (0, "")
    assert "No study" in ran.err


def test_a_table_on_a_terminal_shows_names_as_they_are(
    run: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    service.on(LIST, listed(study(name="[bold]x[/bold]")))
    assert "[bold]x[/bold]" in run("study", "list").out


def test_show_prints_facts(run: Any, service: Any) -> None:
    service.on(STUDY, study(state="completed", stop_reason="target_reached", best=trial()))
    out = run("study", "show", "st_1").out
    assert "state        completed (target_reached)\n" in out
    assert "best         0.9465 accuracy, #3: learning_rate=0.0061 batch_size=24\n" in out


@pytest.mark.parametrize("verb", ["pause", "resume", "stop", "cancel"])
def test_verbs_print_the_new_state(run: Any, service: Any, verb: str) -> None:
    service.on(STUDY, study())
    service.on(f"POST /v1/studies/st_1:{verb}", study(state="paused"))
    ran = run("study", verb, "st_1")
    assert (ran.status, ran.out) == (0, "demo  paused\n")


def test_resume_changes_limits_first(run: Any, service: Any) -> None:
    service.on(STUDY, study(state="completed"))
    service.on("PATCH /v1/studies/st_1", study(state="completed"))
    service.on("POST /v1/studies/st_1:resume", study(state="active"))
    ran = run("study", "resume", "st_1", "--max-trials", "60", "--target", "none",
              "--no-progress", '{"trials": 50}', "--min-gain-per-h", "-1e-3")  # fmt: skip
    assert (ran.status, ran.out) == (0, "demo  active\n")
    assert json.loads(service.requests[1].content) == {
        "limits": {
            "max_trials": 60,
            "target": None,
            "no_progress": {"trials": 50},
            "min_gain_per_h": -1e-3,
        }
    }


def test_a_limit_that_is_no_number_is_wrong_usage(run: Any, service: Any) -> None:
    ran = run("study", "resume", "st_1", "--max-trials", "many")
    assert (ran.status, service.requests) == (2, [])
    assert "--max-trials takes a number or `none`, not 'many'" in ran.err


def test_a_verb_that_is_not_allowed_ends_with_1(run: Any, service: Any) -> None:
    service.on(STUDY, study())
    refusal = problem(409, "illegal-transition", "a completed study cannot be paused")
    service.on("POST /v1/studies/st_1:pause", refusal)
    ran = run("study", "pause", "st_1")
    assert ran.status == 1
    assert "a completed study cannot be paused" in ran.err


def test_delete_says_how_to_restore(run: Any, service: Any) -> None:
    service.on(STUDY, study())
    service.on("DELETE /v1/studies/st_1", study())
    ran = run("study", "delete", "st_1")
    assert (ran.status, ran.out) == (0, "demo  deleted\n")
    assert "tunewell study undelete st_1" in ran.err
    service.on("POST /v1/studies/st_1:undelete", study())
    assert run("study", "undelete", "st_1").out == "demo  active\n"


def test_export_writes_bytes_as_they_come(
    service: Any, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    service.on(STUDY, study())
    service.on("GET /v1/studies/st_1/export", httpx.Response(200, content=b"a,b\r\n1,2\r\n"))
    assert cli.run(["study", "export", "st_1"]) == 0
    assert capfdbinary.readouterr().out == b"a,b\r\n1,2\r\n"
    assert service.requests[-1].url.params["format"] == "csv"
    target = tmp_path / "out.csv"
    assert cli.run(["study", "export", "st_1", "--output", str(target), "--json"]) == 0
    assert target.read_bytes() == b"a,b\r\n1,2\r\n"
    assert service.requests[-1].url.params["format"] == "jsonl"


def test_an_export_to_no_folder_says_so_once(run: Any, service: Any, tmp_path: Path) -> None:
    service.on(STUDY, study())
    service.on("GET /v1/studies/st_1/export", httpx.Response(200, content=b"a,b"))
    target = tmp_path / "none" / "out.csv"
    ran = run("study", "export", "st_1", "--output", str(target))
    said = f"error: {target} cannot be written: No such file or directory"
    assert (ran.status, ran.err.splitlines()[0]) == (2, said)


def test_parquet_is_written_as_it_comes_but_to_no_terminal(
    service: Any, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.on(STUDY, study())
    service.on("GET /v1/studies/st_1/export", httpx.Response(200, content=b"PAR1\r\n\x00\xff"))
    asked = ["study", "export", "st_1", "--format", "parquet"]
    assert cli.run(asked) == 0
    assert capfdbinary.readouterr().out == b"PAR1\r\n\x00\xff"
    assert service.requests[-1].url.params["format"] == "parquet"
    n_sent = len(service.requests)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert cli.run(asked) == 2
    assert b"--output" in capfdbinary.readouterr().err
    assert len(service.requests) == n_sent


def test_an_export_that_fails_leaves_what_was_there(run: Any, service: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    service.on(STUDY, study())
    service.on("GET /v1/studies/st_1/export", problem(422, "invalid-value", "no such format"))
    assert run("study", "export", "st_1", "--format", "xml", "-o", str(target)).status == 2
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_an_export_to_no_folder_ends_with_2(run: Any, service: Any, tmp_path: Path) -> None:
    service.on(STUDY, study())
    service.on("GET /v1/studies/st_1/export", httpx.Response(200, content=b"a"))
    assert run("study", "export", "st_1", "-o", str(tmp_path / "no" / "out.csv")).status == 2


def test_trials_are_listed_with_their_parameters(run: Any, service: Any) -> None:
    service.on(STUDY, study())
    service.on(TRIALS, page(trial(), trial(4, state="running", values={})))
    header, first, second = run("trial", "list", "st_1", "--order-by", "-value").out.splitlines()
    assert header == (
        "number\tstate\tlearning_rate\tbatch_size\taccuracy\tsource\tid\ttook_s\tfailure"
    )
    assert first == "3\tcompleted\t0.0061\t24\t0.9465\tsuggester\ttr_3\t0.0\t-"
    assert second.split("\t")[4] == "-"
    assert service.requests[-1].url.params["order_by"] == "-value"


def test_a_trial_is_shown_by_its_id_or_by_its_number_in_a_study(run: Any, service: Any) -> None:
    failure = {"kind": "user_error", "message": "no", "traceback": "Traceback\n  line\x1b[1m"}
    attempt = {
        "lease_id": "ls_1", "worker_id": "wk_1", "client_id": None, "end": "failed",
        "acquired_at": "2026-11-23T20:00:00Z", "ended_at": None, "failure": failure, "last_step": 1,
    }  # fmt: skip
    detail = {
        **trial(state="failed", failure=failure, values={}),
        "attempts": [attempt],
        "measurements": {"count": 1, "last_step": 1, "last_values": {"loss": "NaN"}},
    }
    service.on(STUDY, study())
    service.on(TRIALS, page(trial()))
    service.on("GET /v1/trials/tr_3", detail)
    by_id = run("trial", "show", "tr_3")
    by_number = run("trial", "show", "st_1", "3")
    assert by_id.out == by_number.out
    first = by_id.out.splitlines()[0]  # the failure has a line of its own
    assert first == "trial        3  learning_rate=0.0061 batch_size=24"
    assert "attempt      2026-11-23 20:00:00 by wk_1: failed (user_error), ls_1\n" in by_id.out
    assert by_id.out.endswith("Traceback\n  line\ufffd[1m\n")
    missing = run("trial", "show", "st_1", "9")
    assert missing.status == 1
    assert "has no trial 9" in missing.err


def test_a_study_without_a_number_names_no_trial(run: Any, service: Any) -> None:
    ran = run("trial", "show", "digits")
    assert ran.status == 2
    assert "'digits' is no trial's id; of a study, give the trial's number too" in ran.err


def test_an_attempt_that_a_trial_has_not_had_is_told_with_those_it_has(
    run: Any, service: Any
) -> None:
    service.on("GET /v1/trials/tr_3/logs", {"parts": []})
    service.on("GET /v1/trials/tr_3", {"number": 3, "attempts": [{"lease_id": "ls_1"}]})
    ran = run("trial", "show", "tr_3", "--logs", "--attempt", "x")
    assert (ran.status, ran.out) == (1, "")
    assert "trial 3 has no attempt 'x'; its attempts are ls_1" in ran.err
    assert run("trial", "show", "tr_3", "--logs", "--attempt", "ls_1").status == 0


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_trial_verbs_print_the_new_state(run: Any, service: Any, verb: str) -> None:
    service.on(f"POST /v1/trials/tr_3:{verb}", trial(state="pending"))
    assert run("trial", verb, "tr_3").out == "trial 3  pending\n"


def test_a_worker_whose_beats_are_missing_is_silent(run: Any, service: Any) -> None:
    now = datetime.now(UTC).isoformat()
    beats = {"heartbeat_s": 15.0, "lease_ttl_s": 60.0}
    found = [worker(**beats), worker(name="new", last_seen_at=now, **beats)]
    service.on("GET /v1/workers", {"workers": found, "next_page_token": None})
    lines = run("worker", "list").out.splitlines()[1:]
    assert [line.split("\t")[:2] for line in lines] == [["lab", "silent"], ["new", "taking trials"]]


def test_workers_are_listed_and_drained_by_name(run: Any, service: Any) -> None:
    service.on("GET /v1/workers", {"workers": [worker()], "next_page_token": None})
    service.on("PATCH /v1/workers/wk_1", worker(draining=True), worker())
    assert run("worker", "list").out.splitlines()[1].startswith("lab\ttaking trials\t0/2\tfunction")
    ran = run("worker", "drain", "lab")
    assert (ran.status, ran.out) == (0, "lab  draining\n")
    assert run("worker", "drain", "lab", "--undo").out == "lab  taking trials\n"
    assert run("worker", "drain", "none").status == 1


def test_a_worker_that_the_service_drains_says_why(run: Any, service: Any) -> None:
    drained = worker(draining=True, drain_reason="its last 3 trials failed on its infrastructure")
    service.on("GET /v1/workers", {"workers": [drained], "next_page_token": None})
    line = run("worker", "list").out.splitlines()[1]
    assert line.startswith("lab\tdraining: its last 3 trials failed on its infrastructure\t")


def test_a_study_that_paused_itself_says_why(run: Any, service: Any) -> None:
    why = "the first 5 trials all failed with user_error; the last one said: no module\x1b[1m"
    paused = study(state="paused", pause_reason="failures", pause_detail=why)
    service.on(STUDY, paused)
    service.on(f"{STUDY}/trials", {"trials": [], "next_page_token": None, "change_seq": 1})
    shown = run("study", "show", "st_1")
    assert "paused (the first 5 trials all failed with user_error" in shown.out
    watched = run("study", "watch", "st_1")
    assert watched.status == 1
    assert "it has paused itself: the first 5 trials" in watched.err
    assert "`tunewell study resume st_1`" in watched.err
    assert "\x1b" not in shown.out + watched.err


@pytest.mark.parametrize("text", ["30", "d", "-1d", "0s", "1y"])
def test_an_expiry_has_a_unit(run: Any, text: str) -> None:
    ran = run("token", "create", "--role", "worker", "--name", "x", "--expires-in", text)
    assert ran.status == 2


def test_a_role_is_one_of_four(run: Any) -> None:
    assert run("token", "create", "--role", "root", "--name", "x").status == 2


def test_over_http_a_token_is_made_by_the_service(run: Any, service: Any) -> None:
    made = {"id": "tk_1", "name": "lab", "role": "worker", "prefix": "tw_a", "expires_at": None}
    service.on("POST /v1/tokens", {**made, "secret": "tw_abc"})
    ran = run("token", "create", "--role", "worker", "--name", "lab", "--expires-in", "30d",
              "--url", "http://there:1")  # fmt: skip
    assert (ran.status, ran.out) == (0, "tw_abc\n")
    assert "not shown again" in ran.err
    body = json.loads(service.requests[0].content)
    assert body == {"name": "lab", "role": "worker", "expires_in_s": 2592000.0}


def test_quietly_a_token_is_its_secret_alone_and_works_at_once_on_the_database(
    run: Any, tmp_path: Path
) -> None:
    database = ("--database-url", f"sqlite:///{tmp_path / 't.db'}")
    made = run("token", "create", "--role", "admin", "--name", "me", "--quiet", *database)
    assert (made.status, made.err, made.out.count("\n")) == (0, "", 1)
    shown = json.loads(run("token", "list", "--json", *database).out)["tokens"]
    assert [(token["name"], token["role"]) for token in shown] == [("me", "admin")]
    assert "secret" not in shown[0]
    revoked = run("token", "revoke", shown[0]["id"], *database)
    assert (revoked.status, revoked.out) == (0, f"{shown[0]['id']}  revoked\n")
    assert run("token", "revoke", "tk_none", *database).status == 1


def test_migrations_are_due_once(run: Any, tmp_path: Path) -> None:
    database = ("--database-url", f"sqlite:///{tmp_path / 't.db'}")
    assert run("migrate", "--check", *database).status == 1
    assert not list(tmp_path.iterdir())  # who only asks makes no file
    assert run("migrate", *database).status == 0
    assert json.loads(run("migrate", "--check", "--json", *database).out) == {
        "schema_current": True
    }


@pytest.mark.parametrize("command", ["serve", "migrate"])
@pytest.mark.parametrize("url", ["studies.db", "mysql://host/name"])
def test_a_url_of_no_database_ends_with_2(run: Any, command: str, url: str) -> None:
    ran = run(command, "--database-url", url)
    assert ran.status == 2
    assert "database URL" in ran.err


@pytest.mark.parametrize("option", [["--port", "99999"], ["--lease-ttl-s", "0.1"]])
def test_a_setting_that_is_wrong_ends_with_2_and_is_named(run: Any, option: list[str]) -> None:
    ran = run("serve", *option)
    assert ran.status == 2
    name = option[0].lstrip("-").replace("-", "_").upper()
    assert f"TUNEWELL_{name} or its option" in ran.err


def test_a_part_that_is_not_installed_is_named_with_its_extra(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any) -> None:
        raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")

    monkeypatch.setattr("tunewell.cli.output.part", absent)
    ran = run("serve")
    assert ran.status == 2
    assert "needs fastapi, which is not installed: pip install 'tunewell[server]'" in ran.err


@pytest.mark.parametrize("label", ["k", "=v", ""])
def test_a_label_is_a_pair(run: Any, label: str) -> None:
    assert run("worker", "run", "--labels", label).status == 2


def test_the_version_is_printed(run: Any, service: Any) -> None:
    assert run("version").out.count(".") == 2
    service.on("GET /v1/meta", {"version": "9.9.9"})
    found = json.loads(run("version", "--service", "--json").out)
    assert found["service"]["version"] == "9.9.9"


def verdict(number: int, outcome: str = "equal", *reasons: str) -> dict[str, Any]:
    return {
        "id": f"tr_{number}", "number": number, "source": "suggester", "suggester": "gp",
        "outcome": outcome, "reasons": list(reasons),
    }  # fmt: skip


def replay_page(*verdicts: dict[str, Any], next_after: int | None = None) -> dict[str, Any]:
    last = verdicts[-1]["number"]
    return {
        "trials": list(verdicts), "last_number": last, "n_trials": 3, "next_after": next_after,
        "versions": {},
    }  # fmt: skip


def replaying(service: Any, *verdicts: dict[str, Any]) -> None:
    service.on(STUDY, study())
    first, *rest = verdicts
    pages = [replay_page(first, next_after=1), replay_page(*rest)]
    service.on("GET /v1/studies/st_1/replay", *pages)


def test_a_replay_without_a_difference_ends_with_0(run: Any, service: Any) -> None:
    replaying(service, verdict(1), verdict(2), verdict(3))
    ran = run("study", "replay", "st_1", "--check")
    assert (ran.status, ran.out) == (0, "")
    assert "trial 3 of 3: 3 equal, 0 different, 0 skipped" in ran.err


def test_a_replay_with_a_difference_names_it_and_ends_with_1(run: Any, service: Any) -> None:
    replaying(service, verdict(1), verdict(2, "different", "params.x: stored 1, derived 2"))
    ran = run("study", "replay", "st_1", "--check")
    assert ran.status == 1
    assert ran.out.splitlines()[1:] == [
        "2\tdifferent\tsuggester\tgp\tparams.x: stored 1, derived 2"
    ]


def test_a_replay_shows_every_point_without_check(run: Any, service: Any) -> None:
    replaying(service, verdict(1), verdict(2, "different", "a"), verdict(3, "skipped", "b"))
    ran = run("study", "replay", "st_1", "--json")
    found = json.loads(ran.out)
    assert ran.status == 0
    assert (found["equal"], found["different"], found["skipped"]) == (1, 1, 1)
    assert [each["number"] for each in found["trials"]] == [1, 2, 3]


def test_the_best_are_shown_by_posterior_mean(run: Any, service: Any) -> None:
    service.on(STUDY, study(best=trial()))
    expected = {**trial(2), "posterior_mean": 0.9401, "posterior_sd": 0.002}
    model = {"units": "metric", "n_results": 5, "is_noisy": True, "warp": "none"}
    answer = {"trials": [expected], "by": "posterior_mean", "posterior": model}
    service.on("GET /v1/studies/st_1/best", answer)
    ran = run("study", "best", "st_1", "--by", "posterior_mean")
    assert ran.out.splitlines()[1].split("\t")[3:6] == ["0.9465", "0.9401", "0.002"]
    assert "5 results; it sees noise" in ran.err
    assert "best observed: trial 3  0.9465" in ran.err
