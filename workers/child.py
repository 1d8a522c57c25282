"""A trial's own process: reads its job from a pipe, evaluates it, streams what it reports to
another.

The end of the control pipe means that the parent is gone; then the process ends with its group.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tunewell import archive, failures
from tunewell.objective import (
    Equivalent,
    Trial,
    TrialEnded,
    Values,
    canonical_point,
    final_values,
)

from . import memory, user_objective
from .command_objective import CommandFailed, objective_of
from .command_spec import CommandSpec
from .jobs import Job, sendable
from .objectives.data import DataError
from .objectives.offers import BUILT_IN
from .parent_death import die_with

CHECKPOINT_EVERY_S = 10.0
"""A trial saves after so many seconds of work, unless it is asked to before: little work is done
twice, and a training of short steps does not spend its time on saving."""

CUDA_CONTEXT_BYTES = 600 * 2**20
"""What a process takes of a GPU's memory before it allocates any: about that much with the drivers
of today, on the safe side.
"""

Run = Callable[[Trial], Values | float | None]


def main(control_fd: str, report_fd: str, parent_pid: str) -> None:
    """Entry of a process that was started for one trial."""
    die_with(int(parent_pid))
    # exec has made these inheritable; the trial's own children must not hold the pipes open.
    for fd in (int(control_fd), int(report_fd)):
        os.set_inheritable(fd, False)
    run_job(int(control_fd), int(report_fd))


def run_job(control_fd: int, report_fd: int) -> None:
    """Evaluates the one job that comes over the control pipe and reports how it ended."""
    lines = _lines(control_fd)
    first = next(lines, None)
    if first is None:
        return
    job = Job.from_line(first)
    os.environ.update(job.environment)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # who watches the trial sees each line
    channel = PipeChannel(report_fd, job.checkpoint_dir, to_step=job.to_step, owns_process=True)
    threading.Thread(target=_obey, args=(lines, channel), daemon=True).start()
    try:
        ending = evaluate(job, channel)
        if "fail" in ending:
            ending = {**ending, "usage": used()}
        channel.settle()
        sys.stdout.flush()
        sys.stderr.flush()
        channel.send(ending)
    except BrokenPipeError:
        os._exit(1)


def _lines(fd: int) -> Iterator[bytes]:
    """Complete lines from a pipe, until its end."""
    rest = b""
    while chunk := os.read(fd, 1 << 16):
        *complete, rest = (rest + chunk).split(b"\n")
        yield from complete


def _obey(lines: Iterator[bytes], channel: PipeChannel) -> None:
    """Takes orders until the parent is gone; then ends the whole group, whatever it is doing."""
    for line in lines:
        channel.take_order(json.loads(line))
    with contextlib.suppress(OSError):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An objective that is ready to run.

    Attributes:
        run: evaluates a trial.
        metrics: those that it declares, with their directions.
        version: of its code.
        equivalent: gives a trial's canonical point, or None.
        is_own: whether it is the user's, so that what it reports has to be looked at.
    """

    run: Run
    metrics: Mapping[str, str]
    version: str
    equivalent: Equivalent | None = None
    is_own: bool = True


def evaluate(job: Job, channel: PipeChannel) -> dict[str, Any]:
    """Runs the objective; the last message of the process, a failure included."""
    try:
        return _evaluated(job, channel)
    except BrokenPipeError:
        raise
    except CommandFailed as error:
        return {"fail": failures.of_exception(error, kind=error.kind).bounded()}
    except DataError as error:
        return {"fail": failures.of_exception(error, kind="infrastructure").bounded()}
    except BaseException as error:
        # SystemExit and KeyboardInterrupt too: whatever ends the objective is told, not lost.
        failure = failures.of_exception(error)
        sys.stderr.write(failure.traceback)  # the trial's output says it too
        return {"fail": failure.bounded()}


def _evaluated(job: Job, channel: PipeChannel) -> dict[str, Any]:
    """Evaluates the trial; from its beginning where that does not work from its checkpoint."""
    loaded = _objective(job)
    channel.saved_by = job.objective, loaded.version
    trial = _trial(job, loaded, channel, _resumed(job, loaded))
    point = canonical_point(loaded.equivalent, trial)
    if point is not None and channel.owns_process and not loaded.is_own:
        channel.ask_ahead(point)
    elif point is not None and channel.is_known(point):
        return _ANSWERED
    began_at = trial.last_step
    try:
        return _result(loaded, trial, channel)
    except Exception as error:
        if began_at == 0 or trial.last_step > began_at or not _may_be_the_checkpoints(error):
            raise
        traceback.print_exc()
        _tell_anew(began_at, failures.of_exception(error).message)
    # Not within the handler: it would keep what the first try has in memory.
    return _result(loaded, _trial(job, loaded, channel, None), channel)


def _may_be_the_checkpoints(error: Exception) -> bool:
    """Whether what an objective raised before its first report may be for its checkpoint."""
    is_elses = isinstance(error, DataError | BrokenPipeError)
    return not is_elses and failures.of_exception(error).kind == "user_error"


def _tell_anew(step: int, reason: str) -> None:
    sys.stderr.write(
        f"the checkpoint of step {step} cannot be gone on from: {reason}\n"
        "the trial begins at its beginning\n"
    )


def _resumed(job: Job, loaded: Loaded) -> archive.Saved | None:
    """What was kept of the checkpoint to go on from, its files unpacked; None: begin anew."""
    folder = _own_folder(job)
    if job.resume is None or folder is None:
        return None
    folder.mkdir()
    source = Path(job.resume["path"])
    try:
        return archive.unpack(source, folder, objective=job.objective, version=loaded.version)
    except archive.Unusable as error:
        _tell_anew(job.resume["step"], str(error))
        return None
    finally:
        source.unlink(missing_ok=True)


