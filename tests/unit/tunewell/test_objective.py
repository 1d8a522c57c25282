"""Objectives of the user's own: the decorator, the trial that they see, their final values."""

import gc
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunewell
from tunewell.objective import final_values, is_finite


class Channel:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, dict[str, float], float]] = []
        self.checkpoints: list[tuple[int, Path, str]] = []
        self.should_stop = False
        self.should_checkpoint = True
        self.to_step: int | None = 3

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        self.reports.append((step, dict(values), elapsed_s))

    def save(self, step: int, path: Path, name: str) -> None:
        self.checkpoints.append((step, path, name))

    def elapsed_s(self) -> float:
        return 1.5


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def trial(channel: Channel) -> tunewell.Trial:
    return tunewell.Trial(id="tr_1", number=4, params={"x": 1.0}, options={}, channel=channel)


def test_the_decorator_makes_an_objective_that_can_still_be_called(trial: tunewell.Trial) -> None:
    @tunewell.objective(name="parabola", metrics={"value": "minimize"})
    def parabola(trial: tunewell.Trial) -> float:
        return trial.params["x"] ** 2

    assert isinstance(parabola, tunewell.Objective)
    assert parabola(trial) == 1.0


def test_an_offer_has_the_schemas_of_what_is_taken() -> None:
    @tunewell.objective(
        name="p",
        metrics={"value": "minimize"},
        params={"x": {"type": "number"}},
        options={"n": {"type": "integer"}},
        version="2",
        steps="a step is a sweep",
        max_resource=9,
    )
    def p(trial: tunewell.Trial) -> float:
        return 0.0

    assert p.offer() == {
        "name": "p",
        "version": "2",
        "params_schema": {
            "type": "object",
            "properties": {"x": {"type": "number"}},
            "additionalProperties": False,
        },
        "options_schema": {
            "type": "object",
            "properties": {"n": {"type": "integer"}},
            "additionalProperties": False,
        },
        "metrics": {"value": "minimize"},
        "steps": "a step is a sweep",
        "checkpoints": False,
        "max_resource": 9,
        "data": [],
    }


def test_a_direction_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="minimize or maximize, not 'max'"):
        tunewell.objective(name="p", metrics={"value": "max"})


def test_reports_go_to_the_channel_and_are_remembered(
    trial: tunewell.Trial, channel: Channel
) -> None:
    trial.report(1, accuracy=1, loss=math.nan)
    step, values, elapsed_s = channel.reports[0]
    assert (step, elapsed_s, values["accuracy"]) == (1, 1.5, 1.0)
    assert math.isnan(values["loss"])
    assert trial.last_step == 1


@pytest.mark.parametrize("step", [0, -1, 1.0, True, "2", None])
def test_a_step_is_an_integer_of_one_or_more(trial: tunewell.Trial, step: Any) -> None:
    with pytest.raises(ValueError, match="step must be an integer above 0"):
        trial.report(step, a=1.0)


def test_a_number_beyond_json_or_a_float_is_refused_where_it_is_reported(
    trial: tunewell.Trial,
) -> None:
    with pytest.raises(ValueError, match="step must be at most 9007199254740992"):
        trial.report(2**53 + 1, a=1.0)
    with pytest.raises(TypeError, match="the metric 'a' is a number"):
        trial.report(2**53, a=10**400)


def test_a_step_may_be_an_integer_of_numpy(trial: tunewell.Trial, channel: Channel) -> None:
    trial.report(np.int64(3), loss=np.float32(0.5))
    step, values, _ = channel.reports[0]
    assert (type(step), step, values) == (int, 3, {"loss": 0.5})


def test_steps_grow(trial: tunewell.Trial) -> None:
    trial.report(2, a=1.0)
    with pytest.raises(ValueError, match="above 2"):
        trial.report(2, a=1.0)


def test_a_report_has_a_metric(trial: tunewell.Trial) -> None:
    with pytest.raises(ValueError, match="at least one metric"):
        trial.report(1)


