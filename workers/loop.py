"""The worker's main thread: starts attempts, passes orders on, drains. It never waits for the
service.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .ahead import Ahead
from .attempt import Attempt
from .claimer import Claimer, Slots
from .engines.base import Engine
from .heartbeat import Beat, Heartbeat
from .intake import Intake, Received
from .link import Away, Link, Pauses, Refused
from .log import Log
from .offers import Offers
from .registration import Registration
from .runner import Outcome
from .sender import Sender
from .signals import noted_signals
from .spool_folder import SpoolFolder
from .starting import Starter
from .waiting import Waiting

OK, WRONG_USAGE, UNREACHABLE = 0, 2, 3
"""Exit statuses."""
CLAIM_WAIT_S = 5.0
"""How long a claim waits at the service; a worker that ends waits that long at most for its last.
"""
IDLE_WAIT_S = 1.0
"""The same for a worker that ends when there is no more work: it must see that soon."""
DRAIN_S = 25.0
"""How long running trials may go on after the first SIGTERM before they are given back."""
LEAVE_S = 5.0
"""How long the worker then waits for the service to take what it has to say; the rest stays on
disk.
"""
TICK_S = 0.5
"""How often the loop looks at the clock."""
SAY_EVERY_S = 60.0
"""How often it is said that a service answers, but does not take this worker in yet."""
WEIGH_EVERY_S = 2.0
"""How often the memory of the running trials is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What bounds the worker's patience, in seconds.

    Attributes:
        outage_s: how long to go on without an answer from the service.
        drain_s: how long running trials may go on after the first signal to end.
    """

    outage_s: float = 3600.0
    drain_s: float = DRAIN_S


@dataclass(frozen=True, slots=True)
class _Granted:
    leases: Sequence[Received]


@dataclass(frozen=True, slots=True)
class _Gone:
    """What the attempt held is free; its result, if it has one, may still be on the way."""

    attempt: Attempt
    has_result: bool


@dataclass(frozen=True, slots=True)
class _Over:
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class _Ended:
    """The claims have ended for good: no more work, or refused."""

    status: int


_Event = _Granted | _Gone | _Over | _Ended


class Worker:
    """Runs trials until told to end.

    Args:
        link: to the service.
        log: the worker's lines.
        offers: the objectives.
        registration: of this worker.
        spools: where reports wait.
        engine: where trials run; closed at the end.
        state_dir: for the outputs of trials.
        exit_when_idle: whether to end when there is no open work.
        limits: how patient to be.
    """

    def __init__(
        self,
        link: Link,
        log: Log,
        offers: Offers,
        registration: Registration,
        spools: SpoolFolder,
        *,
        engine: Engine,
        state_dir: Path,
        exit_when_idle: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._link = link
        self._log = log
        self._registration = registration
        self._spools = spools
        self._engine = engine
        self._limits = limits or Limits()
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._attempts: dict[str, Attempt] = {}
        self._lock = threading.Lock()
        self._slots = Slots(engine.n_slots)
        starter = Starter(
            link,
            log,
            offers,
            registration,
            spools,
            engine=engine,
            state_dir=state_dir,
            on_gone=self._end_attempt,
            on_over=lambda over: self._events.put(_Over(over)),
        )
        self._waiting = Waiting(Ahead(engine.devices, engine.n_slots), starter)
        self._intake = Intake(
            self._slots,
            engine,
            starter,
            self._waiting,
            log,
            is_ending=self._is_ending,
            on_begin=self._note_begin,
        )
        self._n_signals = 0
        self._drain_until: float | None = None
        self._leave_at = math.inf
        self._weigh_at = 0.0
        self._status: int | None = None
        self._heartbeat = Heartbeat(
            link,
            log,
            interval_s=lambda: registration.heartbeat_s,
            beats=self._beats,
            free=engine.free,
            on_directive=self._direct,
            worker_id=lambda: registration.worker_id,
            on_forgotten=registration.register_again,
        )
        self._claimer = Claimer(
            link,
            log,
            self._slots,
            wait_s=IDLE_WAIT_S if exit_when_idle else CLAIM_WAIT_S,
            room=engine.ask,
            worker_id=lambda: registration.worker_id,
            on_leases=lambda *claimed: self._events.put(_Granted(self._intake.receive(*claimed))),
            on_forgotten=registration.register_again,
            on_idle=self._idle if exit_when_idle else lambda: None,
            on_refused=self._refused,
        )

    def run(self) -> int:
        """Serves until the end; the exit status."""
        with noted_signals(self._on_signal):
            try:
                status = self._introduce()
                if status is None:
                    self._heartbeat.start()
                    self._claimer.start()
                    status = self._serve()
            finally:
                self._end()
        self._log("worker_ended", status=status)
        return status

    def _on_signal(self) -> None:
        # Called between any two instructions of this thread: it only leaves a note.
        self._n_signals += 1
        self._events.put(None)

    def _introduce(self) -> int | None:
        """Sends what dead processes left, then registers; an exit status if that cannot be done.

        In this order: registering ends the leases of the process before under the same name.
        """
        pauses = Pauses(self._link)
        failing_since, say_at = math.inf, -math.inf
        while self._n_signals == 0:
            try:
                self._link.call("GET", "/healthz")
                self._replay()
                self._registration.register()
                return None
            except Refused as refusal:
                self._log("worker_refused", detail=str(refusal))
                return WRONG_USAGE
            except Away as error:
                now = time.monotonic()
                failing_since = min(failing_since, now)
                if max(self._link.silent_s, now - failing_since) > self._limits.outage_s:
                    self._log("service_unreachable", detail=str(error))
                    return UNREACHABLE
                if error.has_failed and now >= say_at:
                    say_at = now + SAY_EVERY_S
                    self._log("service_not_ready", url=self._link.url, detail=str(error))
                pauses.wait()
        return OK

    def _replay(self) -> None:
        elsewhere: Counter[str] = Counter()
        for spool in self._spools.orphans(self._link.url, elsewhere):
            self._log("spool_replayed", lease_id=spool.header.lease_id)
            if not Sender(self._link, spool, self._log).run(until_empty=True):
                spool.close()
        for url, n_leases in elsewhere.items():
            self._log("spool_kept", url=url, leases=n_leases, folder=str(self._spools.base))

    def _serve(self) -> int:
        while True:
            with contextlib.suppress(queue.Empty):
                self._handle(self._events.get(timeout=TICK_S))
            self._lend()
            self._look_at_signals()
            self._weigh()
            self._intake.give_back_waiting(everything=self._drain_until is not None)
            if self._attempts and self._link.silent_s > self._limits.outage_s:
                return self._give_up()
            if time.monotonic() >= self._leave_at:
                return OK
            if not self._attempts and self._link.silent_s > self._limits.outage_s:
                return UNREACHABLE
            is_quiet = not self._attempts and not self._claimer.is_alive
            if self._is_ending() and is_quiet and self._events.empty():
                return self._status or OK

    def _is_ending(self) -> bool:
        return self._status is not None or self._drain_until is not None

    def _tell_draining(self) -> None:
        """Lets people see it; a worker's token may not be allowed to, which does no harm."""
        with contextlib.suppress(Away, Refused):
            path = f"/v1/workers/{self._registration.worker_id}"
            self._link.call("PATCH", path, {"draining": True})

    def _handle(self, event: _Event | None) -> None:
        if isinstance(event, _Granted):
            for received in event.leases:
                self._intake.place(*received)
        elif isinstance(event, _Gone):
            self._waiting.note_ended(event.attempt.took_s, has_result=event.has_result)
            self._intake.pass_on(event.attempt.lease.lease_id)
        elif isinstance(event, _Over):
            self._attempts.pop(event.attempt.lease.lease_id)
            event.attempt.join()
            self._intake.end(event.attempt.lease.lease_id)
        elif isinstance(event, _Ended):
            self._status = event.status
            self._claimer.stop()

    def _look_at_signals(self) -> None:
        if self._n_signals and self._drain_until is None:
            self._drain_until = time.monotonic() + self._limits.drain_s
            drain_s = self._limits.drain_s
            self._log("worker_draining", running=len(self._attempts), drain_s=drain_s)
            self._claimer.stop()
            for attempt in self._attempts.values():
                attempt.drain()
            threading.Thread(target=self._tell_draining, name="drain", daemon=True).start()
        is_late = self._drain_until is not None and time.monotonic() >= self._drain_until
        if self._n_signals > 1 or is_late:
            self._leave_at = min(self._leave_at, time.monotonic() + LEAVE_S)
            for attempt in self._attempts.values():
                attempt.release()

    def _note_begin(self, attempt: Attempt) -> None:
        lease = attempt.lease
        with self._lock:
            self._attempts[lease.lease_id] = attempt
        self._log(
            "trial_started",
            trial_id=lease.job.trial_id,
            study_id=lease.job.study_id or None,
            lease_id=lease.lease_id,
            number=lease.job.number,
            objective=lease.job.objective,
            params=dict(lease.job.params),
        )

    def _end_attempt(self, attempt: Attempt, outcome: Outcome) -> int | None:
        """Frees what a trial took, then has one that waits begin; in the attempt's thread."""
        needed_bytes = self._engine.end(attempt.lease.lease_id, outcome)
        self._events.put(_Gone(attempt, has_result=outcome.end is not None))
        return needed_bytes

    def _weigh(self) -> None:
        """Now and then has a look at what the running trials take."""
        if time.monotonic() < self._weigh_at:
            return
        self._weigh_at = time.monotonic() + WEIGH_EVERY_S
        for lease_id, attempt in self._attempts.items():
            if (pid := attempt.runner.pid) is not None:
                self._engine.note(lease_id, pid)

    def _lend(self) -> None:
        """Lends the cores of idle slots, and takes them back. After each event: what a trial that
        begins needs is held before it does.
        """
        for lease_id, n_cores in self._engine.cores().items():
            if (attempt := self._attempts.get(lease_id)) is not None:
                attempt.lend(n_cores)

    def _beats(self) -> list[Beat]:
        with self._lock:
            running = list(self._attempts.values())
        return [attempt.beat() for attempt in running] + self._waiting.beats()

    def _direct(self, lease_id: str, directive: str) -> None:
        with self._lock:
            found = self._attempts.get(lease_id)
        if directive == "abort":
            self._waiting.drop(lease_id)
        if found is not None:
            self._log("directive", lease_id=lease_id, directive=directive)
            found.obey(directive)

    def _idle(self) -> None:
        self._events.put(_Ended(OK))
        self._slots.close()

    def _refused(self, refusal: Refused) -> None:
        self._log("worker_refused", detail=str(refusal))
        self._events.put(_Ended(WRONG_USAGE))

    def _give_up(self) -> int:
        self._log("outage_too_long", outage_s=self._limits.outage_s)
        for attempt in self._attempts.values():
            attempt.give_up()
        return UNREACHABLE

    def _end(self) -> None:
        self._claimer.stop()
        self._link.close()
        self._heartbeat.stop()
        for attempt in list(self._attempts.values()):
            attempt.give_up()
            attempt.join()
        self._waiting.close()
        self._engine.close()
        self._spools.close()
