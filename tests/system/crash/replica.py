"""A service process as the test holds it: started, listened to, told to go on, killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.warm import processes

from .injector import ARM, GO_ON
from .plan import Plan
from .serving import run

START_S = 90.0
"""A busy machine takes its time."""
CONTENTS = "checkpoints"
"""The folder, in that of the cell, of what the checkpoints hold."""


class Replica:
    """One service process.

    Args:
        database_url: what it serves.
        folder: for its log and, beside those of its like, the checkpoints.
        plan: its fault, or None.
        port: where to listen; 0 picks one.
        on_struck: called, in another thread, when the fault has struck.
    """

    def __init__(
        self,
        database_url: str,
        folder: Path,
        plan: Plan | None = None,
        *,
        port: int = 0,
        on_struck: Callable[[Replica, dict[str, Any]], None] | None = None,
    ) -> None:
        self.plan = plan
        self.port = port
        self.struck = threading.Event()
        self.n_struck = 0
        self.migrating = threading.Event()
        self.ended_at: float | None = None
        self.ready_at: float | None = None
        self.log = folder / f"service-{time.monotonic_ns()}.log"
        self._on_struck = on_struck
        self._settled = threading.Event()
        self._pipe, theirs = processes.Pipe()
        self.process = processes.Process(
            target=run,
            args=(database_url, port, plan, theirs, str(self.log), str(folder / CONTENTS)),
            daemon=True,
        )
        self.process.start()
        theirs.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self) -> bool:
        """Waits until it serves; False when it died before."""
        assert self._settled.wait(START_S), f"no sign of the service:\n{self.log.read_text()}"
        return self.ready_at is not None

    def wait_struck(self, timeout_s: float = START_S) -> None:
        """Waits until the fault has struck."""
        assert self.struck.wait(timeout_s), f"{self.plan} never struck"

    @property
    def is_dead(self) -> bool:
        return not self.process.is_alive()

    def go_on(self) -> None:
        """Lets a held process go on."""
        self._pipe.send(GO_ON)

    def arm(self) -> None:
        """From now on a fault may strike that was not to strike before."""
        self._pipe.send(ARM)

    def kill(self) -> None:
        """SIGKILL, if it is alive."""
        self.process.kill()
        self.process.join(30)
        self._reader.join(30)
        self._pipe.close()

    def _read(self) -> None:
        while True:
            try:
                what, more = self._pipe.recv()
            except (EOFError, OSError):
                self.ended_at = self.ended_at or time.time()
                self._settled.set()
                return
            self._hear(what, more)

    def _hear(self, what: str, more: dict[str, Any]) -> None:
        if what == "ready":
            self.port, self.ready_at = more["port"], time.time()
            self._settled.set()
        elif what == "migrating":
            self.migrating.set()
        elif what == "struck":
            self.n_struck += 1
            self.struck.set()
            if self._on_struck is not None:
                self._on_struck(self, more)
