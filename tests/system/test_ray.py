"""Trials on a Ray cluster of two real nodes: they report, resume, heed orders, and survive the loss
of a node.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.pages import marked

from .running import Process, Service, tunewell

HERE = marked("a worker on the machine of a Ray cluster")
ELSEWHERE = marked("a worker for a Ray cluster elsewhere")
ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # What Ray calls its switch for clusters on one machine: all addresses are loopback's.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # A lost node is noticed in seconds.
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "4",
}
LIMIT_S = 90.0
OBJECTIVE = """
import os
import time
from pathlib import Path

import tunewell


@tunewell.objective(name="waits", metrics={"pid": "minimize"}, checkpoints=True)
def waits(trial):
    print("GPU", os.environ["CUDA_VISIBLE_DEVICES"], "as", trial.device)
    while trial.last_step < 2 or not Path(GO).exists():
        trial.report(trial.last_step + 1, pid=float(os.getpid()))
        (trial.checkpoint_dir / "state").write_bytes(b"anything")
        trial.save()
        while not (Path(GO).exists() or trial.should_checkpoint):
            time.sleep(0.05)
    return float(os.getpid())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster that stands; `raylet` is the process id of the node that may be lost."""

    address: str
    raylet: int
    folder: str


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with a CPU each."""
    folder = tmp_path_factory.mktemp("ray")
    script = Path(__file__).with_name("ray_cluster.py")
    process = Process([sys.executable, str(script)], folder, ALONE)
    yield Cluster(**json.loads(process.line("address")))
    process.end()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service that keeps checkpoints; which database it has makes no difference here."""
    folder = tmp_path_factory.mktemp("service")
    settings = {"TUNEWELL_CHECKPOINT_DIR": str(folder / "checkpoints")}
    made = Service(folder, f"sqlite:///{folder / 'tunewell.db'}", settings)
    made.start()
    yield made
    made.end()


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """The file that the trials wait for."""
    return tmp_path / "go"


@pytest.fixture
def worker(
    service: Service, cluster: Cluster, folder: Path, tmp_path: Path, go: Path
) -> Iterator[Callable[..., Process]]:
    """Starts a worker as the page has it, on the head's machine or elsewhere.

    It has a folder with code of its own.
    """
    code = tmp_path / "code"
    code.mkdir()
    (code / "own.py").write_text(f"GO = {str(go)!r}\n{OBJECTIVE}")
    env = {**ALONE, "TUNEWELL_STATE_DIR": str(tmp_path / "state")}
    started: list[Process] = []

    def start(block: str = ELSEWHERE) -> Process:
        words = shlex.split(block.replace("10.0.0.5:6379", cluster.address).splitlines()[-1])
        own = ("--url", service.url, "--name", "head", "--objective", "own:waits", "--json")
        # What says on a machine to which cluster it belongs lies in Ray's folder there.
        place = {"RAY_TMPDIR": cluster.folder} if block == HERE else {}
        started.append(Process(tunewell(*words[1:], *own), folder, {**env, **place}, cwd=code))
        return started[-1]

    yield start
    for process in started:
        process.end()


@pytest.fixture
def study(service: Service) -> Iterator[Callable[..., Any]]:
    """Makes studies; none of them is left open for the next test's worker."""
    made: list[Any] = []

    def of(n_trials: int, **more: Any) -> Any:
        raw = {
            "name": f"on-ray-{uuid.uuid4()}",
            "objective": {"name": "waits"},
            "metrics": [{"name": "pid", "direction": "minimize"}],
            "space": [{"name": "x", "type": "float", "low": 0, "high": 1}],
            "suggester": {"name": "random", "seed": 1},
            "limits": {"max_trials": n_trials},
            "failure_policy": {"backoff_s": 0},
            **more,
        }
        made.append(service.call("POST", "/v1/studies", raw))
        return made[-1]

    yield of
    for each in made:
        if service.study(each["id"])["state"] == "active":
            service.call("POST", f"/v1/studies/{each['id']}:cancel")


def saved(service: Service, study_id: str, n_trials: int) -> list[Any]:
    """Waits until so many trials run and have a checkpoint."""

    def found() -> list[Any] | None:
        trials = [trial for trial in service.trials(study_id) if trial["checkpoint_id"]]
        return trials if len(trials) == n_trials else None

    return service.wait(found, LIMIT_S)


