"""Objectives that are commands: their files, their command lines, and real processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from workers.command_objective import LONGEST_LINE, LONGEST_TOLD, Reader
from workers.command_spec import BadSpec, CommandSpec, UnknownName, arguments, filled, read_spec
from workers.jobs import Job
from workers.log import Log
from workers.offers import CannotOffer, Offers
from workers.runner import Cause

from .helpers import Reports, runner, running, watch

KNOWN = {"lr": 0.001, "n": 3, "flag": True, "kind": "a b", "trial.seed": 7, "option.epochs": 5}
MINIMAL = """
command = ["python", "train.py", "{x}"]
metrics = {value = "minimize"}
"""


def spec_in(folder: Path, text: str, name: str = "mine") -> CommandSpec:
    (folder / "spec.toml").write_text(text)
    return read_spec(f"{name}={folder / 'spec.toml'}")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{lr}", "0.001"),
        ("--lr={lr:.1e}", "--lr=1.0e-03"),
        ("{n}x{n:03d}", "3x003"),
        ("{flag}", "true"),
        ("{kind}", "a b"),
        ("{trial.seed}/{option.epochs}", "7/5"),
        ("{{n}}", "{n}"),
    ],
)
def test_a_template_is_filled_in(template: str, text: str) -> None:
    assert filled(template, KNOWN) == text


def test_a_group_is_left_out_where_a_parameter_is_inactive() -> None:
    command = ["train", ["--momentum", "{momentum}"], ["--lr", "{lr}"]]
    assert arguments(command, KNOWN) == ["train", "--lr", "0.001"]
    with pytest.raises(UnknownName, match=r"names 'momentum'.*put it into a list"):
        arguments(["train", "{momentum}"], KNOWN)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("command = [", "is no TOML"),
        ("metrics = {value = 'minimize'}", "command is missing or empty"),
        ("command = ['a']", "metrics is missing or empty"),
        ("command = 'a'\nmetrics = {v = 'minimize'}", "command has to be a list of arguments"),
        ("command = ['a']\nmetrics = {v = 'up'}", "metrics.v is minimize or maximize, not 'up'"),
        (MINIMAL + "speed = 3", "speed is unknown; there are command, metrics"),
        (MINIMAL + "time_limit_s = 0", "time_limit_s has to be a number of seconds above 0"),
        (MINIMAL + "time_limit_s = nan", "time_limit_s has to be a number of seconds above 0"),
        (MINIMAL + "time_limit_s = inf", "time_limit_s has to be a number of seconds above 0"),
        (MINIMAL + "time_limit_s = -1.5", "time_limit_s has to be a number of seconds above 0"),
        (MINIMAL + "folder = 'nowhere'", "folder has to be one that is there, not '/"),
        (MINIMAL + "params = {x = 3}", "params.x has to be a JSON schema"),
        (MINIMAL + "max_resource = true", "max_resource has to be a whole number"),
        (MINIMAL + "pattern = '('", "pattern is no regular expression"),
        (MINIMAL + "pattern = 'v (?P<loss>.*)'", "pattern needs a group (?P<value>...)"),
        (MINIMAL + "pattern = '(?P<value>.)(?P<l>.)'", "pattern has a group 'l', which is neither"),
        ("command = ['a']\nmetrics = {step = 'minimize'}", "metrics.step is no name for a metric"),
        ("command = [['a']]\nmetrics = {v = 'minimize'}", "command[0] has to be text"),
        (MINIMAL + "params = {y = {type = 'number'}}", "command[2]: {x} is none of the params y"),
        ("command = ['{trial.name}']\nmetrics = {v = 'minimize'}", "{trial.name} is none of"),
        ("command = ['{']\nmetrics = {v = 'minimize'}", "command[0] '{':"),
        ("command = ['a', 3]\nmetrics = {v = 'minimize'}", "command[1] has to be text, not 3"),
    ],
)
def test_a_faulty_file_is_told_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadSpec) as refused:
        spec_in(tmp_path, text)
    assert complaint in str(refused.value)
    assert "spec.toml" in str(refused.value)


@pytest.mark.parametrize("named", ["spec.toml", "=spec.toml", "name=", "mine=/no/such/file.toml"])
def test_a_file_that_is_not_there_keeps_a_worker_from_starting(named: str) -> None:
    with pytest.raises(CannotOffer):
        Offers([], Log(), commands=[named])


def test_a_command_is_offered_like_any_objective(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(
        MINIMAL + "max_resource = 9\nparams = {x = {type = 'number'}}\nversion = '2'"
    )
    offers = Offers(["function"], Log(), commands=[f"mine={tmp_path / 'spec.toml'}"])
    (offer,) = [each for each in offers.as_registered() if each["name"] == "mine"]
    assert offer["metrics"] == {"value": "minimize"}
    assert offer["params_schema"]["properties"] == {"x": {"type": "number"}}
    assert (offer["max_resource"], offer["version"], offer["checkpoints"]) == (9, "2", False)
    with pytest.raises(CannotOffer, match="offered twice"):
        Offers([], Log(), commands=[f"mine={tmp_path / 'spec.toml'}"] * 2)


def job(folder: Path, script: str, more: str = "", **fields: Any) -> Job:
    """A trial of a command that runs a Python script."""
    (folder / "train.py").write_text(script)
    text = f"command = ['{sys.executable}', '-u', 'train.py', '{{x}}']\n"
    spec = spec_in(folder, text + "metrics = {value = 'minimize'}\n" + more)
    given: dict[str, Any] = {"params": {"x": 2.5}, **fields}
    return Job(trial_id="tr_1", number=1, objective="mine", command=spec.as_job(), **given)


COUNTS = """
import json, os, sys
print("begins with", sys.argv[1], os.environ.get("NAMED"))
for step in range(1, 4):
    print(json.dumps({"step": 10 * step, "value": float(sys.argv[1]) / step, "other": 1}))