@pytest.mark.parametrize("value", ["much", None, [1.0]])
def test_a_metric_is_a_number(trial: tunewell.Trial, channel: Channel, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        trial.report(1, a=value)
    assert channel.reports == []


def test_the_seed_is_the_option_else_the_trials_number(channel: Channel) -> None:
    def seed(**options: int) -> int:
        found = tunewell.Trial(id="t", number=4, params={}, options=options, channel=channel)
        return found.seed

    assert (seed(), seed(seed=7), seed(seed=0)) == (4, 7, 0)


def test_should_stop_is_the_channels(trial: tunewell.Trial, channel: Channel) -> None:
    assert not trial.should_stop
    channel.should_stop = True
    assert trial.should_stop


def test_the_final_values_are_those_returned_else_the_last_reported(trial: tunewell.Trial) -> None:
    metrics = {"a": "minimize"}
    trial.report(1, a=5.0)
    assert final_values(trial, None, metrics) == {"a": 5.0}
    assert final_values(trial, 4, metrics) == {"a": 4.0}
    assert final_values(trial, {"a": 3, "b": 2}, metrics) == {"a": 3.0, "b": 2.0}


def test_one_number_does_not_do_for_two_metrics(trial: tunewell.Trial) -> None:
    with pytest.raises(ValueError, match="several metrics"):
        final_values(trial, 1.0, {"a": "minimize", "b": "minimize"})


def test_an_objective_that_says_nothing_has_no_values(trial: tunewell.Trial) -> None:
    with pytest.raises(ValueError, match="neither reported nor returned"):
        final_values(trial, None, {"a": "minimize"})


def test_values_are_finite_when_all_are() -> None:
    assert is_finite({"a": 1.0})
    assert not is_finite({"a": 1.0, "b": math.inf})


def test_a_checkpoint_is_of_the_last_reported_step(
    trial: tunewell.Trial, channel: Channel, tmp_path: Path
) -> None:
    assert not trial.should_checkpoint
    with pytest.raises(ValueError, match="report a step"):
        trial.save()
    trial.report(3, loss=0.5)
    assert trial.should_checkpoint
    trial.save()
    assert channel.checkpoints == [(3, trial.checkpoint_dir, ".")]


def test_what_is_saved_is_found_again_at_the_same_place_or_under_its_name(
    trial: tunewell.Trial, channel: Channel, tmp_path: Path
) -> None:
    trial.report(3, loss=0.5)
    inner, elsewhere = trial.checkpoint_dir / "nets" / "best", tmp_path / "folder"
    inner.mkdir(parents=True)
    elsewhere.mkdir()
    trial.save(inner)
    trial.save(str(elsewhere))
    assert [name for *_, name in channel.checkpoints] == ["nets/best", "folder"]
    with pytest.raises(FileNotFoundError, match=r"no .*nothing to save"):
        trial.save(tmp_path / "nothing")


def test_a_trial_that_no_worker_runs_has_a_folder_of_its_own(channel: Channel) -> None:
    made = tunewell.Trial(id="tr_1", number=4, params={}, options={}, channel=channel)
    folder = made.checkpoint_dir
    assert list(folder.iterdir()) == []
    assert made.checkpoint_dir == folder
    del made
    gc.collect()
    assert not folder.exists()


def test_a_metric_that_is_not_declared_is_named_with_those_that_are(channel: Channel) -> None:
    declared = {"loss": "minimize", "accuracy": "maximize"}
    made = tunewell.Trial(
        id="tr_1", number=4, params={}, options={}, channel=channel, metrics=declared
    )
    with pytest.raises(ValueError, match=r"not declare the metric 'acuracy'.* loss, accuracy"):
        made.report(1, loss=0.5, acuracy=0.5)
    assert channel.reports == []
    made.report(1, loss=0.5)


def test_a_resumed_trial_reports_later_steps_only(channel: Channel, tmp_path: Path) -> None:
    resumed = tunewell.Trial(
        id="tr_1",
        number=4,
        params={},
        options={},
        channel=channel,
        checkpoint_dir=tmp_path,
        last_step=7,
        last_values={"loss": 0.2},
    )
    assert resumed.checkpoint_dir == tmp_path
    assert final_values(resumed, None, {"loss": "minimize"}) == {"loss": 0.2}
    with pytest.raises(ValueError, match="above 7"):
        resumed.report(7, loss=0.1)
    resumed.report(8, loss=0.1)
    assert [step for step, *_ in channel.reports] == [8]


def test_an_objective_says_whether_it_saves_checkpoints() -> None:
    @tunewell.objective(name="p", metrics={"value": "minimize"}, checkpoints=True)
    def saving(trial: tunewell.Trial) -> float:
        return 0.0

    assert saving.offer()["checkpoints"] is True
