"""What ends with a worker that is killed: not only the trials, but what they have started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from workers import guard
from workers.processes import ROOT

from .helpers import HERE, LIMIT_S, job, watch

SHARED = """
import json, sys, threading
from tunewell._parts import part
group = part("workers", "group").Group({"PYTHONPATH": sys.argv[1]}, sys.argv[2])
lane = group.join(part("workers", "jobs").Job.from_line(sys.argv[3].encode()))
print(json.loads(open(lane.report_fd).readline())["report"]["values"]["value"], flush=True)
threading.Event().wait()
"""
"""A worker with a process for several trials, of which one has started a process."""


@contextmanager
def group() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as leader:
        try:
            yield leader
        finally:
            leader.kill()


def test_the_groups_that_are_kept_end_with_the_pipe_and_no_others() -> None:
    with group() as kept, group() as forgotten:
        read_fd, write_fd = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(guard.__file__), str(read_fd)], pass_fds=[read_fd]
        )
        os.close(read_fd)
        with os.fdopen(write_fd, "w") as told:
            told.write(f"{kept.pid}\n{forgotten.pid}\n{-forgotten.pid}\n")
        assert process.wait(LIMIT_S) == 0
        assert kept.wait(LIMIT_S) == -9
        assert forgotten.poll() is None


def test_what_a_trial_beside_others_has_started_goes_with_a_killed_worker() -> None:
    of = job("has_a_helper", params={"x0": 1.0})
    line = json.dumps({**json.loads(of.to_line()), "target": "faulty_code:has_a_helper"})
    arguments = [sys.executable, "-P", "-c", SHARED, str(ROOT), str(HERE), line]
    with subprocess.Popen(
        arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as worker:
        try:
            assert worker.stdout is not None
            helper_is_gone = watch(int(float(worker.stdout.readline())))
        finally:
            worker.kill()
        assert helper_is_gone()
