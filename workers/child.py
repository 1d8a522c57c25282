"""A trial's own process: reads its job from a pipe, evaluates it, streams what it reports to
another.

The end of the control pipe means that the parent is gone; then the process ends with its group.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunewell import archive, failures
from tunewell.objective import (
    Infeasible,
    Trial,
    TrialEnded,
    Values,
    canonical_point,
    final_values,
)

from . import memory
from .channel import ANSWERED, Ending, ParentGone, PipeChannel
from .command_objective import CommandFailed
from .jobs import Job
from .loading import Loaded, Run, load
from .objectives.data import DataError
from .parent_death import die_with
from .user_objective import as_the_users

CUDA_CONTEXT_BYTES = 600 * 2**20
"""What a process takes of a GPU's memory before it allocates any: about that much with the drivers
of today, on the safe side.
"""


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
    ready = None
    if job.waits:
        ready = _made_ready_early(job)
        if next(lines, None) is None:
            return  # the parent is gone
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # who watches the trial sees each line
    channel = PipeChannel(
        report_fd,
        job.checkpoint_dir,
        to_step=job.to_step,
        owns_process=True,
        n_cores=job.n_cores,
    )
    threading.Thread(target=_obey, args=(lines, channel), daemon=True).start()
    try:
        ending = evaluate(job, channel, ready)
        if "fail" in ending:
            ending = {**ending, "usage": used()}
        channel.settle()
        for stream in (sys.stdout, sys.stderr):
            # The objective may have closed or replaced it: its result counts all the same.
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
        channel.send(ending)
    except ParentGone:
        os._exit(1)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a trial begins with: its objective and what was kept of its checkpoint, with its folder
    made.
    """

    loaded: Loaded
    resumed: archive.Saved | None


def _made_ready(job: Job) -> Ready:
    loaded = load(job)
    return Ready(loaded, _resumed(job, loaded))


def _made_ready_early(job: Job) -> Ready | BaseException:
    """Does what can be done before a trial begins; what is wrong there is the trial's to tell."""
    try:
        return _made_ready(job)
    except BaseException as error:
        return error


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


def evaluate(
    job: Job, channel: PipeChannel, ready: Ready | BaseException | None = None
) -> dict[str, Any]:
    """Runs the objective; the last message of the process, a failure included.

    Args:
        ready: what was made, or raised, before the trial began; None: nothing was.
    """
    try:
        if isinstance(ready, BaseException):
            raise ready
        return _evaluated(job, channel, ready or _made_ready(job))
    except ParentGone:
        raise
    except Infeasible:
        return {"end": {"state": "infeasible", "values": {}, "usage": used()}}
    except CommandFailed as error:
        # The message has what the command said; where we waited for it is of no use to anyone.
        told = failures.of_exception(error.with_traceback(None), kind=error.kind)
        return {"fail": told.bounded()}
    except DataError as error:
        return {"fail": failures.of_exception(error, kind="infrastructure").bounded()}
    except BaseException as error:
        # SystemExit and KeyboardInterrupt too: whatever ends the objective is told, not lost.
        failure = failures.of_exception(as_the_users(error))
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(failure.traceback)  # the trial's output says it too
        return {"fail": failure.bounded()}


def _evaluated(job: Job, channel: PipeChannel, ready: Ready) -> dict[str, Any]:
    """Evaluates the trial; from its beginning where that does not work from its checkpoint."""
    loaded = ready.loaded
    channel.saved_by = job.objective, loaded.version
    trial = _trial(job, loaded, channel, ready.resumed)
    point = canonical_point(loaded.equivalent, trial)
    if point is not None and channel.owns_process and not loaded.is_own:
        channel.ask_ahead(point)
    elif point is not None and channel.is_known(point):
        return ANSWERED
    began_at = trial.last_step
    try:
        return _result(loaded, trial, channel)
    except Exception as error:
        if began_at == 0 or trial.last_step > began_at or not _may_be_the_checkpoints(error):
            raise
        traceback.print_exc()
        _tell_anew(began_at, failures.of_exception(error).message)
    # Not within the handler: it would keep what the first try has in memory.
    _empty_folder(job)
    return _result(loaded, _trial(job, loaded, channel, None), channel)


def _may_be_the_checkpoints(error: Exception) -> bool:
    """Whether what an objective raised before its first report may be for its checkpoint."""
    is_elses = isinstance(error, DataError | ParentGone | Infeasible)
    return not is_elses and failures.of_exception(error).kind == "user_error"


def _tell_anew(step: int, reason: str) -> None:
    sys.stderr.write(
        f"the checkpoint of step {step} cannot be gone on from: {reason}\n"
        "the trial begins at its beginning\n"
    )


def _resumed(job: Job, loaded: Loaded) -> archive.Saved | None:
    """What was kept of the checkpoint to go on from, its files unpacked in the trial's folder;
    None: begin anew, with an empty one.
    """
    _empty_folder(job)
    folder = _own_folder(job)
    if job.resume is None or folder is None:
        return None
    source = Path(job.resume["path"])
    try:
        return archive.unpack(source, folder, objective=job.objective, version=loaded.version)
    except archive.Unusable as error:
        _tell_anew(job.resume["step"], str(error))
        _empty_folder(job)
        return None
    finally:
        source.unlink(missing_ok=True)


def _own_folder(job: Job) -> Path | None:
    """The trial's `checkpoint_dir`, beside the archives that wait to be sent."""
    return None if job.checkpoint_dir is None else Path(job.checkpoint_dir) / "trial"


def _empty_folder(job: Job) -> None:
    folder = _own_folder(job)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()


def _trial(job: Job, loaded: Loaded, channel: PipeChannel, resumed: archive.Saved | None) -> Trial:
    """The trial as the objective sees it: going on, or at its beginning."""
    return Trial(
        id=job.trial_id,
        number=job.number,
        params=job.params,
        options=job.options,
        channel=channel,
        device=job.device,
        data_digest=job.data_digest,
        metrics=loaded.metrics if loaded.is_own else None,
        checkpoint_dir=_own_folder(job),
        last_step=0 if resumed is None or job.resume is None else int(job.resume["step"]),
        last_values=None if resumed is None else resumed.values,
        store_dir=None if job.store_dir is None else Path(job.store_dir),
        cores_now=lambda: channel.n_cores,
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