print("{no json")
"""


def test_lines_of_json_are_reports_and_the_rest_is_output(tmp_path: Path) -> None:
    sink = Reports()
    made = runner(job(tmp_path, COUNTS, "environment = {NAMED = 'seed {trial.seed}'}"), sink)
    outcome = made.run()
    assert outcome.end is not None
    assert (outcome.end["state"], outcome.end["step"]) == ("completed", 30)
    assert outcome.end["values"] == {"value": 2.5 / 3}
    assert [(p["step"], p["values"]["value"]) for p in sink.points] == [
        (10, 2.5), (20, 1.25), (30, 2.5 / 3),
    ]  # fmt: skip
    assert "begins with 2.5 seed 1\n" in made.output.text


def test_a_pattern_finds_reports_in_any_text_and_counts_the_steps(tmp_path: Path) -> None:
    script = "for v in (3, 2, 1): print(f'epoch done, loss={v}.5 (ok)')"
    sink = Reports()
    outcome = runner(job(tmp_path, script, "pattern = 'loss=(?P<value>[0-9.]+)'"), sink).run()
    assert outcome.end is not None
    assert [(p["step"], p["values"]["value"]) for p in sink.points] == [
        (1, 3.5),
        (2, 2.5),
        (3, 1.5),
    ]


@pytest.mark.parametrize(
    "line",
    [
        '\x1b[32m{"step": 3, "value": 0.5}\x1b[0m',
        '\x1b[2K\x1b[1G{"step": 3.0, "value": 5e-1}',
        '{"value": ' + "[" * 100_000 + '\n{"step": 3, "value": 0.5}',
        '\repoch 1/3 ##   \r{"step": 3, "value": 0.5}',
    ],
    ids=["colours", "cursor", "too many brackets", "a progress bar"],
)
def test_a_report_is_found_among_what_programs_print(tmp_path: Path, line: str) -> None:
    sink = Reports()
    outcome = runner(job(tmp_path, f"print({line!r})"), sink).run()
    assert outcome.failure is None
    assert [(p["step"], p["values"]) for p in sink.points] == [(3, {"value": 0.5})]


def test_a_pattern_sees_no_colours() -> None:
    metrics, pattern = {"value": "minimize"}, r"value=(?P<value>\S+) step=(?P<step>\S+)"
    spec = CommandSpec(name="c", command=["c"], metrics=metrics, folder=".", pattern=pattern)
    report = Reader(spec).report("value=\x1b[1;31m0.5\x1b[0m step=\x1b[1m3.0\x1b[0m\n")
    assert report == (3, {"value": 0.5})


def test_a_line_without_an_end_is_not_gathered(tmp_path: Path) -> None:
    script = f"print('x' * {LONGEST_LINE + 1}, end='')\nraise SystemExit(1)"
    failure = runner(job(tmp_path, script)).run().failure
    assert failure is not None
    assert [len(line) for line in failure.message.splitlines()[1:]] == [LONGEST_TOLD, 1]


STEP_OF = """print('{{"step": {}, "value": 1}}')"""


@pytest.mark.parametrize(
    ("script", "more", "kind", "message"),
    [
        ("raise SystemExit(3)", "", "user_error", "status 3, and printed nothing"),
        ("print('hm'); 1 / 0", "", "user_error", "ZeroDivisionError"),
        ("raise RuntimeError('CUDA out of memory')", "", "oom", "out of memory"),
        ("print('nothing to see')", "", "user_error", "printed no report; its last lines:"),
        ("import os; os.kill(os.getpid(), 9)", "", "infrastructure", "by SIGKILL"),
        ("import time; time.sleep(60)", "time_limit_s = 0.5", "timeout", "longer than 0.5 s"),
        ('print(\'{"value": "much"}\')', "", "user_error", "'much' for value"),
        ("print('{\"value\": NaN}')", "", "nan", "value is nan"),
        ("print('{\"value\": 1' + '0' * 400 + '}')", "", "user_error", "which is no number"),
        (STEP_OF.format("1.5"), "", "user_error", "1.5 for step, which is no whole number"),
        (STEP_OF.format("Infinity"), "", "user_error", "inf for step, which is no whole number"),
        (STEP_OF.format(2**60), "", "user_error", "step must be at most 9007199254740992"),
    ],
)
def test_a_bad_end_of_a_command_has_its_kind(
    tmp_path: Path, script: str, more: str, kind: str, message: str
) -> None:
    outcome = runner(job(tmp_path, script, more)).run()
    assert outcome.failure is not None
    assert outcome.failure.kind == kind
    assert message in outcome.failure.message


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    spec = spec_in(tmp_path, "command = ['no-such-program']\nmetrics = {value = 'minimize'}")
    of = Job(trial_id="tr_1", number=1, objective="mine", command=spec.as_job())
    failure = runner(of).run().failure
    assert failure is not None
    assert failure.kind == "user_error"
    assert "no-such-program cannot be started" in failure.message


ENDLESS = """
import json, os, time
print(json.dumps({"value": os.getpid()}))
while True:
    time.sleep(0.01)
    print(json.dumps({"value": 1.0}))
