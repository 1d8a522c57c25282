"""What becomes of a trial that is evaluated in a `with` block."""

from __future__ import annotations

import logging
import pickle
import time

import pytest

import tunewell as tw
from tunewell.asked import AskedTrial
from tunewell.models import TrialDetail, read

LIMIT_S = 30.0


def one(study: tw.Study) -> AskedTrial:
    (trial,) = study.ask(wait_s=0)
    return trial


def seen(client: tw.Client, trial: tw.Trial) -> TrialDetail:
    return read(TrialDetail, client.get_trial(trial.id))


def wait_for_stop(trial: AskedTrial) -> None:
    """Waits for the sender to hear what the service says."""
    deadline = time.monotonic() + LIMIT_S
    while not trial.should_stop:
        assert time.monotonic() < deadline
        trial._lease.session.sender.flush(trial._lease.held).result(timeout=LIMIT_S)
        trial.report(trial.last_step + 1, value=1.0)


def test_the_ten_lines_run_a_study_to_its_end(study: tw.Study) -> None:
    for trial in study.ask_until_done():
        with trial:
            for step in range(1, 4):
                trial.report(step, value=trial.params["x"] ** 2 / step)
                if trial.should_stop:
                    break
    assert study.refresh().state == "completed"
    found = list(study.trials)
    assert [(each.number, each.state, each.step) for each in found] == [
        (1, "completed", 3),
        (2, "completed", 3),
        (3, "completed", 3),
    ]
    best = study.best
    assert best is not None
    assert best.values["value"] == min(each.values["value"] for each in found)


def test_every_report_arrives_nan_among_them(study: tw.Study, client: tw.Client) -> None:
    with one(study) as trial:
        trial.report(1, value=float("nan"), other=float("inf"))
        trial.report(2, value=0.5)
    found = seen(client, trial)
    assert (found.measurements.count, found.values) == (2, {"value": 0.5})


@pytest.mark.parametrize("value", [None, "0.5", True, [1.0], object()])
def test_what_is_no_number_is_refused(value: object, study: tw.Study) -> None:
    with one(study) as trial:
        with pytest.raises(TypeError, match="the metric 'value' is a number, not"):
            trial.report(1, value=value)  # type: ignore[arg-type]
        trial.report(1, value=0.5)


def test_a_trial_that_is_sent_to_another_process_says_what_to_send(study: tw.Study) -> None:
    with one(study) as trial:
        with pytest.raises(TypeError, match="send its params and report what comes back"):
            pickle.dumps(trial)
        trial.report(1, value=0.5)


def test_scalars_of_numpy_are_numbers(study: tw.Study, client: tw.Client) -> None:
    import numpy as np

    with one(study) as trial:
        trial.report(1, value=np.float32(0.5), other=np.array(2))  # type: ignore[arg-type]
    assert seen(client, trial).values["value"] == 0.5


