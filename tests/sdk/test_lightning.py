"""The callback for PyTorch Lightning, in Lightning's own trainer: `make test-callbacks`."""

from __future__ import annotations

import re
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import tunewell as tw
from tests.system.running import Process

pytest.importorskip("lightning", reason="lightning is not installed; make test-callbacks does it")

from tests.sdk.lightning_net import Net, data, fit, heard, quiet, trainer
from tunewell.lightning import TunewellCallback

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
HALVES = {
    "name": "asha",
    "options": {"min_resource": 2, "max_resource": 4, "eta": 2, "mode": "promote"},
}
"""A rung after two epochs, where the better half goes on."""


def made(client: tw.Client, name: str, **more: Any) -> tw.Study:
    """A study of lightning trials, judged by their accuracy."""
    settings = {"max_trials": 1, "suggester": "random", "seed": 1, **more}
    return client.studies.create(
        name, [tw.Float("lr", 0.1, 1.0)], tw.maximize("accuracy"), **settings
    )


def asked(study: tw.Study) -> tw.Trial:
    """Its next trial."""
    (trial,) = study.ask()
    return trial


def measured(client: tw.Client, trial: tw.Trial) -> list[tuple[int, float]]:
    """What the service has of a trial: epochs and accuracies."""
    found = client.request("GET", f"/v1/trials/{trial.id}/measurements")["measurements"]
    return [(each["step"], each["values"]["accuracy"]) for each in found]


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def script(tmp_path: Path, client: tw.Client, *args: str, **env: str) -> Process:
    """A process that trains the trials of a study."""
    folder = tmp_path / "processes"
    folder.mkdir(exist_ok=True)
    given = {"TUNEWELL_URL": client.url, "TUNEWELL_TOKEN": client.token, **env}
    return Process(
        [sys.executable, "-m", "tests.sdk.lightning_net", *args], folder, given, cwd=ROOT
    )


def test_each_epoch_is_reported_and_the_sanity_check_is_not(client: tw.Client) -> None:
    with asked(made(client, "pl-epochs")) as trial:
        fitted = fit(trial, Net([0.1, 0.4, 0.3]))
    assert fitted.current_epoch == 3
    assert measured(client, trial) == [
        (1, pytest.approx(0.1)),
        (2, pytest.approx(0.4)),
        (3, pytest.approx(0.3)),
    ]
    found = client.get_trial(trial.id)
    assert (found["state"], found["step"]) == ("completed", 3)
    assert found["values"] == {"accuracy": pytest.approx(0.3)}


def test_validations_within_an_epoch_count_once(client: tw.Client) -> None:
    with asked(made(client, "pl-often")) as trial:
        fit(trial, Net([0.1, 0.4]), val_check_interval=1)
    assert [step for step, _ in measured(client, trial)] == [1, 2]


def test_a_trial_that_is_stopped_ends_its_training(client: tw.Client) -> None:
    stopping = {**HALVES, "options": {**HALVES["options"], "mode": "stop"}}
    study = made(client, "pl-stop", max_trials=2, early_stopping=stopping)
    with asked(study) as good:
        fit(good, Net([0.9] * 4))
    with asked(study) as bad:
        fitted = fit(bad, Net([0.1] * 4, partial(heard, bad)))
        assert bad.should_stop
    assert fitted.current_epoch == 3
    assert [step for step, _ in measured(client, bad)] == [1, 2, 3]
    assert [t.state for t in study.trials] == ["completed", "stopped"]


def test_a_trial_that_pauses_is_saved_and_promoted_on_from_there(client: tw.Client) -> None:
    study = made(client, "pl-pause", max_trials=2, early_stopping=HALVES)
    with asked(study) as paused:
        fit(paused, Net([0.9] * 4))
    assert client.get_trial(paused.id)["state"] == "paused"
    with asked(study) as other:
        fit(other, Net([0.1] * 4))
    with asked(study) as again:
        net = Net([0.9] * 4)
        fitted = fit(again, net)
    assert again.id == paused.id
    assert (net.epochs, fitted.global_step) == ([2, 3], 8)
    assert [step for step, _ in measured(client, again)] == [1, 2, 3, 4]


def test_a_killed_script_goes_on_from_its_checkpoint(client: tw.Client, tmp_path: Path) -> None:
    study = made(client, "pl-kill")
    first = script(tmp_path, client, study.id, "kill", SAVE_EVERY_S="0")
    try:
        _, trial_id, _ = first.line("begun").split()
        assert first.process.wait(timeout=120) == -signal.SIGKILL
    finally:
        first.end()
    second = script(tmp_path, client, study.id)
    try:
        assert second.line("begun").split()[1:] == [trial_id, "2"]
        assert second.line("epochs") == "epochs 4 [2, 3]\n"
        assert second.process.wait(timeout=120) == 0
    finally:
        second.end()
    (trial,) = study.trials
    assert (trial.state, trial.values) == ("completed", {"accuracy": pytest.approx(0.4)})


