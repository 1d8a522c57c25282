"""Trials, numbers and times as text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tunewell.lines import ago, cell, clean, duration, number, trial_line
from tunewell.models import Study, Trial, read

from .fake_service import study, trial


def line(**changes: Any) -> str:
    return trial_line(read(Trial, trial(**changes)), read(Study, study()))


def test_a_trial_is_printed_as_the_article_does() -> None:
    assert line() == "trial 3  learning_rate 0.0061  batch_size 24  accuracy 0.9465"


def test_an_inactive_parameter_and_a_missing_metric_are_left_out() -> None:
    assert line(params={"batch_size": 24}, values={}, state="infeasible") == (
        "trial 3  batch_size 24  infeasible"
    )


def test_a_failed_trial_says_why_on_one_line() -> None:
    failure = {"kind": "oom", "message": "out of\nmemory \x1b[31m", "traceback": ""}
    text = line(state="failed", values={}, failure=failure)
    assert text.endswith("batch_size 24  failed oom: out of memory \N{REPLACEMENT CHARACTER}[31m")


def test_a_stopped_trial_says_where() -> None:
    assert line(state="stopped", step=1).endswith("accuracy 0.9465  stopped at step 1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0061234, "0.0061"),
        (0.94651, "0.9465"),
        (0.0, "0.0000"),
        (-3.25, "-3.2500"),
        (0.00012345, "0.0001234"),
        (123456.7, "1.235e+05"),
        (24, "24"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_have_four_decimals_where_these_say_something(value: Any, text: str) -> None:
    assert number(value) == text


def test_cells_are_words() -> None:
    assert [cell(v) for v in (None, True, "a\tb", 1.5)] == ["-", "true", "a\ufffdb", "1.5000"]
    assert cell(datetime(2026, 11, 23, 20, tzinfo=UTC)) == "2026-11-23 20:00:00"


def test_what_a_terminal_would_obey_is_replaced() -> None:
    assert clean("a\x1b]0;owned\x07\u202e") == "a\ufffd]0;owned\ufffd\ufffd"


def test_durations_are_rounded_to_their_unit() -> None:
    assert [duration(s) for s in (-1, 5, 120, 7200, 172800)] == [
        "0 s",
        "5 s",
        "2 min",
        "2 h",
        "2 d",
    ]
    assert ago(datetime.now(UTC) - timedelta(hours=3)) == "3 h ago"
    assert ago(None) == "-"
