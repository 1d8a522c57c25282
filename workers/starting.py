"""Makes attempts of leases: those that begin at once, and those that are made ready for a slot;
gives back what is not to begin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tunewell.failures import of_exception
from tunewell.state_folder import store_of

from . import checkpoints
from .attempt import Attempt
from .engines.base import Engine, Place, Wanted
from .lease import is_sound, lease_of
from .link import Away, Link, Refused
from .log import Log
from .offers import Offers
from .registration import Registration
from .runner import Outcome
from .sender import Sender
from .spool import Header
from .spool_folder import SpoolFolder


@dataclass(frozen=True, slots=True)
class Ready:
    """An attempt that has not begun, and what will send its reports."""

    attempt: Attempt
    sender: Sender


class Starter:
    """Turns what a claim brought into attempts.

    Args:
        link: to the service.
        log: the worker's lines.
        offers: the objectives.
        registration: of this worker.
        spools: where reports wait.
        engine: where trials run.
        state_dir: for the outputs of trials.
        on_gone, on_over: as an attempt takes them.
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
        on_gone: Callable[[Attempt, Outcome], int | None],
        on_over: Callable[[Attempt], None],
    ) -> None:
        self._link = link
        self._log = log
        self._offers = offers
        self._registration = registration
        self._spools = spools
        self._engine = engine
        self._state_dir = state_dir
        self._on_gone = on_gone
        self._on_over = on_over

    def is_ours(self, granted: Mapping[str, Any]) -> bool:
        """Whether this worker's owner configured what the lease asks for: whatever the service
        says, nothing else runs here.
        """
        name = granted["objective"]["name"]
        if self._offers.has(name) and is_sound(granted):
            return True
        self._log("lease_refused", objective=name, lease_id=granted["lease_id"])
        return False

    def wanted(self, granted: Mapping[str, Any]) -> Wanted:
        """What a lease's trial needs."""
        name, trial = granted["objective"]["name"], granted["trial"]
        return Wanted(
            lease_id=granted["lease_id"],
            trial_id=trial["id"],
            objective=name,
            is_built_in=name not in self._offers.targets and name not in self._offers.commands,
            resources=granted.get("resources") or {},
            min_memory_bytes=trial.get("min_memory_bytes") or 0,
            fuse_group=granted.get("fuse_group"),
        )

    def prepared(self, granted: Mapping[str, Any]) -> Ready | None:
        """Has the process of a trial that waits for a slot made ready; None where it is only
        started when its turn comes.
        """
        place = self._engine.place_ahead(self.wanted(granted))
        if place is None:
            return None
        try:
            ready = self.made(granted, place, waits=True)
        except OSError:
            return None  # to be tried again, and told of, when its turn comes
        ready.attempt.prepare()
        return ready

    def made(self, granted: Mapping[str, Any], place: Place, *, waits: bool = False) -> Ready:
        """An attempt at a trial in its place.

        Raises:
            OSError: no file of reports can be made for it.
        """
        name = granted["objective"]["name"]
        command = self._offers.commands.get(name)
        lease = lease_of(
            granted,
            target=self._offers.targets.get(name),
            command=None if command is None else command.as_job(),
            folder=self._offers.folder,
            store_dir=store_of(self._state_dir, quote(name, safe="")),
            device=place.device,
            environment=place.environment,
            n_cores=place.n_cores,
        )
        spool = self._spools.open(self._header(granted))
        attempt = Attempt(
            lease,
            spool,
            self._log,
            place=place,
            fetch=lambda given, file: checkpoints.fetch(self._link, given, file, self._log),
            logs_dir=self._state_dir / "logs",
            on_gone=self._on_gone,
            on_over=self._on_over,
            waits=waits,
        )
        sender = Sender(
            self._link,
            spool,
            self._log,
            on_answer=attempt.take_answer,
            on_match=lambda is_known: attempt.runner.answer(is_known=is_known),
            on_refused=attempt.take_refusal,
            on_away=attempt.note_silence,
            on_locked_out=attempt.give_up,
            on_lost=attempt.abort,
            before_complete=lambda body: self._tell_data(name, body),
            before_match=attempt.await_the_last,
        )
        spool.on_broken = attempt.fail_for_the_disk
        return Ready(attempt, sender)

    def _header(self, granted: Mapping[str, Any]) -> Header:
        return Header(
            url=self._link.url, lease_id=granted["lease_id"], trial_id=granted["trial"]["id"]
        )

    def fail_unstarted(self, granted: Mapping[str, Any], error: OSError) -> None:
        """Fails a trial for which no file of reports can be made: a service that hears of it drains
        a worker whose disk stays full.
        """
        header = self._header(granted)
        self._log("spool_failed", lease_id=header.lease_id, detail=str(error))
        failure = of_exception(error, kind="infrastructure").bounded()
        self._engine.end(header.lease_id)
        with contextlib.suppress(Away, Refused):
            path = f"/v1/trials/{quote(header.trial_id, safe='')}:fail"
            self._link.call("POST", path, {"lease_id": header.lease_id, **failure})

    def decline(self, granted: Mapping[str, Any], reason: str) -> None:
        """Gives a lease back that is not to begin here."""
        self._engine.end(str(granted["lease_id"]))
        with contextlib.suppress(Away, Refused):
            path = f"/v1/leases/{quote(str(granted['lease_id']), safe='')}:release"
            self._link.call("POST", path, {"reason": reason})

    def _tell_data(self, objective: str, body: Mapping[str, Any]) -> None:
        """Before a result with new data pins the study to them, the service hears that we have
        them.
        """
        try:
            self._registration.offer_data(objective, body.get("data"))
        except Refused as refusal:
            self._log("worker_refused", detail=str(refusal))
