"""The callback for the Hugging Face Trainer, in the real one: `make test-callbacks`."""

from __future__ import annotations

import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tunewell as tw
from tests.system.running import Process

pytest.importorskip(
    "transformers", reason="transformers is not installed; make test-callbacks does it"
)

from tests.sdk.huggingface_net import heard, train

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


def halves(mode: str) -> dict[str, Any]:
    """A rung after ten steps, where the better half goes on."""
    options = {"min_resource": 10, "max_resource": 20, "eta": 2, "mode": mode}
    return {"name": "asha", "options": options}


def made(client: tw.Client, name: str, **more: Any) -> tw.Study:
    """A study of trainings, judged by their accuracy."""
    settings = {"max_trials": 1, "suggester": "random", "seed": 1, **more}
    return client.studies.create(
        name, [tw.Float("lr", 0.1, 1.0)], tw.maximize("accuracy"), **settings
    )


def asked(study: tw.Study) -> tw.Trial:
    """Its next trial."""
    (trial,) = study.ask()
    return trial


def measured(client: tw.Client, trial: tw.Trial) -> list[int]:
    """The steps that the service has of a trial."""
    found = client.request("GET", f"/v1/trials/{trial.id}/measurements")["measurements"]
    return [each["step"] for each in found]


def script(tmp_path: Path, client: tw.Client, study: tw.Study, *what: str, **env: str) -> Process:
    """A process that trains the trials of a study."""
    folder = tmp_path / "processes"
    folder.mkdir(exist_ok=True, parents=True)
    given = {"TUNEWELL_URL": client.url, "TUNEWELL_TOKEN": client.token, **env}
    command = [sys.executable, "-m", "tests.sdk.huggingface_net", study.id, str(tmp_path / "out")]
    return Process([*command, *what], folder, given, cwd=ROOT)


def test_each_evaluation_is_reported_at_its_global_step(client: tw.Client, tmp_path: Path) -> None:
    with asked(made(client, "hf-steps")) as trial:
        train(trial, tmp_path, [0.1, 0.4, 0.3, 0.2])
    assert measured(client, trial) == [5, 10, 15, 20]
    found = client.get_trial(trial.id)
    assert (found["state"], found["values"], found["step"]) == ("completed", {"accuracy": 0.2}, 20)


def test_a_trial_that_is_stopped_ends_its_training(client: tw.Client, tmp_path: Path) -> None:
    study = made(client, "hf-stop", max_trials=2, early_stopping=halves("stop"))
    with asked(study) as good:
        train(good, tmp_path / "good", [0.9] * 4)
    with asked(study) as bad:
        trainer, _ = train(bad, tmp_path / "bad", [0.1] * 4, partial(heard, bad))
    assert trainer.state.global_step == 15
    assert measured(client, bad) == [5, 10, 15]
    assert [t.state for t in study.trials] == ["completed", "stopped"]


@pytest.mark.parametrize("save", ["no", "steps"])
def test_a_trial_that_pauses_is_saved_and_promoted_on_from_there(
    client: tw.Client, tmp_path: Path, save: str
) -> None:
    study = made(client, f"hf-pause-{save}", max_trials=2, early_stopping=halves("promote"))
    with asked(study) as paused:
        train(paused, tmp_path / "a", [0.9] * 4, save_strategy=save)
    assert client.get_trial(paused.id)["state"] == "paused"
    with asked(study) as other:
        train(other, tmp_path / "b", [0.1] * 4, save_strategy=save)
    with asked(study) as again:
        _, steps = train(again, tmp_path / "c", [0.9] * 4, save_strategy=save)
    assert again.id == paused.id
    assert steps == list(range(11, 21))
    assert measured(client, again) == [5, 10, 15, 20]


def test_a_killed_script_goes_on_from_its_checkpoint(client: tw.Client, tmp_path: Path) -> None:
    study = made(client, "hf-kill")
    first = script(tmp_path, client, study, "kill")
    try:
        _, trial_id, _ = first.line("begun").split()
        assert first.process.wait(timeout=120) == -signal.SIGKILL
    finally:
        first.end()
    second = script(tmp_path, client, study)
    try:
        assert second.line("begun").split()[1:] == [trial_id, "10"]
        assert second.line("trained") == "trained 11 20\n"
        assert second.process.wait(timeout=120) == 0
    finally:
        second.end()
    (trial,) = study.trials
    assert (trial.state, trial.values) == ("completed", {"accuracy": 0.4})


def test_a_script_that_is_told_to_end_gives_its_trial_back(
    client: tw.Client, tmp_path: Path
) -> None:
    study = made(client, "hf-term")
    running = script(tmp_path, client, study, "sleep")
    try:
        running.line("sleeping")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=60) != 0
    finally:
        running.end()
    (trial,) = study.trials
    found = client.get_trial(trial.id)
    assert (found["state"], found["attempts"][0]["end"]) == ("pending", "released")


@pytest.mark.parametrize(
    ("error", "kind"), [(ZeroDivisionError("loss"), "user_error"), (MemoryError(), "oom")]
)
def test_an_exception_fails_the_trial_with_its_kind(
    client: tw.Client, tmp_path: Path, error: Exception, kind: str
) -> None:
    def mishap(step: int) -> None:
        if step == 7:
            raise error

    study = made(client, f"hf-{type(error).__name__}", failure_policy={"max_attempts": 1})
    with pytest.raises(type(error)), asked(study) as trial:
        train(trial, tmp_path, [0.1] * 4, mishap)
    failure = client.get_trial(trial.id)["failure"]
    assert failure["kind"] == kind
    assert "in on_step_begin" in failure["traceback"]


def test_a_value_that_is_no_number_fails_as_nan(client: tw.Client, tmp_path: Path) -> None:
    study = made(client, "hf-nan", failure_policy={"max_attempts": 1})
    with asked(study) as trial:
        train(trial, tmp_path, [0.1, 0.2, 0.3, float("nan")])
    assert client.get_trial(trial.id)["failure"]["kind"] == "nan"


def test_two_processes_stop_together_and_rank_0_reports(client: tw.Client, tmp_path: Path) -> None:
    study = made(client, "hf-ddp", max_trials=2, early_stopping=halves("stop"))
    with asked(study) as good:
        train(good, tmp_path / "good", [0.9] * 4)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        script(tmp_path / rank, client, study, "hear", RANK=rank, LOCAL_RANK=rank, **group)
        for rank in ("0", "1")
    ]
    try:
        assert [rank.line("trained") for rank in ranks] == ["trained 1 15\n"] * 2
        assert [rank.process.wait(timeout=60) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.end()
    assert [t.state for t in study.trials] == ["completed", "stopped"]
