"""What goes between the service and a trial that a script evaluates, under the trial's lease:
reports, checkpoints, and what the service wants.
"""

from __future__ import annotations

import logging
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

from . import archive
from .checkpoints import Saved, uploading
from .errors import TunewellError, Unreachable
from .exchange import Await, Call, Download
from .models import SuggestedTrial
from .objective import Values
from .sender import Held, Sender

log = logging.getLogger("tunewell")

CHECKPOINT_EVERY_S = 60.0
"""How long after a checkpoint `should_checkpoint` asks for the next one."""
_OBJECTIVE, _VERSION = "ask", ""
"""What our checkpoints say that they were saved by."""


class Session(Protocol):
    """What a trial needs of a client, of either kind."""

    url: str
    retry_s: float

    @property
    def sender(self) -> Sender:
        """Sends what trials report."""
        ...


class Runner(Session, Protocol):
    """A client that blocks."""

    def run(self, call: Call[Any]) -> Any:
        """Carries a call out."""
        ...


class AsyncRunner(Session, Protocol):
    """A client for asyncio."""

    async def run(self, call: Call[Any]) -> Any:
        """Carries a call out."""
        ...


class LeaseChannel:
    """Where the reports of one lease go: to the sender.

    Args:
        held: the lease.
        session: the client.
    """

    def __init__(self, held: Held, session: Session) -> None:
        self.held = held
        self.session = session
        self.has_seen_end = False
        self._started = self.saved_at = time.monotonic()

    @property
    def should_stop(self) -> bool:
        """Whether the training is to end; what has been seen of it decides how the trial ends."""
        self.has_seen_end = self.has_seen_end or self.held.must_end
        return self.held.must_end

    @property
    def stop_reason(self) -> str | None:
        """Why, in words."""
        if self.held.problem is not None:
            return self.held.problem.detail
        return self.held.reason if self.held.directive else None

    @property
    def to_step(self) -> int | None:
        """The end of the budget."""
        return self.held.to_step

    @property
    def should_checkpoint(self) -> bool:
        """Whether the last one is old enough, the trial is to pause, or one was asked for."""
        held = self.held
        is_old = time.monotonic() - self.saved_at >= CHECKPOINT_EVERY_S
        return is_old or held.wants_checkpoint or held.directive == "pause"

    def elapsed_s(self) -> float:
        """Seconds since the trial was handed out."""
        return time.monotonic() - self._started

    def put(self, step: int, values: Values, elapsed_s: float) -> None:
        """Takes a point in.

        Raises:
            ApiError: an earlier one was refused; `StaleLease` where the trial is somebody else's.
        """
        if self.held.problem is not None:
            raise self.held.problem
        self.held.put(step, values, elapsed_s)

    def reaching(self, step: int) -> Call[None]:
        """At the end of the budget, waits for what comes next.

        Raises:
            Unreachable: the service does not say.
        """
        held = self.held
        if held.to_step is None or step < held.to_step or step <= held.known_step:
            return
        if not (yield Await(self.session.sender.flush(held), self.session.retry_s)):
            reason = f"it has not said how trial {held.trial_id} goes on after step {step}"
            raise Unreachable(self.session.url, reason)

    def saving(self, step: int, path: Path, name: str, values: Values) -> Call[None]:
        """Packs a checkpoint, and has it kept by the service.

        Raises:
            ApiError, Unreachable: it does not take it.
            OSError: it cannot be written or read here.
        """
        yield Await(self.session.sender.flush(self.held), self.session.retry_s)
        with tempfile.TemporaryDirectory(prefix="tunewell-") as folder:
            target = Path(folder) / "checkpoint"
            saved = archive.Saved(objective=_OBJECTIVE, version=_VERSION, values=values)
            archive.pack(path, name, saved, target)
            yield from uploading(self.held.trial_id, self.held.lease_id, Saved.of(step, target))
        self.held.wants_checkpoint, self.saved_at = False, time.monotonic()

    def report(self, step: int, values: Values, elapsed_s: float) -> None:
        """Not used: the trial itself carries out what a report brings."""
        raise NotImplementedError

    def save(self, step: int, path: Path, name: str) -> None:
        """Not used, as `report`."""
        raise NotImplementedError


def fetching(given: SuggestedTrial, folder: Path) -> Call[bool]:
    """Reads and unpacks the checkpoint that an attempt goes on from; whether there is one."""
    if given.checkpoint is None:
        return False
    target = folder.with_suffix(".checkpoint")
    try:
        yield Download(given.checkpoint.url, target)
        if Saved.of(0, target).sha256 != given.checkpoint.sha256:
            raise archive.Unusable("it did not come as it was announced")
        archive.unpack(target, folder, objective=_OBJECTIVE, version=_VERSION)
    except (TunewellError, archive.Unusable) as error:
        log.warning("trial %d begins anew, its checkpoint is no use: %s", given.number, error)
        return False
    finally:
        target.unlink(missing_ok=True)
    return True
