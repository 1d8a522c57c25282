"""Trials, numbers and times as text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tunewell.lines import (
    ago,
    cell,
    clean,
    duration,
    number,
    one_line,
    paused_line,
    promoted_line,
    saved_line,
    source_words,
    trial_line,
)
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


def test_a_duplicate_says_whose_result_it_has() -> None:
    of = {"trial_id": "tr_1", "number": 1, "source": "initial"}
    duplicate = {"source": "duplicate", "provenance": {"duplicate_of": of}}
    assert line(**duplicate).endswith("accuracy 0.9465  not trained: equal to trial 1")
    assert source_words(read(Trial, trial(**duplicate))) == (
        "duplicate: equal to trial 1, whose result it has (initial before)"
    )
    assert source_words(read(Trial, trial())) == "suggester"


def test_a_stopped_trial_says_where() -> None:
    assert line(state="stopped", step=1).endswith("accuracy 0.9465  stopped at step 1")


def test_a_stopped_trial_says_why_on_one_line() -> None:
    text = line(state="stopped", step=1, directive_reason="rank 5 of 9,\nbest 3 go on\x1b[2J")
    assert text.endswith("stopped at step 1: rank 5 of 9, best 3 go on\N{REPLACEMENT CHARACTER}[2J")


def test_a_paused_trial_says_where_with_what_and_why() -> None:
    rungs = [{"step": 1, "value": 0.5}, {"step": 3, "value": 0.93}]
    paused = read(Trial, trial(state="paused", values={}, rungs=rungs, directive_reason="5th of 9"))
    assert paused_line(paused) == "trial 3  paused at step 3: 0.9300; 5th of 9"
    assert paused_line(read(Trial, trial(state="paused"))) == "trial 3  paused"


@pytest.mark.parametrize(("to_step", "text"), [(9, "step 9"), (None, "its end")])
def test_a_promoted_trial_says_how_far_it_goes(to_step: int | None, text: str) -> None:
    assert promoted_line(read(Trial, trial(to_step=to_step))) == f"trial 3  promoted to {text}"


@pytest.mark.parametrize(
    ("saved", "saved_s", "text"),
    [
        (0, 0.0, None),
        (1580, 7200.0, "1,063 steps trained, 1,580 not trained, about 2 h of training"),
        (1580, 0.2, "1,063 steps trained, 1,580 not trained"),
    ],
)
def test_what_was_saved_is_said_where_something_was(
    saved: int, saved_s: float, text: str | None
) -> None:
    raw = study(resource_used=1063, resource_saved=saved, saved_s=saved_s)
    assert saved_line(read(Study, raw)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0061234, "0.006123"),
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


def test_what_is_left_out_of_a_long_text_is_marked() -> None:
    assert one_line("a\nb c", 5) == "a b c"
    assert one_line("a\nb cd", 5) == "a b \N{HORIZONTAL ELLIPSIS}"
