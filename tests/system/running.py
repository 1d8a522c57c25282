"""Real processes for the system tests: a service on a free port, workers that talk to it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from ..warm import WarmCommand

T = TypeVar("T")

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONUNBUFFERED": "1",
}


def tunewell(*args: str) -> list[str]:
    """The command line, without searching the PATH."""
    return [sys.executable, "-P", "-m", "tunewell", *args]


def _started(
    command: list[str], errors: Path, cwd: Path, env: dict[str, str]
) -> subprocess.Popen[str] | WarmCommand:
    """The process of a command, in a session of its own; the product's own ones are warm."""
    ours = tunewell()
    if command[: len(ours)] == ours:
        return WarmCommand(command[len(ours) :], stderr=errors, cwd=cwd, env=env)
    with errors.open("wb") as stderr:
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=env,
            text=True,
            start_new_session=True,
        )


class Process:
    """A child process whose standard output is read line by line as it comes."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        env: dict[str, str] | None = None,
        *,
        cwd: Path | None = None,
    ) -> None:
        self.errors = folder / f"{len(list(folder.iterdir()))}.stderr"
        self.process = _started(
            command, self.errors, cwd or folder, {**os.environ, **ENVIRONMENT, **(env or {})}
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def line(self, wanted: str, timeout_s: float = 60.0) -> str:
        """Waits for a line of standard output that holds `wanted`."""
        deadline = time.monotonic() + timeout_s
        while True:
            line = self.lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if line is None:
                raise AssertionError(f"ended without {wanted!r}:\n{self.errors.read_text()}")
            if wanted in line:
                return line

    def kill(self) -> None:
        """SIGKILL to the process alone, as the kernel would."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Ends the process and all it started."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self._reader.join(timeout=5)
            self.process.stdout.close()


def ran(folder: Path, *command: str) -> tuple[int, str, str]:
    """Status, output and errors of a command."""
    process = Process(tunewell(*command), folder)
    status = process.process.wait(timeout=120)
    lines = "".join(line for line in iter(process.lines.get, None) if line)
    process.end()
    return status, lines, process.errors.read_text()


class Service:
    """A service process on one database; `start` again after `kill` listens on the same port."""

    def __init__(self, folder: Path, database_url: str, env: dict[str, str]) -> None:
        self._folder = folder
        self._database_url = database_url
        self._env = env
        self.process: Process | None = None
        self.url = ""
        self.http = httpx.Client(timeout=60)

    def start(self) -> None:
        port = self.url.rpartition(":")[2] or "0"
        command = tunewell("serve", "--port", port, "--database-url", self._database_url, "--json")
        self.process = Process(command, self._folder, self._env)
        self.url = json.loads(self.process.line("ready"))["url"]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.end()

    def end(self) -> None:
        self.http.close()
        if self.process is not None:
            self.process.end()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, self.url + path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def study(self, study_id: str) -> Any:
        return self.call("GET", f"/v1/studies/{study_id}")

    def trials(self, study_id: str) -> list[Any]:
        found = self.call("GET", f"/v1/studies/{study_id}/trials?page_size=1000")
        return [self.call("GET", f"/v1/trials/{trial['id']}") for trial in found["trials"]]

    def events(self, study_id: str, after: int = 0, timeout_s: float = 120.0) -> Iterator[Any]:
        """The study's events by SSE, as they come."""
        url = f"{self.url}/v1/studies/{study_id}/events?after={after}"
        with self.http.stream("GET", url, timeout=timeout_s) as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def wait(self, check: Callable[[], T | None], timeout_s: float = 120.0) -> T:
        """Waits until `check` gives something, looking again at each event of the service."""
        deadline = time.monotonic() + timeout_s
        after = self.call("GET", "/v1/events")["next_after"]
        while time.monotonic() < deadline:
            found = check()
            if found:
                return found
            feed = self.call("GET", f"/v1/events?after={after}&wait_s=1")
            after = feed["next_after"]
        raise AssertionError("waited in vain")

    def wait_ended(self, study_id: str, timeout_s: float = 150.0) -> Any:
        def ended() -> Any:
            study = self.study(study_id)
            return study if study["state"] in ("completed", "failed", "cancelled") else None

        return self.wait(ended, timeout_s)


def worker_command(url: str, name: str, *more: str, slots: int = 1) -> list[str]:
    """The command of a worker that tells what it does in JSON lines."""
    told = ("worker", "run", "--url", url, "--name", name, "--slots", str(slots), "--json")
    return tunewell(*told, *more)


@contextmanager
def workers(
    service: Service, folder: Path, count: int, *more: str, prefix: str = "w"
) -> Iterator[list[Process]]:
    """Worker processes; all are ended at the end of the block."""
    env = {"TUNEWELL_STATE_DIR": str(folder / "state")}
    started = [
        Process(worker_command(service.url, f"{prefix}{k}", *more), folder, env)
        for k in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.process.send_signal(signal.SIGTERM)
        for process in started:
            process.end()


def function_study(name: str, **more: Any) -> dict[str, Any]:
    """A study of the built-in `function` objective over two parameters."""
    return {
        "name": name,
        "objective": {"name": "function", "options": {"function": "sphere"}},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [
            {"name": "x0", "type": "float", "low": -5, "high": 5},
            {"name": "x1", "type": "float", "low": -5, "high": 5},
        ],
        "suggester": {"name": "random", "seed": 1},
        **more,
    }
