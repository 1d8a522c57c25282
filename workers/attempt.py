"""One attempt at a trial: its lease, its process, its spool and the two threads that serve them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunewell.checkpoints import Saved
from tunewell.failures import Failure, of_exception

from . import memory, output
from .busy import Busy
from .engines.base import Place
from .heartbeat import Beat
from .jobs import Job
from .lease import Lease
from .log import Log
from .output import Output
from .runner import Cause, Outcome, Runner
from .sender import MATCH_S, PAUSED, RELEASE_REASON, Sender
from .spool import Record, Spool

MAX_POINTS = 100
"""Measurements in one report at most."""
ANSWERED = "answered"
"""State in which the process of a trial ends that an equal one's result has completed."""
_RELEASES = {"paused": PAUSED, "left": RELEASE_REASON}
"""Why a trial is given back, by how its process has ended."""


class Attempt:
    """Runs a lease to its end.

    Args:
        lease: what to run.
        spool: where its writes go first; closed or dropped when the attempt is over.
        log: the worker's lines.
        place: where the process is started, in the thread of the attempt.
        fetch: reads a checkpoint into a file; whether it is there.
        logs_dir: where the end of the trial's output is kept.
        on_gone: called from another thread when what the trial held is free, with how it ended;
            gives the bytes that the next attempt needs after one that ran out of memory, or None.
        on_over: called from another thread when the process is gone and the service has the result
            (or the lease is lost, or the worker closes).
        waits: whether `prepare` is called before `begin`, or `discard` in its place.
    """

    def __init__(
        self,
        lease: Lease,
        spool: Spool,
        log: Log,
        *,
        place: Place,
        fetch: Callable[[Mapping[str, Any], Path], bool],
        logs_dir: Path,
        on_gone: Callable[[Attempt, Outcome], int | None],
        on_over: Callable[[Attempt], None],
        waits: bool = False,
    ) -> None:
        self.lease = lease
        self._spool = spool
        self._log = log
        self._logs_dir = logs_dir
        self._on_gone = on_gone
        self._on_over = on_over
        self._place = place
        self._busy = Busy()
        self._began_at = time.monotonic()
        self._fetch = fetch
        self._waits = waits
        self._is_discarded = False
        self._has_left = False
        self.is_sent = threading.Event()
        """Set when the service has its result, or the worker gives up."""
        self._after: threading.Event | None = None
        self._seq = -1
        self._waiting: Path | None = None
        self._gives_back = False
        self._to_step = lease.job.to_step
        self._n_cores = lease.job.n_cores
        self.runner = Runner(
            lambda: self._place.start(self._prepared()),
            self,
            output=Output(self._printed),
            time_limit_s=lease.time_limit_s,
            waits=waits,
            on_end=self._has_come_to_its_end,
        )
        name = f"trial-{lease.job.trial_id}"
        self._process_thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._send_thread: threading.Thread | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone; its result may still be on the way."""
        return not self._process_thread.is_alive()

    @property
    def took_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began_at

    def prepare(self) -> None:
        """Has the process made ready for the trial's turn."""
        self._process_thread.start()

    def discard(self) -> None:
        """Ends a trial that was made ready and is not to begin. The thread ends soon."""
        self._is_discarded = True
        self.abort()

    def begin(self, sender: Sender, place: Place, after: threading.Event | None = None) -> None:
        """Starts the process, or has it begin where it was made ready, and the sending of what it
        reports.

        Args:
            after: `is_sent` of the trial before it in its slot.
        """
        self._place, self._began_at, self._after = place, time.monotonic(), after
        if self._waits:
            self.runner.begin()
        else:
            self._process_thread.start()
        self._send_thread = threading.Thread(
            target=self._serve, args=(sender,), name=f"send-{self.lease.job.trial_id}", daemon=True
        )
        self._send_thread.start()

    def _serve(self, sender: Sender) -> None:
        try:
            sender.run()
        finally:
            self._process_thread.join()
            self._spool.close()
            self.is_sent.set()
            self._on_over(self)

    def await_the_last(self) -> None:
        """Waits, not for long, until the service has the result of the trial before: it may be the
        one that is asked for.
        """
        if self._after is not None:
            self._after.wait(MATCH_S)

    def join(self) -> None:
        """Waits until its threads are done."""
        (self._send_thread or self._process_thread).join()

    def take_answer(self, report: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """Follows the answer to a report: what the trial does next."""
        directive = str(answer.get("directive", "continue"))
        if directive == "pause":
            self.runner.pause()
        elif directive == "continue":
            self._go_on(report["points"][-1]["step"], answer.get("budget"))
        else:
            self.obey(directive)

    def take_refusal(self, report: Mapping[str, Any], detail: str) -> None:
        """A report is left out. A trial that waits for the answer to it would wait for ever: what
        it reports is its objective's fault.
        """
        step = report["points"][-1]["step"]
        if self._to_step is not None and step >= self._to_step:
            message = f"the service refused the report of step {step}: {detail}"
            self.runner.fail(Failure(kind="user_error", message=message))

    def fail_for_the_disk(self, error: OSError) -> None:
        """Ends a trial whose reports are no longer kept: they are sent from memory, and no more
        come.
        """
        self._log("spool_failed", lease_id=self.lease.lease_id, detail=str(error))
        self.runner.fail(of_exception(error, kind="infrastructure"))

    def _go_on(self, step: int, budget: Mapping[str, Any] | None) -> None:
        before = self._to_step
        if budget is not None:
            self._to_step = budget["to_step"]
        if self._to_step != before or (before is not None and step >= before):
            self.runner.go_on(step, self._to_step)

    def obey(self, directive: str) -> None:
        """Follows what the service wants of the trial, by the answer to a beat."""
        if directive == "stop":
            self.runner.stop()
        elif directive == "pause" and self._is_at_its_budgets_end:
            # The answer to the report is lost or late. Before that step it would be the beat that
            # is late: the trial has been promoted since.
            self.runner.pause()
        elif directive == "checkpoint":
            self.runner.want_checkpoint()
        elif directive == "abort":
            self.abort()

    @property
    def _is_at_its_budgets_end(self) -> bool:
        return self._to_step is None or (self.runner.last_step or 0) >= self._to_step

    def lend(self, n_cores: int) -> None:
        """Tells the trial how many cores it may compute on now, where that has changed."""
        if n_cores != self._n_cores:
            self._n_cores = n_cores
            self.runner.lend(n_cores)

    def note_silence(self) -> None:
        """A report was not answered. A trial that waits for the answer waits on, but not in a
        worker that is to end.
        """
        if self._gives_back:
            self.runner.leave()

    def abort(self) -> None:
        """Ends the process and forgets the lease: it is lost, or the trial is cancelled."""
        self.runner.kill(Cause.ABORT)
        self._spool.drop()

    def drain(self) -> None:
        """Has the trial given back as soon as it has saved a checkpoint; one that saves none goes
        on.
        """
        self._gives_back = True
        self.runner.want_checkpoint()

    def release(self) -> None:
        """Ends the process and gives the trial back."""
        self.runner.kill(Cause.RELEASE)

    def give_up(self) -> None:
        """Ends the process; what it reported stays on disk for a later worker."""
        self.runner.kill(Cause.ABORT)
        self._spool.close()

    def beat(self) -> Beat:
        """Its sign of life, with what it uses; how busy a GPU is, is not known of one trial."""
        pids = memory.family(self.runner.pid)
        is_on_cores = self._place.device == "cpu"
        return Beat(
            lease_id=self.lease.lease_id,
            step=self.runner.last_step,
            memory_bytes=memory.resident_bytes(pids) or None,
            utilisation=self._busy.share(pids, self._n_cores) if is_on_cores else None,
        )

    def report(self, points: list[dict[str, Any]]) -> None:
        """Puts measurements on disk, to be sent."""
        for first in range(0, len(points), MAX_POINTS):
            self._seq += 1
            some = points[first : first + MAX_POINTS]
            body = {"lease_id": self.lease.lease_id, "seq": self._seq, "points": some}
            self._spool.append(Record(kind="report", body=body))

    def checkpoint(self, step: int, path: str) -> None:
        """Puts a checkpoint in the way of the reports, to be sent after them; one that still waits
        is replaced.
        """
        saved = Saved.of(step, Path(path))
        if self._waiting is not None:
            self._waiting.unlink(missing_ok=True)
        self._waiting = saved.path
        self._spool.append(Record(kind="checkpoint", body=saved.to_body()))
        if self._gives_back:
            self.release()

    def ask_equal(self, point: Mapping[str, Any]) -> None:
        """Puts the question for equal work in the way of the reports."""
        body = {"lease_id": self.lease.lease_id, "equivalent": dict(point)}
        self._spool.append(Record(kind="match", body=body))

    def _printed(self, start: int, text: str) -> None:
        """Puts a piece of output on disk, to be sent. What is for people must not fail a trial."""
        body = {"lease_id": self.lease.lease_id, "offset": start, "text": text}
        with contextlib.suppress(OSError):
            self._spool.append(Record(kind="logs", body=body))

    def _prepared(self) -> Job:
        """The job with a folder for checkpoints, and the one that it goes on from."""
        folder = self._spool.checkpoint_dir
        folder.mkdir(exist_ok=True)
        job = replace(self.lease.job, checkpoint_dir=str(folder), waits=self._waits)
        given, file = self.lease.checkpoint, folder / "resume"
        if given is None or not self._fetch(given, file):
            return job
        self._log("trial_resumed", trial_id=job.trial_id, step=given["step"])
        return replace(job, resume={"path": str(file), "step": given["step"]})

    def _run(self) -> None:
        try:
            outcome = self.runner.run()
        except Exception as error:
            # E.g. a full disk, which does not take a report.
            outcome = Outcome(failure=of_exception(error, kind="infrastructure"))
        if self._spool.is_dropped:
            self._spool.drop()  # the folder may have been made since, or been written into
        if self._is_discarded:
            return
        needed_bytes = self._leave(outcome)
        self.runner.output.end()
        output.keep(self._logs_dir, self.lease.job.trial_id, self.runner.output.kept)
        record = self._record(outcome, needed_bytes)
        if record is not None:
            self._tell(record)
        self._note(outcome)

    def _has_come_to_its_end(self, end: Mapping[str, Any]) -> None:
        """Does not wait for the exit of a process that does nothing more."""
        if self._place.ends_clean:
            self._leave(Outcome(end=end))

    def _leave(self, outcome: Outcome) -> int | None:
        has_left, self._has_left = self._has_left, True
        return None if has_left else self._on_gone(self, outcome)

    def _tell(self, record: Record) -> None:
        """Puts the last write under the lease in the way of the others, with or without a disk."""
        try:
            self._spool.append(record)
        except OSError as error:
            self._log("spool_failed", lease_id=self.lease.lease_id, detail=str(error))
            self._spool.hold(record)

    def _record(self, outcome: Outcome, needed_bytes: int | None) -> Record | None:
        """The last write under the lease; None for a trial that was aborted, or answered from an
        equal one.
        """
        lease_id = self.lease.lease_id
        if outcome.end is not None:
            if (reason := _RELEASES.get(outcome.end["state"])) is not None:
                return Record(kind="release", body={"reason": reason})
            if outcome.end["state"] == ANSWERED:
                return None
            told = {key: value for key, value in outcome.end.items() if value is not None}
            return Record(kind="complete", body={"lease_id": lease_id, **told})
        if outcome.failure is not None:
            body: dict[str, Any] = {"lease_id": lease_id, **outcome.failure.bounded()}
            if needed_bytes is not None:
                body["min_memory_bytes"] = needed_bytes
            return Record(kind="fail", body=body)
        if outcome.cause is Cause.RELEASE:
            return Record(kind="release", body={"reason": RELEASE_REASON})
        return None

    def _note(self, outcome: Outcome) -> None:
        fields: dict[str, Any] = {
            "trial_id": self.lease.job.trial_id,
            "study_id": self.lease.job.study_id or None,
            "number": self.lease.job.number,
        }
        if outcome.end is not None:
            values = outcome.end.get("values")
            step = self.runner.last_step
            self._log("trial_" + outcome.end["state"], **fields, step=step, values=values)
        elif outcome.failure is not None:
            failure: Failure = outcome.failure
            self._log("trial_failed", **fields, kind=failure.kind, message=failure.message)
        else:
            self._log("trial_ended", **fields, cause=outcome.cause)
