"""A trial's process: how its ends are told apart, and that it and its group go when they must."""

from __future__ import annotations

import os

import pytest

from workers.runner import Cause

from . import helpers, nearby
from .helpers import HERE, Reports, job, run, runner, running, watch


@pytest.fixture(params=["here", "relayed"], autouse=True)
def _where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs on a process that is started here, and on one that is relayed."""
    if request.param == "relayed":
        monkeypatch.chdir(HERE)  # the folder of the node
        monkeypatch.setattr(helpers, "start_child", nearby.start_child)


def test_values_reports_and_output_of_a_good_trial_arrive() -> None:
    sink = Reports()
    made = runner(job("good"), sink)
    outcome = made.run()
    assert outcome.end is not None
    assert outcome.end["state"] == "completed"
    assert outcome.end["values"] == {"value": 1.0}
    assert outcome.end["step"] == 2
    assert outcome.end["usage"]["peak_memory_bytes"] > 1_000_000
    assert [point["values"] for point in sink.points] == [{"value": 2.0}, {"value": 1.0}]
    assert made.output.text == "some output\n"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("raises", "user_error", "KeyError: 'no such column'"),
        ("out_of_memory", "oom", "MemoryError: too much"),
        ("leaves", "user_error", "SystemExit: 3"),
        ("dies", "user_error", "status 7"),
        ("killed", "infrastructure", "SIGKILL"),
        ("crashes", "user_error", "SIGABRT"),
        ("no_number", "nan", "value is nan"),
        ("silent", "user_error", "neither reported nor returned"),
        ("not_there", "user_error", "has no 'not_there'"),
        ("NOT_AN_OBJECTIVE", "user_error", "no objective"),
    ],
)
def test_a_bad_end_has_its_kind(name: str, kind: str, message: str) -> None:
    outcome, _ = run(name)
    assert outcome.failure is not None
    assert outcome.failure.kind == kind
    assert message in outcome.failure.message


def test_an_exception_comes_with_the_traceback_into_the_users_code() -> None:
    outcome, _ = run("raises")
    assert outcome.failure is not None
    assert "user_code.py" in outcome.failure.traceback
    assert 'raise KeyError("no such column")' in outcome.failure.traceback
    assert "child.py" not in outcome.failure.traceback


def test_the_output_of_a_process_that_dies_stands_in_for_a_traceback() -> None:
    outcome, _ = run("dies")
    assert outcome.failure is not None
    assert "last words" in outcome.failure.traceback


def test_a_trial_over_its_time_limit_ends_as_timeout() -> None:
    outcome, _ = run("spins", time_limit_s=0.5)
    assert outcome.failure is not None
    assert outcome.failure.kind == "timeout"
    assert "0.5 s" in outcome.failure.message


def test_a_child_that_ignores_sigterm_is_killed_with_its_grandchild() -> None:
    sink = Reports()
    made = runner(job("stubborn"), sink, grace_s=0.1)
    with running(made) as outcome:
        child_is_gone = watch(int(sink.next_value()))
        grandchild_is_gone = watch(int(sink.next_value()))
        made.kill(Cause.ABORT)
        assert outcome().cause is Cause.ABORT
        assert child_is_gone()
        assert grandchild_is_gone()


def test_a_child_in_a_session_of_its_own_goes_with_a_trial_that_is_ended() -> None:
    sink = Reports()
    made = runner(job("has_a_session_apart"), sink)
    with running(made) as outcome:
        apart_is_gone = watch(int(sink.next_value()))
        made.kill(Cause.ABORT)
        assert outcome().cause is Cause.ABORT
        assert apart_is_gone()


def test_a_process_left_behind_by_a_trial_goes_with_it() -> None:
    sink = Reports()
    made = runner(job("stubborn"), sink, grace_s=60.0)
    with running(made) as outcome:
        child = int(sink.next_value())
        grandchild_is_gone = watch(int(sink.next_value()))
        os.kill(child, 9)
        failure = outcome().failure
        assert failure is not None
        assert failure.kind == "infrastructure"
        assert grandchild_is_gone()


def test_a_trial_asked_to_stop_ends_as_stopped_with_its_values() -> None:
    sink = Reports()
    made = runner(job("spins"), sink)
    with running(made) as outcome:
        sink.next_value()
        made.stop()
        end = outcome().end
        assert end is not None
        assert end["state"] == "stopped"
        assert end["values"] == {"value": 5.0}


def test_a_released_trial_is_ended_and_told_as_such() -> None:
    sink = Reports()
    made = runner(job("spins"), sink)
    with running(made) as outcome:
        sink.next_value()
        made.kill(Cause.RELEASE)
        assert outcome().cause is Cause.RELEASE


def test_the_childs_group_and_session_are_its_own() -> None:
    sink = Reports()
    made = runner(job("spins"), sink)
    with running(made) as outcome:
        pid = int(sink.next_value())
        assert os.getpgid(pid) == pid
        assert os.getsid(pid) == pid
        made.kill(Cause.ABORT)
        outcome()