"""


def test_a_command_is_ended_when_its_trial_is_to_stop(tmp_path: Path) -> None:
    sink = Reports()
    made = runner(job(tmp_path, ENDLESS), sink)
    with running(made) as outcome:
        is_gone = watch(int(sink.next_value()))
        made.stop()
        told = outcome().end
        assert told is not None
        assert told["state"] == "stopped"
        assert is_gone()


def test_a_command_goes_with_its_trial(tmp_path: Path) -> None:
    sink = Reports()
    made = runner(job(tmp_path, ENDLESS), sink)
    with running(made) as outcome:
        is_gone = watch(int(sink.next_value()))
        made.kill(Cause.ABORT)
        assert outcome().cause is Cause.ABORT
        assert is_gone()


def shell_job(folder: Path, script: str, line: str, more: str = "") -> Job:
    """A trial of a command that runs a line in a shell; `PY` in it is a Python script."""
    (folder / "train.py").write_text(script)
    line = line.replace("PY", f"{sys.executable} -u train.py")
    text = f"command = ['sh', '-c', '{line}']\nmetrics = {{value = 'minimize'}}\n{more}"
    spec = spec_in(folder, text)
    return Job(
        trial_id="tr_1", number=1, objective="mine", command=spec.as_job(), params={"x": 2.5}
    )


@pytest.mark.parametrize("line", ["PY; echo done", "setsid PY; echo done"])
def test_what_runs_behind_a_shell_is_ended_when_its_trial_is_to_stop(
    tmp_path: Path, line: str
) -> None:
    sink = Reports()
    made = runner(shell_job(tmp_path, ENDLESS, line), sink)
    with running(made) as outcome:
        is_gone = watch(int(sink.next_value()))
        made.stop()
        told = outcome().end
        assert told is not None
        assert told["state"] == "stopped"
        assert is_gone()


def test_what_runs_behind_a_shell_is_held_to_the_time_limit(tmp_path: Path) -> None:
    sink = Reports()
    job = shell_job(tmp_path, ENDLESS, "PY; echo done", "time_limit_s = 1")
    with running(runner(job, sink)) as outcome:
        is_gone = watch(int(sink.next_value()))
        assert is_gone()
        failure = outcome().failure
    assert failure is not None
    assert failure.kind == "timeout"


def test_what_a_command_leaves_running_keeps_its_trial_no_longer(tmp_path: Path) -> None:
    sink = Reports()
    with running(runner(shell_job(tmp_path, ENDLESS, "PY & sleep 0.3"), sink)) as outcome:
        is_gone = watch(int(sink.next_value()))
        told = outcome().end
        assert told is not None
        assert told["state"] == "completed"
        assert is_gone()


def test_a_shell_whose_command_was_killed_is_told_as_killed(tmp_path: Path) -> None:
    script = "import os; os.kill(os.getpid(), 9)"
    outcome = runner(shell_job(tmp_path, script, "PY; exit $?")).run()
    assert outcome.failure is not None
    assert outcome.failure.kind == "infrastructure"
