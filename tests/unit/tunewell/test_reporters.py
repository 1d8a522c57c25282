"""How a followed study is shown."""

import json
import re

import pytest

from tunewell import reporters
from tunewell.models import Study, Trial, read
from tunewell.reporters import Bar, JsonLines, Lines, Quiet, reporter, standing

from .fake_service import study, trial

TRIAL = read(Trial, trial())
GOING = read(Study, study(trial_counts={"completed": 1, "running": 2}, best=trial()))
ENDED = read(Study, study(state="completed", stop_reason="max_trials", best=trial()))
RESULT = ["trial_id=tr_3  number=3  accuracy=0.9465", "learning_rate=0.0061  batch_size=24"]


def without_times(text: str) -> list[str]:
    """Lines of a log without the times that they begin with."""
    return [re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", "", line) for line in text.splitlines()]


def shown(shows: reporters.Reporter) -> None:
    with shows:
        shows.begin(GOING)
        shows.trial(TRIAL, GOING)
        shows.progress(GOING)
    shows.end(ENDED, [TRIAL])


def test_piped_there_are_plain_lines_data_apart_from_talk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown(Lines("http://tune.example"))
    out, err = capsys.readouterr()
    assert out.splitlines() == RESULT
    assert without_times(err) == [
        "st_1 following name=demo state=active url=http://tune.example/studies/st_1",
        "#3 completed accuracy=0.9465 took_s=0.0",
        "study demo  completed (max_trials)  0 trials",
    ]


def test_a_warning_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("http://tune.example")
    warned = read(Study, study(warnings=["no worker offers it\x1b[2J"]))
    lines.progress(warned)
    lines.progress(warned)
    said = without_times(capsys.readouterr().err)
    assert said == ["warning no worker offers it\ufffd[2J"]


def test_after_a_silence_it_says_that_the_study_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = Lines("http://tune.example")
    monkeypatch.setattr(reporters, "QUIET_S", -1.0)
    lines.progress(GOING)
    said = without_times(capsys.readouterr().err)
    assert said == ["st_1 active 1/2 trials, 2 running, best accuracy 0.9465"]


def test_json_lines_are_trials_and_one_result(capsys: pytest.CaptureFixture[str]) -> None:
    shown(JsonLines())
    out, err = capsys.readouterr()
    first, last = (json.loads(line) for line in out.splitlines())
    assert (first["type"], first["trial"]["values"]) == ("trial", {"accuracy": 0.9465})
    assert (last["type"], last["study"]["state"]) == ("result", "completed")
    assert last["best"][0]["number"] == 3
    assert err == ""


RUNGS = [{"step": 1, "value": 0.93}]
PAUSED = read(Trial, trial(state="paused", values={}, rungs=RUNGS, to_step=1))
PROMOTED = read(Trial, trial(state="pending", values={}, rungs=RUNGS, to_step=3))


def test_pauses_and_promotions_are_talk(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines("http://tune.example")
    lines.paused(PAUSED)
    lines.promoted(PROMOTED)
    out, err = capsys.readouterr()
    assert out == ""
    assert without_times(err) == [
        "trial 3  paused at step 1: 0.9300",
        "trial 3  promoted to step 3",
    ]


def test_pauses_and_promotions_are_json_lines_of_their_own_types(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nowhere = read(Trial, trial(state="paused", rungs=[{"step": 1, "value": "NaN"}]))
    JsonLines().paused(nowhere)
    JsonLines().promoted(PROMOTED)
    paused, promoted = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (paused["type"], paused["trial"]["rungs"]) == ("paused", [{"step": 1, "value": "NaN"}])
    assert (promoted["type"], promoted["trial"]["to_step"]) == ("promoted", 3)


def test_the_end_says_why_with_its_figures_and_what_was_saved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = study(
        state="completed",
        stop_reason="no_progress",
        stop_detail="12 trials without gain",
        resource_used=63,
        resource_saved=180,
        saved_s=360.0,
    )
    Quiet().end(read(Study, ended), [TRIAL])
    assert capsys.readouterr().err.splitlines() == [
        "study demo  completed (no_progress: 12 trials without gain)  0 trials",
        "63 steps trained, 180 not trained, about 6 min of training",
    ]


def test_standing_counts_paused_trials() -> None:
    going = read(Study, study(trial_counts={"completed": 1, "running": 2, "paused": 4}))
    assert standing(going) == "1/2 trials, 2 running, 4 paused"


def test_the_pace_of_the_last_hour_says_how_long_it_still_takes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporters, "QUIET_S", -1.0)
    lines = Lines("http://tune.example")
    # The first is too long ago; a failed one brings the study no further.
    ends = [("09:00", "completed"), ("12:00", "completed"), ("12:01", "failed")]
    ends += [("12:10", "stopped"), ("12:20", "completed")]
    definition = {**study()["definition"], "limits": {"max_trials": 10}}
    going = read(Study, study(definition=definition, trial_counts={"completed": 4}))
    for number, (at, state) in enumerate(ends):
        ended = trial(number, state=state, ended_at=f"2026-11-23T{at}:00Z")
        lines.trial(read(Trial, ended), going)
    lines.progress(going)
    said = without_times(capsys.readouterr().err)
    assert said[-1] == "st_1 active 4/10 trials, 0 running, 6/h, about 1 h left"


def test_quiet_shows_the_result_alone(capsys: pytest.CaptureFixture[str]) -> None:
    shown(Quiet())
    assert capsys.readouterr().out.splitlines() == RESULT


def test_without_a_best_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Quiet().end(read(Study, study(state="failed", stop_reason="max_failed")), [])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == "no trial has completed"


def test_a_bar_on_a_terminal_leaves_the_data_on_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown(Bar("http://tune.example"))
    out, err = capsys.readouterr()
    assert out.splitlines() == RESULT
    assert "\x1b" in err
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", err)
    assert "study demo  st_1  http://tune.example/studies/st_1" in plain
    assert re.search(r"1/2 .* 2 running", plain)


@pytest.mark.parametrize(
    ("is_terminal", "term", "kind"),
    [(True, "xterm", Bar), (True, "dumb", Lines), (False, "xterm", Lines)],
)
def test_the_bar_is_for_terminals_that_can_show_one(
    is_terminal: bool, term: str, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal, raising=False)
    monkeypatch.setenv("TERM", term)
    assert type(reporter("http://tune.example")) is kind
    assert type(reporter("http://tune.example", as_json=True)) is JsonLines


def test_standing_names_no_total_without_a_budget() -> None:
    definition = {**study()["definition"], "limits": {}}
    assert standing(read(Study, study(definition=definition))) == "0 trials, 0 running"
