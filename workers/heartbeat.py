"""Beats for all leases from one thread, which no training can hold up: trials are other
processes.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .link import Away, Link, Refused
from .log import Log

BEAT_S = 10.0
"""How long one beat may take to be answered."""
FREE_EVERY_S = 15.0
"""How often a beat says what is free on the devices, at most."""
RETRY_S = 2.0
"""How soon a beat that was not answered is tried again, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A sign of life for one lease."""

    lease_id: str
    step: int | None = None
    memory_bytes: int | None = None
    utilisation: float | None = None

    def as_sent(self) -> dict[str, Any]:
        """As the service takes it."""
        fields = {
            "lease_id": self.lease_id,
            "step": self.step,
            "memory_bytes": self.memory_bytes,
            "utilisation": self.utilisation,
        }
        return {key: value for key, value in fields.items() if value is not None}


class Heartbeat:
    """The thread. A worker without a lease does not beat.

    Args:
        link: to the service.
        log: the worker's lines.
        interval_s: how often to beat, asked anew each time.
        beats: what is alive now.
        free: what is free on each device now; None where that is not known.
        on_directive: told for each lease what the service wants.
        worker_id: the worker's present id.
        on_forgotten: told when the service does not know that id.
    """

    def __init__(
        self,
        link: Link,
        log: Log,
        *,
        interval_s: Callable[[], float],
        beats: Callable[[], Sequence[Beat]],
        free: Callable[[], Sequence[Mapping[str, Any]] | None],
        on_directive: Callable[[str, str], None],
        worker_id: Callable[[], str],
        on_forgotten: Callable[[str], None],
    ) -> None:
        self._link = link
        self._log = log
        self._interval_s = interval_s
        self._beats = beats
        self._free = free
        self._free_at = -math.inf
        self._on_directive = on_directive
        self._worker_id = worker_id
        self._on_forgotten = on_forgotten
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begins to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, if it was begun."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        wait_s = self._interval_s()
        while not self._ended.wait(wait_s):
            try:
                self.beat_once()
                wait_s = self._interval_s()
            except Away as error:
                self._log("heartbeat_unanswered", detail=str(error))
                wait_s = min(RETRY_S, self._interval_s())
            except Refused as error:
                self._log("heartbeat_refused", detail=str(error))
                wait_s = self._interval_s()

    def beat_once(self) -> None:
        """One beat for all leases.

        Raises:
            Away: nobody answered.
            Refused: the service does not take it.
        """
        beats = self._beats()
        if not beats:
            return
        worker_id = self._worker_id()
        body: dict[str, Any] = {
            "worker_id": worker_id,
            "leases": [beat.as_sent() for beat in beats],
            **self._devices_free(),
        }
        try:
            answer = self._link.call("POST", "/v1/leases:heartbeat", body, timeout_s=BEAT_S)
        except Refused as refusal:
            if refusal.status != 404:
                raise
            self._on_forgotten(worker_id)
            return
        for entry in answer["leases"]:
            directive = str(entry.get("directive", "continue"))
            if directive != "continue":
                self._on_directive(str(entry["lease_id"]), directive)

    def _devices_free(self) -> dict[str, Any]:
        """What the beat says of the devices, now and then."""
        now = time.monotonic()
        if now - self._free_at < FREE_EVERY_S:
            return {}
        self._free_at = now
        free = self._free()
        return {} if free is None else {"devices_free": list(free)}