def test_without_a_value_it_has_failed(
    study: tw.Study, client: tw.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with one(study) as silent:
        pass
    with one(study) as wrong:
        wrong.report(1, valeu=1.0)
    failures = [seen(client, each).attempts[0].failure for each in (silent, wrong)]
    assert [failure.kind for failure in failures if failure] == ["user_error"] * 2
    assert failures[0] is not None
    assert failures[0].message == "no metric reported"
    assert failures[1] is not None
    assert "'value' was not reported, only valeu" in failures[1].message
    assert "no metric reported" in caplog.text


def test_an_exception_is_reported_with_its_traceback_and_goes_on_its_way(
    study: tw.Study, client: tw.Client
) -> None:
    with pytest.raises(KeyError, match="lr"), one(study) as trial:
        trial.params["lr"]
    failure = seen(client, trial).attempts[0].failure
    assert failure is not None
    assert failure.kind == "user_error"
    assert 'trial.params["lr"]' in failure.traceback


def test_want_of_memory_is_a_kind_of_its_own(study: tw.Study, client: tw.Client) -> None:
    with pytest.raises(MemoryError), one(study) as trial:
        raise MemoryError
    failure = seen(client, trial).attempts[0].failure
    assert failure is not None
    assert failure.kind == "oom"


def test_a_point_that_cannot_be_is_no_failure(study: tw.Study, client: tw.Client) -> None:
    with one(study) as trial:
        raise tw.Infeasible("too wide")
    assert seen(client, trial).state == "infeasible"


@pytest.mark.parametrize("told", [KeyboardInterrupt, SystemExit])
def test_told_to_end_it_is_given_back_and_uses_no_attempt(
    told: type[BaseException], study: tw.Study, client: tw.Client
) -> None:
    trial = one(study)

    def train() -> None:
        with trial:
            trial.report(1, value=1.0)
            raise told

    with pytest.raises(told):
        train()
    found = seen(client, trial)
    assert (found.state, found.n_attempts, found.losses) == ("pending", 0, 1)
    with one(study) as again:
        assert (again.id, again.attempt) == (trial.id, 2)
        again.report(1, value=1.0)


def test_a_lost_lease_stops_the_training_and_the_block_absorbs_it(
    study: tw.Study, client: tw.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with one(study) as trial:
        trial.report(1, value=1.0)
        client.trial_action(trial.id, "cancel")
        with pytest.raises(tw.StaleLease):
            wait_for_stop(trial)
        assert trial.should_stop
        assert trial.stop_reason is not None
        trial.report(99, value=1.0)
        pytest.fail("a report under a lost lease returned")
    assert "is somebody else's now" in caplog.text
    assert seen(client, trial).state == "cancelled"


def test_an_early_stopped_trial_ends_as_stopped_and_says_why(client: tw.Client) -> None:
    study = client.studies.create(
        "stopped-early",
        [tw.Float("x", 0.0, 1.0)],
        tw.minimize("value"),
        max_trials=6,
        suggester="random",
        early_stopping={"name": "median", "options": {"min_resource": 1, "n_startup_trials": 1}},
    )
    with one(study) as good:
        for step in (1, 2, 3):
            good.report(step, value=0.0)
    with one(study) as bad:
        bad.report(1, value=9.0)
        wait_for_stop(bad)
        assert bad.stop_reason
        assert bad.stop_reason != "stop"
    assert seen(client, bad).state == "stopped"


def test_a_trial_pauses_at_its_rung_and_goes_on_from_what_it_saved(client: tw.Client) -> None:
    study = client.studies.create(
        "rungs",
        [tw.Float("x", 0.0, 1.0)],
        tw.minimize("value"),
        max_trials=4,
        suggester="random",
        seed=2,
        early_stopping={
            "name": "asha",
            "options": {"min_resource": 1, "max_resource": 4, "eta": 2, "mode": "promote"},
        },
    )
    resumed = 0
    for trial in study.ask_until_done():
        with trial:
            begun = 0
            if trial.checkpoint is not None:
                begun = int((trial.checkpoint / "done.txt").read_text())
                resumed += 1
            assert begun == trial.last_step
            for step in range(begun + 1, 5):
                trial.report(step, value=trial.params["x"])
                (trial.checkpoint_dir / "done.txt").write_text(str(step))
                if trial.should_checkpoint:
                    trial.save()
                if trial.should_stop:
                    break
    assert study.refresh().state == "completed"
    assert resumed > 0
    assert {each.state for each in study.trials} <= {"completed", "stopped"}


def test_a_loop_whose_body_is_not_under_with_is_told_so(study: tw.Study, client: tw.Client) -> None:
    asking = study.ask_until_done()
    next(asking).report(1, value=1.0)
    with pytest.raises(tw.TunewellError, match="belongs under `with trial:`"):
        next(asking)
    assert [each.state for each in study.trials] == ["pending"]


def test_on_error_continue_says_it_and_goes_on_with_the_next_trial(
    study: tw.Study, caplog: pytest.LogCaptureFixture
) -> None:
    for n, trial in enumerate(study.ask_until_done(on_error="continue")):
        with trial:
            if n == 0:
                raise ValueError("boom")
            trial.report(1, value=1.0)
    assert study.refresh().state == "completed"
    assert study.info.n_finished == 3
    assert "trial 1 failed: ValueError: boom" in caplog.text


def test_a_paused_study_is_waited_for_and_said(
    study: tw.Study, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.pause()
    client = study._client
    monkeypatch.setattr(client, "_pause", lambda seconds: study.resume())
    caplog.set_level(logging.WARNING)
    numbers = []
    for trial in study.ask_until_done():
        with trial:
            trial.report(1, value=1.0)
        numbers.append(trial.number)
    assert numbers == [1, 2, 3]
    assert f"tunewell study resume {study.id}" in caplog.text


def test_a_study_that_has_paused_itself_is_not_waited_for(study: tw.Study) -> None:
    def slip(trial: tw.Trial) -> float:
        raise ValueError("boom")

    study.resume(max_trials=20)
    with pytest.raises(tw.TunewellError, match=r"paused itself: .*boom") as ended:
        study.optimize(slip)
    assert ended.value.next_step.endswith(f"tunewell study resume {study.id}")


def test_a_study_that_has_failed_says_so_to_whoever_asks(
    client: tw.Client, caplog: pytest.LogCaptureFixture
) -> None:
    study = client.studies.create(
        "has-failed", [tw.Float("x", 0.0, 1.0)], tw.minimize("value"),
        failure_policy={"max_attempts": 1, "max_failed": 2},
    )  # fmt: skip
    study.optimize(lambda trial: float("nan"))
    assert study.state == "failed"
    assert f"study has-failed has failed: {study.info.reason}" in caplog.text


def test_a_trial_whose_block_was_left_takes_nothing_more(study: tw.Study) -> None:
    with one(study) as trial:
        trial.report(1, value=1.0)
    with pytest.raises(tw.TunewellError, match="trial 1 has ended"):
        trial.report(2, value=0.0)
    with pytest.raises(tw.TunewellError, match="trial 1 has ended"), trial:
        pytest.fail("an ended trial was entered")


def test_an_enqueued_point_comes_first_with_its_note(study: tw.Study) -> None:
    made = study.enqueue({"x": 0.25}, note="a guess")
    assert made.note == "a guess"
    with one(study) as trial:
        assert trial.params == {"x": 0.25}
        trial.report(1, value=1.0)
    with pytest.raises(tw.InvalidStudy, match="x"):
        study.enqueue({"x": 7.0})


def test_several_are_asked_for_at_once(study: tw.Study) -> None:
    asked = study.ask(count=5, wait_s=0)
    assert [trial.number for trial in asked] == [1, 2, 3]
    for trial in asked:
        with trial:
            trial.report(1, value=1.0)
    assert study.refresh().state == "completed"
