"""Which trial begins in which slot: what a claim brings begins, waits, or is given back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .attempt import Attempt
from .claimer import Placed, Slots
from .engines.base import Engine
from .log import Log
from .sender import RELEASE_REASON
from .starting import Ready, Starter
from .waiting import Waiting

NO_ROOM_REASON = "no device has room for the trial"
"""Why a trial is given back that fits nowhere."""

Received = tuple[Mapping[str, Any], int | None, str | None]
"""A lease, with its slot where there is room for it (None: it waits), or why it is given back."""


class Intake:
    """The slots with their trials. For the worker's main thread, but for `receive`.

    Args:
        slots: those that are free.
        engine: keeps room for trials.
        starter: makes attempts.
        waiting: the trials that wait for a slot.
        log: the worker's lines.
        is_ending: whether nothing begins any more.
        on_begin: told of each attempt just before it begins.
    """

    def __init__(
        self,
        slots: Slots,
        engine: Engine,
        starter: Starter,
        waiting: Waiting,
        log: Log,
        *,
        is_ending: Callable[[], bool],
        on_begin: Callable[[Attempt], None],
    ) -> None:
        self._slots = slots
        self._engine = engine
        self._starter = starter
        self._waiting = waiting
        self._log = log
        self._is_ending = is_ending
        self._on_begin = on_begin
        self._slot_of: dict[str, int] = {}
        self._last_sent: dict[int, threading.Event] = {}

    def receive(self, leases: Sequence[Placed], is_ahead: bool) -> list[Received]:
        """Takes what a claim brought. Called where claims are made: before the next one is, what
        these trials take is held.
        """
        return [self._received(*each, is_ahead) for each in leases]

    def _received(self, granted: Mapping[str, Any], slot: int | None, is_ahead: bool) -> Received:
        if not self._starter.is_ours(granted):
            return granted, slot, RELEASE_REASON
        if slot is None or self._engine.hold(self._starter.wanted(granted), may_wait=is_ahead):
            return granted, slot, None
        if is_ahead:
            self._slots.give_back(slot)
            return granted, None, None
        lease_id, name = granted["lease_id"], granted["objective"]["name"]
        self._log("trial_without_room", objective=name, lease_id=lease_id)
        return granted, slot, NO_ROOM_REASON

    def place(self, granted: Mapping[str, Any], slot: int | None, refusal: str | None) -> None:
        """Begins a trial, has it wait for a slot and for room, or gives it back."""
        if self._is_ending():
            refusal = refusal or RELEASE_REASON
        if refusal is not None:
            self._starter.decline(granted, refusal)
            self._give_back(slot)
        elif slot is not None:
            self._begin(granted, slot)
        else:
            self._waiting.add(granted)
            slot = self._slots.take()  # one may have become free since
            if slot is None:
                self._waiting.prepare(granted)
            elif not self._begin_waiting(slot):
                self._slots.give_back(slot)

    def _give_back(self, slot: int | None) -> None:
        if slot is not None:
            self._slots.give_back(slot)

    def pass_on(self, lease_id: str) -> None:
        """Where what a trial held is free one that waits begins, while the result is on its way.

        Only such a one: a new point is to know the result, so it is claimed when that has arrived.
        """
        if lease_id not in self._slot_of:
            return
        self._slots.want_ahead(0)
        if self._begin_waiting(self._slot_of[lease_id]):
            del self._slot_of[lease_id]

    def end(self, lease_id: str) -> None:
        """A trial is over, and the service has its result: its slot is for one that waits, or that
        is claimed.
        """
        self.pass_on(lease_id)
        self._give_back(self._slot_of.pop(lease_id, None))

    def _begin_waiting(self, slot: int) -> bool:
        """Begins the trial that has waited longest of those that fit; whether there is one."""
        waiting = self._waiting.take(
            lambda granted: self._engine.hold(self._starter.wanted(granted), may_wait=True)
        )
        if waiting is not None:
            granted, ready = waiting
            self._begin(granted, slot, ready)
        return waiting is not None

    def _begin(self, granted: Mapping[str, Any], slot: int, ready: Ready | None = None) -> None:
        place = self._engine.place(self._starter.wanted(granted))
        try:
            ready = ready or self._starter.made(granted, place)
        except OSError as error:
            self._starter.fail_unstarted(granted, error)
            self._slots.give_back(slot)
            return
        attempt = ready.attempt
        self._slot_of[attempt.lease.lease_id] = slot
        self._on_begin(attempt)
        attempt.begin(ready.sender, place, self._last_sent.get(slot))
        self._last_sent[slot] = attempt.is_sent
        self._slots.want_ahead(self._waiting.room if granted.get("more_ahead") else 0)

    def give_back_waiting(self, *, everything: bool) -> None:
        """Trials that wait too long for a slot are for other workers."""
        for granted in self._waiting.take_late(everything=everything):
            self._starter.decline(granted, RELEASE_REASON)
