"""Scripts that are killed, told to end, or cut off from the service: real processes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tunewell as tw
from tests.system.running import Process, Service

CHILD = """
import json, sys
import tunewell as tw

study = tw.connect().studies.get(sys.argv[1])
for trial in study.ask_until_done():
    with trial:
        done = 0
        if trial.checkpoint is not None:
            done = int((trial.checkpoint / "done").read_text())
        print(json.dumps(["begun", trial.id, trial.attempt, done]), flush=True)
        for step in range(done + 1, 6):
            trial.report(step, value=float(step))
            (trial.checkpoint_dir / "done").write_text(str(step))
            trial.save()
            print(json.dumps(["saved", step]), flush=True)
            if step == 2 and done < 2 and "wait" in sys.argv:
                sys.stdin.read()
                import time
                time.sleep(600)
"""

PARENT = """
import sys, time
import tunewell as tw


def evaluate(trial):
    print("begun", flush=True)
    time.sleep(60)


tw.connect().studies.get(sys.argv[1]).optimize(evaluate, n_workers=2)
"""


def script(
    tmp_path: Path, client: tw.Client, study: tw.Study, *more: str, text: str = CHILD
) -> Process:
    path = tmp_path / "train.py"
    path.write_text(text)
    folder = tmp_path / "processes"
    folder.mkdir(exist_ok=True)
    env = {"TUNEWELL_URL": client.url, "TUNEWELL_TOKEN": client.token}
    return Process(
        [sys.executable, str(path), study.id, *more], folder, env, cwd=Path(__file__).parents[2]
    )


def begun(process: Process) -> tuple[str, int, int]:
    _, trial_id, attempt, done = json.loads(process.line("begun"))
    return trial_id, attempt, done


def test_a_killed_script_goes_on_with_the_same_trial_where_it_saved(
    study: tw.Study, client: tw.Client, tmp_path: Path
) -> None:
    first = script(tmp_path, client, study, "wait")
    try:
        trial_id, attempt, _ = begun(first)
        first.line('["saved", 2]')
        first.kill()
    finally:
        first.end()
    second = script(tmp_path, client, study)
    try:
        assert begun(second) == (trial_id, attempt, 2)
        assert second.process.wait(timeout=60) == 0
    finally:
        second.end()
    found = client.get_trial(trial_id)
    assert (found["state"], found["number"], len(found["attempts"])) == ("completed", 1, 1)
    measured = client.request("GET", f"/v1/trials/{trial_id}/measurements")["measurements"]
    assert [each["step"] for each in measured] == [1, 2, 3, 4, 5]
    assert study.refresh().trial_counts["completed"] == 3


def test_a_script_that_is_terminated_gives_its_trial_back(
    study: tw.Study, client: tw.Client, tmp_path: Path
) -> None:
    running = script(tmp_path, client, study, "wait")
    try:
        trial_id, _, _ = begun(running)
        running.line('["saved", 2]')
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30) == 128 + signal.SIGTERM
    finally:
        running.end()
    found = client.get_trial(trial_id)
    assert (found["state"], found["n_attempts"], found["losses"]) == ("pending", 0, 1)


def test_processes_of_optimize_give_their_trials_back_when_the_script_is_terminated(
    study: tw.Study, client: tw.Client, tmp_path: Path
) -> None:
    running = script(tmp_path, client, study, text=PARENT)
    try:
        for _ in range(2):
            running.line("begun")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30) == 128 + signal.SIGTERM
    finally:
        running.end()
    found = [(each["state"], each["losses"]) for each in client.trials(study.id)]
    assert found == [("pending", 1), ("pending", 1)]


def test_two_runs_of_one_script_have_trials_of_their_own(
    study: tw.Study, client: tw.Client, tmp_path: Path
) -> None:
    both = [script(tmp_path, client, study, "wait") for _ in range(2)]
    try:
        assert begun(both[0])[0] != begun(both[1])[0]
    finally:
        for each in both:
            each.kill()
            each.end()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that these tests may kill; it runs again after each."""
    folder = tmp_path_factory.mktemp("service")
    made = Service(folder, f"sqlite:///{folder / 'tunewell.db'}", {})
    made.start()
    yield made
    made.end()


def made_study(client: tw.Client, name: str) -> tw.Study:
    return client.studies.create(
        name, [tw.Float("x", 0.0, 1.0)], tw.minimize("value"), max_trials=2, suggester="random"
    )


def test_training_goes_on_while_the_service_is_away_and_every_point_arrives(
    service: Service,
) -> None:
    with tw.connect(service.url, "") as client:
        (trial,) = made_study(client, "away").ask()
        with trial:
            trial.report(1, value=1.0)
            client.sender.flush(trial._lease.held).result(timeout=30)
            service.kill()
            for step in range(2, 3000):
                trial.report(step, value=1.0 / step)
            assert not trial.should_stop
            service.start()
        found = service.call("GET", f"/v1/trials/{trial.id}")
        assert found["state"] == "completed"
        assert found["measurements"]["count"] == 2999


def test_what_the_service_does_not_take_is_kept_and_sent_by_the_next_run(
    service: Service, tmp_path: Path
) -> None:
    with tw.connect(service.url, "", retry_s=3) as client:
        study = made_study(client, "kept")
        (trial,) = study.ask()

        def train() -> None:
            with trial:
                trial.report(1, value=0.5)
                service.kill()
                trial.report(2, value=0.25)

        with pytest.raises(tw.Unreachable, match="sent by the next run") as caught:
            train()
        assert caught.value.spool is not None
        kept = Path(caught.value.spool)
        assert kept.is_relative_to(tmp_path / "state")
        service.start()
        (after,) = study.ask()
        with after:
            after.report(1, value=1.0)
        found: Any = service.call("GET", f"/v1/trials/{trial.id}")
        assert (found["state"], found["values"]) == ("completed", {"value": 0.25})
        assert found["measurements"]["count"] == 2
        assert not kept.exists()
