"""Runs jobs and workers for the tests, and waits for processes to be gone."""

from __future__ import annotations

import io
import json
import os
import queue
import select
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tunewell import archive
from workers.jobs import Job
from workers.processes import ROOT, start
from workers.runner import Outcome, Runner
from workers.session import Child

HERE = Path(__file__).parent
LIMIT_S = 30.0


def checkpoint_of(
    objective: str, files: dict[str, str], *, version: str = "", **values: float
) -> bytes:
    """A checkpoint as a worker sends it."""
    with tempfile.TemporaryDirectory() as made:
        folder, packed = Path(made, "folder"), Path(made, "packed")
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
        saved = archive.Saved(objective=objective, version=version, values=values)
        archive.pack(folder, ".", saved, packed)
        return packed.read_bytes()


def files_of(checkpoint: bytes) -> dict[str, str]:
    """The files of a checkpoint, by their places in the folder."""
    with tarfile.open(fileobj=io.BytesIO(checkpoint)) as packed:
        files = {member.name: packed.extractfile(member) for member in packed if member.isfile()}
        return {str(Path(name)): file.read().decode() for name, file in files.items() if file}


class Reports:
    """Keeps the points of a trial and tells a test about them."""

    def __init__(self) -> None:
        self.points: list[dict[str, Any]] = []
        self.checkpoints: dict[int, bytes] = {}
        self._arrived: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def report(self, points: list[dict[str, Any]]) -> None:
        for point in points:
            self.points.append(point)
            self._arrived.put(point)

    def checkpoint(self, step: int, path: str) -> None:
        self.checkpoints[step] = Path(path).read_bytes()

    def next_value(self) -> float:
        """The value of the next report."""
        return float(self._arrived.get(timeout=LIMIT_S)["values"]["value"])


def job(name: str, **fields: Any) -> Job:
    """A job for one of the objectives of `user_code`."""
    target = f"user_code:{name}"
    return Job(trial_id="tr_1", number=1, objective=name, target=target, folder=str(HERE), **fields)


def start_child(of: Job) -> Child:
    """Starts a process of its own for a job."""
    return start(of, dict(os.environ), None)


def runner(of: Job, sink: Reports | None = None, **limits: float) -> Runner:
    """A runner that starts a process of its own for a job."""
    return Runner(lambda: start_child(of), sink or Reports(), **limits)


def run(name: str, **limits: float) -> tuple[Outcome, Runner]:
    """Runs an objective of `user_code` to its end."""
    made = runner(job(name), Reports(), **limits)
    return made.run(), made


@contextmanager
def running(made: Runner) -> Iterator[Callable[[], Outcome]]:
    """Runs in the background; the value waits for the outcome."""
    outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: outcomes.put(made.run()))
    thread.start()
    yield lambda: outcomes.get(timeout=LIMIT_S)
    thread.join()


def watch(pid: int) -> Callable[[], bool]:
    """Starts to watch a process that is alive now; the value waits until it is gone."""
    fd = os.pidfd_open(pid)

    def is_gone() -> bool:
        try:
            return bool(select.select([fd], [], [], LIMIT_S)[0])
        finally:
            os.close(fd)

    return is_gone


@contextmanager
def worker_process(
    url: str, folder: Path, *, leave_s: float = 5.0, **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in a process of its own, in a user's folder; killed at last.

    Args:
        leave_s: how long it waits for an absent service before it leaves.
    """
    code = (
        "import json, sys; from tunewell._parts import part; "
        "part('workers', 'loop').LEAVE_S = float(sys.argv[2]); "
        "sys.exit(part('workers', 'main').run(**json.loads(sys.argv[1])))"
    )
    arguments = {"url": url, "name": "w", "slots": 1, "json_lines": True, **options}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, json.dumps(arguments), str(leave_s)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_text(folder: Path, text: str) -> None:
    """Waits until a file of reports says something; a disk gives no signal, so it is asked."""
    for _ in range(int(LIMIT_S * 100)):
        if any(text in path.read_text() for path in folder.rglob("*.jsonl")):
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"no file of reports says {text}")
