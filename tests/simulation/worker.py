"""Simulated workers and clients: state machines that keep to the protocol as the real ones do.

What a worker has put into a spool outlives its crash; everything else is forgotten. A client has no
spool: it asks again under its name and goes on where the service says that it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .record import Record
from .service import CLIENT, HEARTBEAT_S, MAX_RESOURCE, WORKER, Reply, SimulatedService
from .world import World

ANSWER_S, PAUSE_S, REPLAY_TRIES = 15.0, 3.0, 5
SLOTS = 2


@dataclass
class Spool:
    """Writes under one lease that wait for the service, in their order."""

    lease_id: str
    trial_id: str
    waiting: deque[tuple[str, dict[str, Any]]] = field(default_factory=deque)
    is_training: bool = True
    next_seq: int = 0
    step: int = 0
    n_steps: int = 0
    is_ruled: bool = False  # trained up to rungs, as the service says


class Participant:
    """What workers and clients have in common: calls that may stay without an answer.

    Args:
        world: where it lives.
        service: whom it calls.
        record: told what it sends and what it is told.
        name: its own.
    """

    caller = WORKER

    def __init__(self, world: World, service: SimulatedService, record: Record, name: str) -> None:
        self.world = world
        self.service = service
        self.record = record
        self.name = name
        self.n_lives = 0
        self.is_alive = False
        self.attempts: dict[str, Spool] = {}
        self._frozen_until = 0.0

    # Life ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Starts a new life."""
        self.n_lives += 1
        self.is_alive = True
        self.world.note("started", self.name, self.n_lives)
        self._later(HEARTBEAT_S, self._beat)

    def crash(self) -> None:
        """Ends this life at once; the next one begins a while later."""
        if not self.is_alive:
            return
        self.world.note("crashed", self.name)
        self.n_lives += 1
        self.is_alive = False
        self._die()
        self.world.later(self.world.random.uniform(1.0, 120.0), self.begin)

    def _die(self) -> None:
        self.attempts = {}

    def freeze(self) -> None:
        """Does nothing for a while, perhaps for longer than a lease lasts; then goes on."""
        self._frozen_until = self.world.now + self.world.random.uniform(5.0, 200.0)

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Like the world's, but in this life only, and not while frozen."""
        life = self.n_lives

        def run() -> None:
            if self.n_lives != life:
                return
            left_s = self._frozen_until - self.world.now
            if left_s > 0:
                self.world.later(left_s, run)
            else:
                call()

        self.world.later(delay_s, run)

    def _call(
        self,
        request: Callable[[], Reply | None],
        on_answer: Callable[[Reply], None],
        on_silence: Callable[[], None],
    ) -> None:
        """One try of one call: either its first answer in time counts, or the silence."""
        is_over, life = False, self.n_lives

        def once(call: Callable[[], None]) -> None:
            nonlocal is_over
            if not is_over:
                is_over = True
                call()

        def arrived(reply: Reply) -> None:
            if self.n_lives == life:  # an answer to a dead process reaches nobody
                self._later(0.0, lambda: once(lambda: on_answer(reply)))

        self.world.send(request, arrived)
        self._later(ANSWER_S, lambda: once(on_silence))

    # Attempts ------------------------------------------------------------------------------------

    def _attempt(self, granted: dict[str, Any]) -> None:
        if granted["lease_id"] in self.attempts:
            return
        spool = Spool(
            lease_id=granted["lease_id"],
            trial_id=granted["trial_id"],
            next_seq=granted["last_seq"] + 1,
            step=granted["last_step"],
            n_steps=granted["last_step"] + self.world.random.randint(1, 4),
        )
        if granted["to_step"] is not None:
            spool.is_ruled = True
            spool.n_steps = granted["to_step"]
        self.attempts[spool.lease_id] = spool
        self._later(0.0, lambda: self._train(spool))
        self._later(0.0, lambda: self._empty(spool))

    def _train(self, spool: Spool) -> None:
        if not spool.is_training:
            return
        if spool.step < spool.n_steps:
            spool.step += 1
            self._put(spool, "report", {"seq": spool.next_seq, "step": spool.step})
            spool.next_seq += 1
            self._later(self.world.random.uniform(1.0, 25.0), lambda: self._train(spool))
            return
        if spool.is_ruled and spool.n_steps < MAX_RESOURCE:
            self._wait_at_rung(spool)
            return
        spool.is_training = False
        end = self.world.random.choice(["complete"] * 7 + ["fail", "preempted", "release"])
        if end == "preempted":
            self._put(spool, "fail", {"failure": "preempted"})
        else:
            self._put(spool, end, {"failure": "user_error"} if end == "fail" else {})

    def _wait_at_rung(self, spool: Spool) -> None:
        """Goes on when the answer to the report there says so; some lose their patience."""
        if self.world.random.random() < 0.02:
            spool.is_training = False
            self._put(spool, "release", {})
        else:
            self._later(1.0, lambda: self._train(spool))

    def _obey(self, spool: Spool, answer: dict[str, Any]) -> None:
        """Does what the answer to a report says."""
        if not spool.is_training or not spool.is_ruled:
            return
        if answer["directive"] in ("pause", "stop"):
            self.world.note(f"told to {answer['directive']}", self.record.short(spool.lease_id))
            spool.is_training = False
            self._put(spool, answer["directive"], {})
        elif answer["to_step"] is not None and answer["to_step"] > spool.n_steps:
            spool.n_steps = answer["to_step"]

    def _put(self, spool: Spool, kind: str, body: dict[str, Any]) -> None:
        body = {**body, "value": self.record.fresh_value()}
        self.record.sent(spool.lease_id, kind, body)
        spool.waiting.append((kind, body))

    def _empty(self, spool: Spool, tries_left: int | None = None) -> None:
        """Sends the first record that waits, again and again until it is answered."""
        if not spool.waiting:
            if spool.is_training and spool.lease_id in self.attempts:
                self._later(1.0, lambda: self._empty(spool))
            else:
                self._drop(spool)
            return
        kind, body = spool.waiting[0]

        def answered(reply: Reply) -> None:
            code, answer = reply
            if code == "storage-busy":
                return silent()
            self.record.answered(spool.lease_id, kind, body, code, answer)
            self.world.note(kind, code, self.record.short(spool.lease_id), body.get("seq", ""))
            if code != "ok" or not spool.waiting:  # refused, or told to abort meanwhile
                self._drop(spool)
                return None
            spool.waiting.popleft()
            if kind == "report":
                self._obey(spool, answer)
            if kind == "report" or tries_left is not None:
                return self._empty(spool, tries_left)
            self._drop(spool)
            return None

        def silent() -> None:
            left = None if tries_left is None else tries_left - 1
            if left == 0:
                self._abandon(spool)
            else:
                self._later(PAUSE_S, lambda: self._empty(spool, left))

        request = self.service.write(kind, spool.lease_id, spool.trial_id, body, self.caller)
        self._call(request, answered, silent)

    def _abandon(self, spool: Spool) -> None:
        self._drop(spool)

    def _drop(self, spool: Spool) -> None:
        spool.is_training = False
        spool.waiting.clear()
        self.attempts.pop(spool.lease_id, None)

    def _beat(self) -> None:
        def answered(reply: Reply) -> None:
            for lease_id, directive in (reply[1] or {}).items():
                if directive == "abort" and lease_id in self.attempts:
                    self.world.note("told to abort", self.record.short(lease_id))
                    self._drop(self.attempts[lease_id])

        if self.attempts:
            request = self.service.beat(list(self.attempts), self.caller)
            self._call(request, answered, lambda: None)
        self._later(HEARTBEAT_S, self._beat)