def test_a_script_that_is_told_to_end_gives_its_trial_back(
    client: tw.Client, tmp_path: Path
) -> None:
    study = made(client, "pl-term")
    running = script(tmp_path, client, study.id, "sleep")
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
    ("error", "kind"),
    [(ZeroDivisionError("loss"), "user_error"), (MemoryError(), "oom"), ("cuda", "oom")],
)
def test_an_exception_fails_the_trial_with_its_kind(
    client: tw.Client, error: Any, kind: str
) -> None:
    import torch

    raised = torch.OutOfMemoryError("CUDA out of memory") if error == "cuda" else error

    def mishap(epoch: int) -> None:
        if epoch == 1:
            raise raised

    study = made(client, f"pl-{type(raised).__name__}", failure_policy={"max_attempts": 1})
    with pytest.raises(type(raised)), asked(study) as trial:
        fit(trial, Net([0.1] * 4, mishap))
    failure = client.get_trial(trial.id)["failure"]
    assert failure["kind"] == kind
    assert "in training_step" in failure["traceback"]


def test_a_value_that_is_no_number_fails_as_nan(client: tw.Client) -> None:
    study = made(client, "pl-nan", failure_policy={"max_attempts": 1})
    with asked(study) as trial:
        fit(trial, Net([0.1, float("nan")]))
    assert client.get_trial(trial.id)["failure"]["kind"] == "nan"


def test_ctrl_c_gives_the_trial_back(client: tw.Client) -> None:
    def interrupt(epoch: int) -> None:
        raise KeyboardInterrupt

    # Lightning turns it into an exit of its own.
    with pytest.raises((KeyboardInterrupt, SystemExit)), asked(made(client, "pl-int")) as trial:
        fit(trial, Net([0.1], interrupt))
    assert client.get_trial(trial.id)["state"] == "pending"


def test_the_pages_lines_run(client: tw.Client) -> None:
    page = (ROOT / "docs" / "how-to" / "python.md").read_text()
    (block,) = re.findall(r"```python\n(from tunewell.lightning.*?)```", page, re.DOTALL)
    study = made(client, "pl-page")

    def net(lr: float) -> Net:
        found = Net([lr] * 10)
        found.name = "val_accuracy"
        return found

    exec(block, {"study": study, "Net": net, "Trainer": quiet, "data": data()})
    (trial,) = study.trials
    assert (trial.state, trial.step) == ("completed", 10)


def test_a_metric_that_is_not_logged_is_named(client: tw.Client) -> None:
    study = made(client, "pl-miss", failure_policy={"max_attempts": 1})
    wrong = r"no metric 'val_accuracy'; did you mean 'val_acc'\?"
    trial = asked(study)
    fitting = trainer(TunewellCallback(trial, monitor="val_accuracy"), 2)
    with pytest.raises(ValueError, match=wrong), trial:
        fitting.fit(Net([0.1, 0.2]), data(), data())
    assert client.get_trial(trial.id)["failure"]["kind"] == "user_error"


def test_a_trial_that_is_somebody_elses_now_ends_its_training(client: tw.Client) -> None:
    study = made(client, "pl-lost")

    def lose(epoch: int) -> None:
        if epoch == 1:
            client.trial_action(trial.id, "cancel")
            heard(trial, 2)

    with asked(study) as trial:
        net = Net([0.1] * 50, lose)
        fitted = fit(trial, net)
    assert fitted.current_epoch < 50
    assert client.get_trial(trial.id)["state"] == "cancelled"


def test_two_processes_stop_together_and_rank_0_reports(client: tw.Client, tmp_path: Path) -> None:
    stopping = {**HALVES, "options": {**HALVES["options"], "mode": "stop"}}
    study = made(client, "pl-ddp", max_trials=2, early_stopping=stopping)
    with asked(study) as good:
        fit(good, Net([0.9] * 4))
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    (tmp_path / "other").mkdir()
    ranks = [
        script(tmp_path / name, client, study.id, "hear", NODE_RANK="0", LOCAL_RANK=rank, **group)
        for rank, name in (("0", "."), ("1", "other"))
    ]
    try:
        assert [rank.line("epochs") for rank in ranks] == ["epochs 3 [0, 1, 2]\n"] * 2
        assert [rank.process.wait(timeout=60) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.end()
    assert [t.state for t in study.trials] == ["completed", "stopped"]