def _own_folder(job: Job) -> Path | None:
    """The trial's `checkpoint_dir`, beside the archives that wait to be sent."""
    return None if job.checkpoint_dir is None else Path(job.checkpoint_dir) / "trial"


def _trial(job: Job, loaded: Loaded, channel: PipeChannel, resumed: archive.Saved | None) -> Trial:
    """The trial as the objective sees it: going on, or at its beginning with an empty folder."""
    folder = _own_folder(job)
    if folder is not None and resumed is None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return Trial(
        id=job.trial_id,
        number=job.number,
        params=job.params,
        options=job.options,
        channel=channel,
        device=job.device,
        data_digest=job.data_digest,
        metrics=loaded.metrics if loaded.is_own else None,
        checkpoint_dir=folder,
        last_step=0 if resumed is None or job.resume is None else int(job.resume["step"]),
        last_values=None if resumed is None else resumed.values,
        store_dir=None if job.store_dir is None else Path(job.store_dir),
    )


def _result(loaded: Loaded, trial: Trial, channel: PipeChannel) -> dict[str, Any]:
    """Runs the objective; the message that says how it came to its end."""
    returned = _returned(loaded.run, trial)
    if channel.ending in (Ending.PAUSED, Ending.LEFT):
        return {"end": {"state": channel.ending}}
    values = final_values(trial, returned, loaded.metrics)
    # At the end it may know more of the point than before.
    point = None if channel.ending else canonical_point(loaded.equivalent, trial)
    if (failed := failures.of_values(values)) is not None:
        return {"fail": failed.bounded()}
    return {
        "end": {
            "state": channel.ending or "completed",
            "values": values,
            "step": trial.last_step or None,
            "usage": {"wall_s": channel.elapsed_s(), **used()},
            "data": trial.data,
            "equivalent": point,
        }
    }


def _returned(run: Run, trial: Trial) -> Values | float | None:
    """What the objective returns; nothing when it trained on until it was ended in a report."""
    try:
        return run(trial)
    except TrialEnded:
        return None


def _objective(job: Job) -> Loaded:
    """The objective, imported and prepared.

    Raises:
        ValueError: it does not know an option or a parameter of the job.
    """
    if job.target is not None:
        found = user_objective.load(job.target, job.folder)
    elif job.command is not None:
        found = objective_of(CommandSpec(**job.command))
    else:
        built_in = BUILT_IN[job.objective]
        module = importlib.import_module(f".objectives.{built_in.module}", __package__)
        return Loaded(
            run=module.evaluate,
            metrics=built_in.offer["metrics"],
            version=built_in.offer["version"],
            equivalent=getattr(module, "equivalent", None),
            is_own=False,
        )
    _check_names("option", job.options, found.options)
    _check_names("parameter", job.params, found.params)
    if found.prepare is not None:
        _prepare_once(found.prepare)
    return Loaded(
        run=found.run,
        metrics=found.metrics,
        version=found.version,
        equivalent=found.equivalent,
    )


def _prepare_once(prepare: Callable[[], None]) -> None:
    with _PREPARING:
        if prepare not in _PREPARED:
            prepare()
            _PREPARED.append(prepare)


_PREPARING = threading.Lock()
_PREPARED: list[Callable[[], None]] = []
"""What has been called in this process: it may have several trials."""


def _check_names(what: str, given: Mapping[str, Any], known: Mapping[str, Any] | None) -> None:
    """The service has checked a study by these if a worker offered the objective by then."""
    if known is not None and (unknown := sorted(set(given) - set(known))):
        raise ValueError(
            f"the objective has no {what} {unknown[0]!r}; it has {', '.join(known) or 'none'}: "
            f"leave it out of the study, or add it to the {what}s that the objective declares"
        )


def used() -> dict[str, float]:
    """What this process has used so far; of a GPU's memory where torch has used one."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_memory_bytes": memory.peak_bytes(),
        **_used_of_gpu(),
    }


def _used_of_gpu() -> dict[str, int]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    reserved = torch.cuda.max_memory_reserved()
    return {"peak_device_memory_bytes": reserved + CUDA_CONTEXT_BYTES}


class Ending(StrEnum):
    """How a trial that was told to end before its time ends; the last message's `state`."""

    ANSWERED = "answered"  # before it began: an equal trial's result has completed it

    STOPPED = "stopped"  # for good
    PAUSED = "paused"  # may be promoted and go on
    LEFT = "left"  # its worker ends, with no word from the service: the trial is given back


_ANSWERED = {"end": {"state": Ending.ANSWERED}}
_WHY = {
    Ending.ANSWERED: "an equal trial has the result",
    Ending.STOPPED: "the early-stopping rule stopped the trial",
    Ending.PAUSED: "the trial pauses at a rung",
    Ending.LEFT: "the worker ends",
}


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
        self._wants_checkpoint = threading.Event()
        self._started = self._saved_at = now()
        self._held_s = 0.0
        self._has_seen_end = False
        self._last_values: dict[str, float] = {}
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
        way, nothing is reported before the answer, and the process ends when the result is known.
        """
        self._has_asked_ahead = True
        self.send({"equivalent": point})

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
        with self._told:
            if name == "continue":
                self._answered_step, self._to_step = order["step"], order["to_step"]
            elif name in ("answered", "train"):
                if name == "answered" and self._has_asked_ahead:
                    self.send(_ANSWERED)
                    os._exit(0)
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
        """Writes one line to the parent."""
        line = json.dumps(message, default=str).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._report_fd, line) :]
