"""A trial's pipes to its parent, as its process holds them: reports go out, orders come in."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from tunewell import archive
from tunewell.objective import TrialEnded

from .jobs import sendable

CHECKPOINT_EVERY_S = 10.0
"""A trial saves after so many seconds of work, unless it is asked to before: little work is done
twice, and a training of short steps does not spend its time on saving."""
MOST_HELD_BACK = 100
"""What a trial keeps to itself, at most, while it waits to hear of an equal one's result."""


class Ending(StrEnum):
    """How a trial that was told to end before its time ends; the last message's `state`."""

    ANSWERED = "answered"  # before it began: an equal trial's result has completed it

    STOPPED = "stopped"  # for good
    PAUSED = "paused"  # may be promoted and go on
    LEFT = "left"  # its worker ends, with no word from the service: the trial is given back


ANSWERED = {"end": {"state": Ending.ANSWERED}}
"""The last message of a process whose trial an equal one's result has completed."""
_WHY = {
    Ending.ANSWERED: "an equal trial has the result",
    Ending.STOPPED: "the early-stopping rule stopped the trial",
    Ending.PAUSED: "the trial pauses at a rung",
    Ending.LEFT: "the worker ends",
}


class ParentGone(OSError):
    """The process that a trial reports to is gone."""


class PipeChannel:
    """Where a trial's reports go and its orders come from: the pipes to the parent.

    A report at the end of the trial's budget holds the objective until the service has answered it.

    Args:
        report_fd: the pipe for lines to the parent.
        checkpoint_dir: folder for checkpoints, or None where nothing would keep them.
        now: a clock that never goes back, in seconds.
        to_step: the end of the budget at first, None for the end of the training.
        owns_process: whether the process is the trial's alone, to be ended with it.
    """

    def __init__(
        self,
        report_fd: int,
        checkpoint_dir: str | None = None,
        now: Callable[[], float] = time.monotonic,
        *,
        to_step: int | None = None,
        owns_process: bool = False,
        n_cores: int = 1,
    ) -> None:
        self.owns_process = owns_process
        self._report_fd = report_fd
        self._folder = None if checkpoint_dir is None else Path(checkpoint_dir)
        self._now = now
        self._lock = threading.Lock()
        self._told = threading.Condition()
        self._ending: Ending | None = None
        self._answered_step = 0
        self._to_step = to_step
        self._may_leave = False
        self._is_known: bool | None = None
        self._has_asked_ahead = False
        self._held_back: list[bytes] | None = None
        self._wants_checkpoint = threading.Event()
        self._started = self._saved_at = now()
        self._held_s = 0.0
        self._has_seen_end = False
        self._last_values: dict[str, float] = {}
        self.n_cores = n_cores
        """How many the trial may compute on now, as its parent has said last."""
        self.saved_by = "", ""
        """Name and version of the objective, which its checkpoints say."""

    @property
    def ending(self) -> Ending | None:
        """How the trial was told to end; None: it was not."""
        return self._ending

    @property
    def should_stop(self) -> bool:
        """Whether the trial was asked to end now."""
        return self._ending is not None

    @property
    def stop_reason(self) -> str | None:
        """Why the trial is to end, in words."""
        return None if self._ending is None else _WHY[self._ending]

    @property
    def to_step(self) -> int | None:
        """The end of the budget, None for the end of the training."""
        return self._to_step

    def elapsed_s(self) -> float:
        """Seconds of work since the trial began, without those in which it was held."""
        return self._now() - self._started - self._held_s

    @property
    def should_checkpoint(self) -> bool:
        """Whether the parent has asked for a checkpoint, or the last one is old enough."""
        if self._folder is None:
            return False
        return self._wants_checkpoint.is_set() or self._now() - self._saved_at >= CHECKPOINT_EVERY_S

    def want_checkpoint(self) -> None:
        """Sets `should_checkpoint` until the next checkpoint is saved."""
        self._wants_checkpoint.set()

    def save(self, step: int, path: Path, name: str) -> None:
        """Packs a checkpoint into a file that is handed over to the parent; does nothing where
        nothing would keep it.
        """
        if self._folder is None:
            return
        self._wants_checkpoint.clear()
        objective, version = self.saved_by
        saved = archive.Saved(objective=objective, version=version, values=self._last_values)
        target, part = self._folder / f"{step}.checkpoint", self._folder / f"{step}.part"
        try:
            archive.pack(path, name, saved, part)
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.rename(target)
        finally:
            part.unlink(missing_ok=True)
        self.send({"checkpoint": {"step": step, "path": str(target)}})
        self._saved_at = self._now()

    def ask_ahead(self, point: Mapping[str, Any]) -> None:
        """Asks as `is_known` does, without a wait: the work begins while the question is on its
        way, what it has to tell is held back until the answer, and the process ends when the result
        is known.
        """
        self._has_asked_ahead = True
        with self._lock:  # the answer may be there before this returns
            self._write(_line({"equivalent": point}))
            self._held_back = []

    def settle(self) -> None:
        """Waits for the answer to a question that was asked ahead; does not return from one that
        ends the process.
        """
        if self._has_asked_ahead:
            with self._told:
                self._told.wait_for(lambda: self._is_known is not None)

    def is_known(self, point: Mapping[str, Any]) -> bool:
        """Whether the trial has been answered from an earlier one with this canonical point; waits
        for the service to say so, or for the worker to say that it is to train.
        """
        held_at = self._now()
        self.send({"equivalent": point})
        with self._told:
            self._told.wait_for(lambda: self._is_known is not None)
        self._held_s += self._now() - held_at
        return bool(self._is_known)

    def report(self, step: int, values: Mapping[str, float], elapsed_s: float) -> None:
        """Sends a measurement; at the end of the budget waits for what comes next.

        Raises:
            TrialEnded: the trial was told to end, as the report before returned.
        """
        if self._has_seen_end:
            raise TrialEnded
        held_at = self._now()
        held_back = self._held_back
        is_last = self._to_step is not None and step >= self._to_step
        if is_last or (held_back is not None and len(held_back) >= MOST_HELD_BACK):
            self.settle()
        self._last_values = dict(values)
        self.send({"report": {"step": step, "values": sendable(values), "elapsed_s": elapsed_s}})
        self._hold(step)
        self._held_s += self._now() - held_at
        self._has_seen_end = self.should_stop

    def _hold(self, step: int) -> None:
        with self._told:
            self._told.wait_for(lambda: self._may_go_on(step) or self._may_leave)
            if not self._may_go_on(step):
                self._ending = Ending.LEFT

    def _may_go_on(self, step: int) -> bool:
        """Whether a report of `step` may return. An order to end does not keep it either."""
        is_within = self._to_step is None or step < self._to_step
        return is_within or self._answered_step >= step or self.should_stop

    def take_order(self, order: Mapping[str, Any]) -> None:
        """Follows a line of the parent's."""
        name = order["order"]
        if name == "checkpoint":
            self.want_checkpoint()
            return
        if name == "cores":
            self.n_cores = order["n_cores"]
            return
        with self._told:
            if name == "continue":
                self._answered_step, self._to_step = order["step"], order["to_step"]
            elif name in ("answered", "train"):
                if name == "answered" and self._has_asked_ahead:
                    with self._lock:  # and never let go of: nothing is told after this
                        self._write(_line(ANSWERED))
                        os._exit(0)
                self._send_held_back()
                self._is_known = name == "answered"
            elif name == "leave":
                self._may_leave = True
                self._wants_checkpoint.set()
            elif name == "stop":
                self._ending = Ending.STOPPED
            elif name == "pause" and self._ending is not Ending.STOPPED:
                self._ending = Ending.PAUSED
                self._wants_checkpoint.set()
            self._told.notify_all()

    def send(self, message: Mapping[str, Any]) -> None:
        """Writes one line to the parent, in its turn; see `ask_ahead`."""
        line = _line(message)
        with self._lock:
            if self._held_back is None:
                self._write(line)
            else:
                self._held_back.append(line)

    def _send_held_back(self) -> None:
        with self._lock:
            self._write(b"".join(self._held_back or []))
            self._held_back = None

    def _write(self, lines: bytes) -> None:
        try:
            while lines:
                lines = lines[os.write(self._report_fd, lines) :]
        except BrokenPipeError as error:
            raise ParentGone from error


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, default=str).encode() + b"\n"