class SimulatedWorker(Participant):
    """Registers, claims, and replays what its earlier life has left in spools."""

    def __init__(self, world: World, service: SimulatedService, record: Record, name: str) -> None:
        super().__init__(world, service, record, name)
        self._worker_id = ""
        self._orphans: list[Spool] = []
        self._n_claims = 0

    def begin(self) -> None:
        super().begin()
        self._replay()

    def _die(self) -> None:
        # A spool is on the disk; a training is not.
        self._orphans += [spool for spool in self.attempts.values() if spool.waiting]
        self.attempts = {}

    def _replay(self) -> None:
        """What dead processes left goes first: registering ends their leases."""
        if not self._orphans:
            self._register()
            return
        spool = self._orphans[0]
        spool.is_training = False
        self._empty(spool, REPLAY_TRIES)

    def _drop(self, spool: Spool) -> None:
        super()._drop(spool)
        if self._orphans and spool is self._orphans[0]:
            self._orphans.pop(0)
            self._later(0.0, self._replay)

    def _register(self) -> None:
        def answered(reply: Reply) -> None:
            self._worker_id = reply[1] or self._worker_id
            if reply[0] == "ok":
                self._claim(self._key())
            else:
                self._later(PAUSE_S, self._register)

        boot = f"{self.name}-{self.n_lives}"
        self._call(self.service.register(self.name, boot), answered, self._register)

    def _key(self) -> str:
        self._n_claims += 1
        return f"{self.name}-{self.n_lives}-{self._n_claims}"

    def _claim(self, key: str) -> None:
        """Asks under one key until it is answered."""
        n_free = SLOTS - len(self.attempts)
        if n_free == 0:
            self._later(2.0, lambda: self._claim(key))
            return

        def answered(reply: Reply) -> None:
            if reply[0] != "ok":
                self._later(PAUSE_S, lambda: self._claim(key))
                return
            for granted in reply[1]:
                self.record.granted(granted, self.name)
                self._attempt(granted)
            self._later(2.0, lambda: self._claim(self._key()))

        request = self.service.claim(self._worker_id, n_free, key)
        self._call(request, answered, lambda: self._later(PAUSE_S, lambda: self._claim(key)))


class SimulatedClient(Participant):
    """Asks for trials of one study under its name, one at a time."""

    caller = CLIENT

    def __init__(
        self, world: World, service: SimulatedService, record: Record, name: str, study_id: str
    ) -> None:
        super().__init__(world, service, record, name)
        self._study_id = study_id

    def begin(self) -> None:
        super().begin()
        self._ask()

    def _ask(self) -> None:
        def again(delay_s: float) -> None:
            self._later(delay_s, self._ask)

        def answered(reply: Reply) -> None:
            for granted in reply[1] or ():
                self.record.granted(granted, self.name)
                self._attempt(granted)
            again(5.0)

        if self.attempts:
            again(5.0)
        else:
            request = self.service.suggest(self._study_id, self.name)
            self._call(request, answered, lambda: again(PAUSE_S))
