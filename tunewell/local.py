"""A private service and worker for one command: child processes that end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import IO

from .client import Client
from .errors import TunewellError

START_LIMIT_S = 90.0
_END_LIMIT_S = 20.0


class LocalFailed(TunewellError):
    """The private service did not start; the text ends with what it said."""


def data_folder() -> Path:
    """The user's data folder for Tunewell."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "tunewell"


def fresh_folder(purpose: str) -> Path:
    """A new, empty folder for one run under the user's data folder."""
    import tempfile
    from datetime import datetime

    parent = data_folder() / purpose
    parent.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S-")
    return Path(tempfile.mkdtemp(prefix=stamp, dir=parent))


class Local:
    """A service on a free port with one worker, both in processes of their own.

    Args:
        slots: how many trials the worker runs at once.
        folder: for the database and the logs; a fresh one when None.

    Attributes:
        url: where the service listens, once entered.
        folder: where everything is kept.
    """

    def __init__(self, *, slots: int = 1, folder: Path | None = None) -> None:
        self.url = ""
        self.folder = folder or fresh_folder("local")
        self._slots = slots
        self._processes: list[subprocess.Popen[str]] = []
        self._logs: list[IO[str]] = []

    @property
    def database_url(self) -> str:
        """The URL of the private database."""
        return f"sqlite:///{self.folder / 'tunewell.db'}"

    def client(self) -> Client:
        """A client of the private service."""
        return Client(self.url, token="")

    def __enter__(self) -> Local:
        try:
            service = self._start(
                "service", "serve", "--port", "0", "--json", "--database-url", self.database_url
            )
            self.url = self._ready(service)
            self._start("worker", "worker", "run", "--url", self.url, "--slots", str(self._slots))
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Ends the worker, then the service; whoever does not end in time is killed."""
        for process in reversed(self._processes):
            _end(process)
        for log in self._logs:
            log.close()
        self._processes.clear()
        self._logs.clear()

    def _start(self, name: str, *args: str) -> subprocess.Popen[str]:
        log = (self.folder / f"{name}.log").open("w", encoding="utf-8")
        self._logs.append(log)
        env = {**os.environ, "TUNEWELL_STATE_DIR": str(self.folder / "state")}
        # The private service has no token; one of the user's would be refused by nobody but
        # must not be sent around either.
        env.pop("TUNEWELL_TOKEN", None)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tunewell", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if name == "service" else log,
            stderr=log,
            env=env,
            text=True,
            # Ctrl-C is for this command, which then ends them in order.
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def _ready(self, service: subprocess.Popen[str]) -> str:
        watchdog = threading.Timer(START_LIMIT_S, service.kill)
        watchdog.start()
        try:
            for line in service.stdout or ():
                if "ready" in line:
                    return str(json.loads(line)["url"])
        finally:
            watchdog.cancel()
        said = (self.folder / "service.log").read_text(encoding="utf-8").strip()
        raise LocalFailed(f"the private service did not start:\n{said[-2000:]}")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def wait_for_interrupt() -> None:
    """Returns at Ctrl-C or when the command is told to end."""
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: told.set())
    try:
        told.wait()
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)
