"""A private service and worker for one command: child processes that end when it does, killed or
not.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO

from .client import Client
from .errors import TunewellError
from .lifeline import Lifeline
from .models import Study, Worker, read

START_LIMIT_S = 90.0
_URGE_S, _END_LIMIT_S, _LOOK_S = 2.0, 20.0, 0.1
_SHOWN_CHARACTERS = 2000

_OWN = ("URL", "TOKEN", "DATABASE_URL", "HOST", "PORT")
"""Settings of the user's that are for other services."""


class LocalFailed(TunewellError):
    """The private service or worker did not start or did not live; the text says what it said."""


class NobodyServes(TunewellError):
    """The worker here does not offer the study's objective: its trials would wait for ever."""


def data_folder() -> Path:
    """The user's data folder for Tunewell."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "tunewell"


def fresh_folder(purpose: str) -> Path:
    """A new, empty folder for one run: under the user's data folder, else a temporary one."""
    stamp = datetime.now().astimezone().strftime(f"{purpose}-%Y%m%d-%H%M%S-")
    try:
        data_folder().mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=stamp, dir=data_folder()))
    except OSError:
        return Path(tempfile.mkdtemp(prefix=f"tunewell-{stamp}"))


def n_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Local:
    """A service on a free port and, once asked for, a worker; as a context manager.

    Args:
        folder: for the database and the logs; a fresh one when None.
        pass_fds: file descriptors that the children inherit, such as those of locks.

    Attributes:
        url: where the service listens, once entered.
        token: for calls to it; none where it asks for none.
        folder: where everything is kept.
    """

    def __init__(self, folder: Path | None = None, *, pass_fds: Sequence[int] = ()) -> None:
        self.url = self.token = ""
        self._pass_fds = tuple(pass_fds)
        self.folder = folder or fresh_folder("local")
        self._lifeline = Lifeline()
        self._children: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    @property
    def database_url(self) -> str:
        """The URL of the private database."""
        return f"sqlite:///{self.folder / 'tunewell.db'}"

    @property
    def worker_pid(self) -> int:
        """Process id of the worker, once it was started."""
        return self._children["worker"].pid

    @property
    def serve_line(self) -> str:
        """The command that serves the private database again."""
        return f"tunewell serve --database-url {self.database_url}"

    def client(self) -> Client:
        """A client of the private service."""
        return Client(self.url, token=self.token)

    def __enter__(self) -> Local:
        try:
            self.url = self._start_service()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    def _start_service(self) -> str:
        lines = self._start("service", "serve", "--port", "0", "--host", "127.0.0.1", "--json",
                            "--database-url", self.database_url)  # fmt: skip
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            try:
                line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise self._failed("service", "the private service did not start")
            if '"ready"' in line:
                return str(json.loads(line)["url"])

    def start_worker(
        self,
        slots: int,
        objectives: Sequence[str] = (),
        commands: Sequence[str] = (),
        fuse: str = "auto",
    ) -> None:
        """Starts a worker and waits until the service knows it.

        Args:
            slots: how many trials it runs at once.
            objectives: "module:name" of the user's own.
            commands: NAME=FILE.toml of commands that are objectives.
            fuse: how many trials are trained as one in a slot, as `tunewell worker run` has it.

        Raises:
            LocalFailed: it has ended, or not come up in time.
        """
        own = [argument for each in objectives for argument in ("--objective", each)]
        own += [argument for each in commands for argument in ("--command-objective", each)]
        self._start("worker", "worker", "run", "--url", self.url, "--name", "local",
                    "--slots", str(slots), "--fuse", fuse, *own)  # fmt: skip
        deadline = time.monotonic() + START_LIMIT_S
        while not self._workers():
            self.check_alive()
            if time.monotonic() > deadline:
                raise self._failed("worker", "the private worker did not register")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._children["worker"].wait(timeout=_LOOK_S)

    def check_alive(self) -> None:
        """Sees to it that the service and the worker are there.

        Raises:
            LocalFailed: one of them has ended.
        """
        for name, child in self._children.items():
            if child.poll() is not None:
                raise self._failed(name, f"the private {name} has ended")

    def check_serves(self, study: Study) -> None:
        """Sees to it that the worker offers the study's objective.

        Raises:
            NobodyServes: it does not.
        """
        offered = {offer.name for worker in self._workers() for offer in worker.objectives}
        if study.objective is None:
            raise NobodyServes("the study has no objective: its clients evaluate its trials")
        if study.objective not in offered:
            raise NobodyServes(
                f"no worker here offers the objective {study.objective!r} (offered: "
                f"{', '.join(sorted(offered)) or 'none'}). The built-in ones need "
                "pip install 'tunewell[worker]'; one of your own is named by --objective "
                "module:name"
            )

    def _workers(self) -> list[Worker]:
        with self.client() as client:
            return [read(Worker, each) for each in client.list_workers()]

    def wait(self) -> None:
        """Waits until the service ends, which it does not by itself."""
        self._children["service"].wait()

    def drain(self) -> None:
        """Has the worker end in order, and waits for it: its trials end, or are saved and given
        back.
        """
        worker = self._children["worker"]
        worker.send_signal(signal.SIGTERM)
        worker.wait()

    def end(self) -> None:
        """Ends the worker, then the service; whoever does not end in time is killed."""
        with _no_interrupts():
            for name in sorted(self._children, reverse=True):
                _end(self._children.pop(name))
            for reader in self._readers:
                reader.join(timeout=_URGE_S)
            self._readers.clear()
            self._lifeline.cut()

    def _start(self, name: str, *arguments: str) -> queue.SimpleQueue[str | None]:
        """Starts a child; the lines of its standard output, None at its end."""
        with self._log(name).open("a", encoding="utf-8") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "tunewell", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment(),
                pass_fds=(self._lifeline.fd, *self._pass_fds),
                text=True,
                # Ctrl-C is for this command, which then ends them in order.
                start_new_session=True,
            )
        self._children[name] = child
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        reader = threading.Thread(target=self._read, args=(name, child, lines), daemon=True)
        self._readers.append(reader)
        reader.start()
        return lines

    def _read(
        self, name: str, child: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]
    ) -> None:
        said: IO[str] | tuple[str, ...] = child.stdout or ()
        with self._log(name).open("a", encoding="utf-8") as log:
            for line in said:
                log.write(line)
                log.flush()
                lines.put(line)
        lines.put(None)
        if child.stdout is not None:
            child.stdout.close()

    def _environment(self) -> dict[str, str]:
        others = {f"TUNEWELL_{name}" for name in _OWN}
        env = {name: value for name, value in os.environ.items() if name not in others}
        env["TUNEWELL_STATE_DIR"] = str(self.folder / "state")
        if self.token:
            env["TUNEWELL_TOKEN"] = self.token
        return {**env, **self._lifeline.environment()}

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _failed(self, name: str, what: str) -> LocalFailed:
        said = self._log(name).read_text(encoding="utf-8", errors="replace").strip()
        return LocalFailed(f"{what}; the end of {self._log(name)}:\n{said[-_SHOWN_CHARACTERS:]}")


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """A further Ctrl-C must not leave processes behind; what happens inside is bounded."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(child: subprocess.Popen[str]) -> None:
    """Tells a child to end, urges it (a worker then gives its trials back at once), kills it."""
    for patience in (_URGE_S, _END_LIMIT_S):
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=patience)
            return
        except subprocess.TimeoutExpired:
            continue
    child.kill()
    child.wait()
