"""What a worker says: a sentence for each event, JSON for programs, errors as everywhere else."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from workers.log import Log
from workers.talk import Talk, error_lines, took

STARTED = {
    "trial_id": "tr_1", "study_id": "st_1", "lease_id": "ls_1", "number": 41, "objective": "mlp",
    "params": {"lr": 0.0031271234, "model": "batch norm\x1b[1m"},
}  # fmt: skip


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def talk(clock: Clock) -> Talk:
    return Talk(clock)


def test_a_trial_is_told_by_its_number_and_how_long_it_took(talk: Talk, clock: Clock) -> None:
    assert talk("trial_started", STARTED) == (
        '#41 mlp started  lr=0.00312712  model="batch norm\\u001b[1m"  (st_1)'
    )
    clock.now = 124.0
    end = {"trial_id": "tr_1", "number": 41, "step": 3, "values": {"accuracy": 0.97741234}}
    assert talk("trial_completed", end) == "#41 mlp completed  accuracy=0.977412  2 min 04 s"


@pytest.mark.parametrize(
    ("event", "fields", "said"),
    [
        ("trial_stopped", {"step": 3, "values": None}, "#41 mlp stopped  at step 3  0.0 s"),
        ("trial_failed", {"kind": "oom", "message": "a\nb"}, "#41 mlp failed  oom: a b  0.0 s"),
        ("trial_ended", {"cause": "abort"}, "#41 mlp ended  (abort)  0.0 s"),
        ("trial_resumed", {"step": 2}, "#41 mlp goes on from step 2"),
    ],
)
def test_each_end_of_a_trial_says_why(
    talk: Talk, event: str, fields: dict[str, Any], said: str
) -> None:
    talk("trial_started", STARTED)
    assert talk(event, {"trial_id": "tr_1", **fields}) == said


def test_an_outage_and_its_end_are_told(talk: Talk) -> None:
    away = talk("service_away", {"url": "http://tune:8700", "reason": "connection refused"})
    assert away is not None
    assert away.startswith("no service at http://tune:8700 (connection refused); trying on")
    assert talk("heartbeat_unanswered", {"detail": "x"}) is None
    assert talk("service_back", {"silent_s": 31.2}) == "service back after 31 s"


def test_a_worker_says_where_it_is_and_what_it_offers(talk: Talk) -> None:
    fields = {"name": "w1", "worker_id": "wk_1", "url": "http://tune:8700", "reason": "start"}
    said = talk("worker_registered", {**fields, "objectives": ["a", "b"]})
    assert said == "worker w1 wk_1 at http://tune:8700, serves a, b"


@pytest.mark.parametrize(
    ("running", "said"),
    [
        (0, "draining: no trial runs, none is begun"),
        (1, "draining: no trial is begun; the one that runs has 25 s to end, or is given back once "
         "it is saved. Ctrl-C again: give back now"),
    ],
)  # fmt: skip
def test_what_draining_means_is_told(talk: Talk, running: int, said: str) -> None:
    assert talk("worker_draining", {"running": running, "drain_s": 25.0}) == said


def test_what_a_worker_finds_when_it_starts_is_told_with_what_to_do(talk: Talk) -> None:
    failing = {"url": "http://tune:8700", "detail": "no database"}
    assert talk("service_not_ready", failing) == (
        "http://tune:8700 answers, but takes no worker now (no database); trying on"
    )
    kept = {"url": "http://localhost:8700", "leases": 1, "folder": "/state/spool"}
    assert talk("spool_kept", kept) == (
        "reports of 1 trial, left by a process before, are for another address: "
        "a worker with --url http://localhost:8700 sends them (/state/spool)"
    )


def test_what_has_no_sentence_is_told_by_its_fields(talk: Talk) -> None:
    assert talk("directive", {"lease_id": "ls_1", "directive": "stop"}) == (
        "directive  lease_id=ls_1  directive=stop"
    )


def test_an_error_of_a_module_says_first_what_is_wrong_then_where() -> None:
    trace = (
        "'own:f' cannot be used: Traceback (most recent call last):\n"
        + "".join(f'  File "{name}", line 1\n    go()\n' for name in ("a.py", "b.py", "own.py"))
        + "TypeError: no \x1b"
    )
    assert error_lines("worker_cannot_start", {"detail": trace}) == [
        "error: 'own:f' cannot be used: TypeError: no \\x1b",
        '    File "b.py", line 1', "      go()", '    File "own.py", line 1', "      go()",
    ]  # fmt: skip
    assert error_lines("service_unreachable", {"detail": "no answer"}) == [
        "error: no answer",
        "  start one: tunewell serve     or point elsewhere: --url URL, or TUNEWELL_URL",
    ]


def test_an_error_goes_to_standard_error_and_for_programs_to_standard_output_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = io.StringIO()
    Log(out=out)("worker_refused", detail="no")
    Log(json_lines=True, out=out)("worker_refused", detail="no")
    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["worker_refused"]
    said = capsys.readouterr()
    assert said.err.splitlines() == 2 * [
        "error: no", "  see what the service takes: tunewell doctor",
    ]  # fmt: skip
    assert said.out == ""


def test_lines_that_are_kept_have_the_time_in_full() -> None:
    out = io.StringIO()
    Log(out=out)("worker_ended", status=0)
    time, _, text = out.getvalue().partition(" ")
    assert time.endswith("Z")
    assert text == "worker ended (exit 0)\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (31.4, "31 s"), (124, "2 min 04 s"), (7260, "2 h 01 min")],
)
def test_spans_of_time(seconds: float, text: str) -> None:
    assert took(seconds) == text
