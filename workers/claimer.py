"""Asks for trials by long poll whenever a slot is free, in a thread of its own."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from .link import Away, Link, Pauses, Refused
from .log import Log

FIT_S = 60.0
"""How much longer than its wait a claim may take: a model may be fitted for it."""

DRAINED_PAUSE_S = 5.0
"""How long to wait before asking again when the service answers at once and has nothing to give."""

NO_ROOM_PAUSE_S = 1.0
"""How long to wait before looking again whether a trial fits, unless a running one ends: another
program may have left the device.
"""

MOST_SLOTS = 1_000
"""How many free slots a claim names at most: as many as it may bring trials."""

Placed = tuple[Mapping[str, Any], int | None]
"""A lease as the service gave it, and the slot that it is to run in; None: it waits for one."""


class Slots:
    """Which slots are free, and how many trials may be held until one of those that run ends. Safe
    to use from several threads.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(count))
        self._room_ahead = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def wait_wanted(self) -> tuple[int, bool]:
        """Waits until trials are wanted: how many, 0 when no more are given out; and whether they
        are for slots that are still taken.
        """
        with self._changed:
            while True:
                if self._is_closed:
                    return 0, False
                if self._free:
                    return len(self._free), False
                if self._room_ahead > 0:
                    return self._taken_ahead(), True
                self._changed.wait()

    def wait_room(self, n_free: int, limit_s: float) -> int:
        """Waits while no trial fits in the `n_free` slots that are free: until it is other than so
        many, no more are given out, or time is up, which are all 0; or until trials are wanted
        ahead: how many.
        """

        def is_changed() -> bool:
            return len(self._free) != n_free or self._is_closed

        with self._changed:
            self._changed.wait_for(lambda: is_changed() or self._room_ahead > 0, timeout=limit_s)
            return 0 if is_changed() else self._taken_ahead()

    def _taken_ahead(self) -> int:
        wanted, self._room_ahead = self._room_ahead, 0
        return wanted

    def take(self, wanted: int | None = None) -> int | None:
        """The number of a slot that is free no more, of several the `wanted` one where it is free;
        None when none is free or the worker ends.
        """
        with self._changed:
            if self._is_closed or not self._free:
                return None
            return self._free.pop(self._free.index(wanted) if wanted in self._free else 0)

    def expected(self, *, is_ahead: bool) -> list[int]:
        """The slots in which what a claim brings will run, in this order. Of a claim ahead that is
        known where there is but one.
        """
        with self._changed:
            if is_ahead:
                return [0] if self.count == 1 else []
            return self._free[:MOST_SLOTS]

    def give_back(self, slot: int) -> None:
        """A slot is free again."""
        with self._changed:
            self._free.append(slot)
            self._changed.notify_all()

    def want_ahead(self, count: int) -> None:
        """How many trials to ask for once while none can begin."""
        with self._changed:
            self._room_ahead = count
            self._changed.notify_all()

    @property
    def are_all_free(self) -> bool:
        """Whether nothing runs."""
        with self._changed:
            return len(self._free) == self.count

    def close(self) -> None:
        """No more are given out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class Claimer:
    """The thread.

    Args:
        link: to the service.
        log: the worker's lines.
        slots: how many trials may be asked for.
        wait_s: how long a claim waits at the service.
        room: what a claim says for so many free slots beside its `worker_id` and `wait_s`; None
            when no trial fits on the devices now. Not asked for a claim ahead: what will be free
            then is known when a trial ends.
        worker_id: the worker's present id.
        on_leases: given what a claim brought, each lease with a slot taken for it (None when none
            is free, or the worker is ending), and whether it was asked for ahead.
        on_forgotten: told when the service does not know the worker; may raise Away or Refused.
        on_idle: told when there is no work and none will come.
        on_refused: told when the service will not have this worker any more.
    """

    def __init__(
        self,
        link: Link,
        log: Log,
        slots: Slots,
        *,
        wait_s: float,
        room: Callable[[int], Mapping[str, Any] | None],
        worker_id: Callable[[], str],
        on_leases: Callable[[list[Placed], bool], None],
        on_forgotten: Callable[[str], None],
        on_idle: Callable[[], None],
        on_refused: Callable[[Refused], None],
    ) -> None:
        self._link = link
        self._log = log
        self._slots = slots
        self._wait_s = wait_s
        self._room = room
        self._worker_id = worker_id
        self._on_leases = on_leases
        self._on_forgotten = on_forgotten
        self._on_idle = on_idle
        self._on_refused = on_refused
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="claims", daemon=True)

    def start(self) -> None:
        """Begins to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Asks no more; a claim that is waiting still brings what it brings."""
        self._ended.set()
        self._slots.close()

    @property
    def is_alive(self) -> bool:
        """Whether a claim may still bring something."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Waits for the claim on the way."""
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            wanted, is_ahead = self._slots.wait_wanted()
            if wanted == 0:
                return
            was_idle, asked_at = self._slots.are_all_free, time.monotonic()
            room = {"max_leases": wanted} if is_ahead else self._room(wanted)
            if room is None:
                wanted, is_ahead = self._slots.wait_room(wanted, NO_ROOM_PAUSE_S), True
                if wanted == 0:
                    continue
                room = {"max_leases": wanted}
            try:
                answer = self._ask(room, is_ahead)
            except Refused as refusal:
                self._on_refused(refusal)
                return
            if answer is None:
                continue
            if answer["leases"]:
                leases = [
                    (lease, self._slots.take(lease.get("slot"))) for lease in answer["leases"]
                ]
                self._on_leases(leases, is_ahead)
            elif is_ahead:
                continue
            elif was_idle and not answer["open_work"]:
                self._on_idle()
            elif time.monotonic() - asked_at < self._wait_s / 2:
                # The service does not let it wait: it drains the worker, or is ending itself.
                self._ended.wait(DRAINED_PAUSE_S)

    def _ask(self, room: Mapping[str, Any], is_ahead: bool) -> Any:
        """One claim, tried until it is answered; None when the worker ends or is registered anew.

        Its key stays the same: an answer that got lost on the way is given again, leases and all.
        """
        key, pauses = uuid.uuid4().hex, Pauses(self._link)
        worker_id = self._worker_id()
        slots = self._slots.expected(is_ahead=is_ahead)
        body: dict[str, Any] = {**room, "worker_id": worker_id}
        body |= {"slots": slots} if slots else {}
        # One ahead does not wait: a slot that becomes free would wait for it.
        body |= {"ahead": True} if is_ahead else {"wait_s": self._wait_s}
        while not self._link.closing.is_set():
            try:
                return self._link.call(
                    "POST", "/v1/leases:claim", body, timeout_s=self._wait_s + FIT_S, key=key
                )
            except Refused as refusal:
                if refusal.status != 404:
                    raise
                self._register_again(worker_id, pauses)
                return None
            except Away as error:
                if self._ended.is_set():
                    return None
                self._log("claim_unanswered", detail=str(error))
                pauses.wait()
        return None

    def _register_again(self, worker_id: str, pauses: Pauses) -> None:
        try:
            self._on_forgotten(worker_id)
        except Away:
            pauses.wait()