def curve(service: Service, trial: Any) -> list[Any]:
    return list(service.call("GET", f"/v1/trials/{trial['id']}/measurements")["measurements"])


def steps_of(service: Service, trial: Any, *, attempt: int) -> list[int]:
    """The steps that an attempt has reported."""
    lease_id = trial["attempts"][attempt]["lease_id"]
    return [each["step"] for each in curve(service, trial) if each["lease_id"] == lease_id]


@contextmanager
def gone_at_the_end(service: Service, trial: Any) -> Iterator[None]:
    """The trial's process, alive now, is gone soon after the block."""
    fd = os.pidfd_open(int(curve(service, trial)[-1]["values"]["pid"]))
    try:
        yield
        assert select.select([fd], [], [], LIMIT_S)[0]
    finally:
        os.close(fd)


def test_a_trial_has_what_its_study_says_it_needs(
    service: Service, study: Callable[..., Any], worker: Callable[..., Process], go: Path
) -> None:
    go.touch()
    studies = [study(1), study(1, resources={"cpu": 0.5, "gpu": 0.5})]
    worker(HERE)
    said = []
    for each in studies:
        service.wait_ended(each["id"], LIMIT_S)
        (trial,) = service.trials(each["id"])
        log = service.call("GET", f"/v1/trials/{trial['id']}/logs")
        said.append("".join(part["text"] for part in log["parts"]))
    assert said == ["GPU  as cpu\n", "GPU 0 as cuda:0\n"]


def test_a_trial_that_is_cancelled_ends_on_its_node(
    service: Service, study: Callable[..., Any], worker: Callable[[], Process], go: Path
) -> None:
    study_id = study(1)["id"]
    process = worker()
    (trial,) = saved(service, study_id, 1)
    with gone_at_the_end(service, trial):
        service.call("POST", f"/v1/trials/{trial['id']}:cancel")
    process.line("trial_ended")
    assert service.trials(study_id)[0]["state"] == "cancelled"


def test_a_worker_that_is_told_to_end_gives_its_trial_back_and_another_goes_on(
    service: Service, study: Callable[..., Any], worker: Callable[[], Process], go: Path
) -> None:
    study_id = study(1)["id"]
    first = worker()
    (trial,) = saved(service, study_id, 1)
    with gone_at_the_end(service, trial):
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(timeout=LIMIT_S) == 0
    go.touch()
    worker()
    service.wait_ended(study_id, LIMIT_S)
    (trial,) = service.trials(study_id)
    assert [attempt["end"] for attempt in trial["attempts"]] == ["released", "completed"]
    assert 1 not in steps_of(service, trial, attempt=1)


def test_a_process_on_a_node_dies_with_a_worker_that_is_killed(
    service: Service, study: Callable[..., Any], worker: Callable[[], Process], go: Path
) -> None:
    study_id = study(1)["id"]
    process = worker()
    (trial,) = saved(service, study_id, 1)
    with gone_at_the_end(service, trial):
        process.kill()


def test_a_trial_whose_node_is_lost_goes_on_elsewhere_from_its_checkpoint(
    service: Service,
    study: Callable[..., Any],
    worker: Callable[[], Process],
    cluster: Cluster,
    go: Path,
) -> None:
    study_id = study(2)["id"]
    process = worker()
    saved(service, study_id, 2)  # with a CPU each, they are on both nodes
    os.kill(cluster.raylet, signal.SIGKILL)
    assert '"infrastructure"' in process.line("trial_failed", LIMIT_S)
    go.touch()
    ended = service.wait_ended(study_id, LIMIT_S)
    assert ended["state"] == "completed"
    ends = {}
    for trial in service.trials(study_id):
        assert trial["state"] == "completed"
        ends[tuple(attempt["end"] for attempt in trial["attempts"])] = trial
    assert set(ends) == {("completed",), ("failed", "completed")}
    again = ends["failed", "completed"]
    first, second = (steps_of(service, again, attempt=k) for k in (0, 1))
    assert first[0] == 1
    assert second
    assert 1 not in second
    failure = again["attempts"][0]["failure"]
    assert failure["kind"] == "infrastructure"
    assert "lost" in failure["message"]
