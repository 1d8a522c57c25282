"""Runs a command for each trial: what it prints are the reports. The service never sees the
command; it sends a name and numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from functools import partial
from typing import Any

from tunewell.failures import signal_name
from tunewell.objective import Objective, Trial

from . import memory
from .command_spec import STEP, CommandSpec, arguments, filled, known_of
from .parent_death import die_with

LAST_LINES = 20
"""So many of a failed command's last lines are told."""
LONGEST_LINE = 4 * 1024 * 1024
"""A longer line is read in pieces of so many characters: one without an end must not fill the
memory."""
LONGEST_TOLD = 200
"""So many characters of each of the last lines are told."""
GRACE_S = 10.0
"""From SIGTERM to SIGKILL, for a command that is to stop."""
LINGER_S = 1.0
"""From a command's end until what it has left running, and holds its output, is ended too."""
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Statuses of a command that was killed, and of a shell whose command was."""
_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
"""What a terminal takes for a colour, or for a move of its cursor."""


class CommandFailed(RuntimeError):
    """The command ended badly; the message has its last lines.

    Attributes:
        kind: the failure kind; None where the message is to tell (an `oom`, else the user's error).
    """

    kind: str | None = None


class CommandOutOfTime(CommandFailed):
    """The command took longer than its file allows."""

    kind = "timeout"


class CommandKilled(CommandFailed):
    """Something else than the command itself ended it."""

    kind = "infrastructure"


class Reader:
    """Finds the reports among the lines of a command."""

    def __init__(self, spec: CommandSpec) -> None:
        self._pattern = None if spec.pattern is None else re.compile(spec.pattern)
        self._metrics = spec.metrics

    def report(self, line: str) -> tuple[int | None, dict[str, float]] | None:
        """Step (None: the next one) and values; None for any other line.

        Raises:
            ValueError: the line is a report whose step or value is no number.
        """
        line = _ESCAPE.sub("", line)
        found = self._by_json(line) if self._pattern is None else self._by_pattern(line)
        if not set(found) & set(self._metrics):
            return None
        step = found.pop(STEP, None)
        values = {name: _number(name, value) for name, value in found.items()}
        return None if step is None else _whole(step), values

    def _by_json(self, line: str) -> dict[str, Any]:
        if not line.lstrip().startswith("{"):
            return {}
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):  # no JSON, or more brackets than a report has
            return {}
        kept = (*self._metrics, STEP)
        return {name: found[name] for name in kept if name in found}

    def _by_pattern(self, line: str) -> dict[str, Any]:
        match = self._pattern.search(line) if self._pattern is not None else None
        groups = {} if match is None else match.groupdict()
        return {name: value for name, value in groups.items() if value is not None}


def objective_of(spec: CommandSpec) -> Objective:
    """The objective that runs a command for each trial."""
    return Objective(
        name=spec.name,
        run=_Command(spec).run,
        metrics=spec.metrics,
        params=spec.params,
        options=spec.options,
        version=spec.version,
        steps=spec.steps,
        max_resource=spec.max_resource,
    )


class _Command:
    def __init__(self, spec: CommandSpec) -> None:
        self._spec = spec

    def run(self, trial: Trial) -> None:
        """Starts the command, reports what it reports, and waits for its end.

        Raises:
            CommandFailed: it ended badly, or printed no report.
            CommandOutOfTime: it took too long.
        """
        spec, known = self._spec, known_of(trial)
        command = arguments(spec.command, known)
        environment = {name: filled(one, known) for name, one in spec.environment.items()}
        try:
            process = subprocess.Popen(
                command,
                cwd=spec.folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Whatever ends this process ends the command too.
                preexec_fn=partial(die_with, os.getpid()),
            )
        except OSError as error:
            raise CommandFailed(f"{command[0]} cannot be started: {error}") from error
        _Running(process, spec, trial).attend()


class _Running:
    """A command that has been started, to its end."""

    def __init__(self, process: subprocess.Popen[str], spec: CommandSpec, trial: Trial) -> None:
        self._process = process
        self._spec = spec
        self._trial = trial
        self._reader = Reader(spec)
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._is_out_of_time = self._is_ending = False
        self._is_read = threading.Event()

    def attend(self) -> None:
        """Reads what it prints until it has ended, and ends it when the trial is to stop."""
        timer = threading.Timer(self._spec.time_limit_s or 0.0, self._end_for_time)
        if self._spec.time_limit_s is not None:
            timer.start()
        threading.Thread(target=self._end_what_is_left, daemon=True).start()
        try:
            self._read()
            status = self._process.wait()
        finally:
            self._is_read.set()
            timer.cancel()
            self._kill()
        if self._is_out_of_time:
            raise CommandOutOfTime(f"the command took longer than {self._spec.time_limit_s:g} s")
        if status != 0 and not self._is_ending:
            made = CommandKilled if status in _KILLED else CommandFailed
            raise made(self._said(f"the command ended {_how(status)}"))
        if not self._trial.last_values:
            raise CommandFailed(self._said("the command printed no report"))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in iter(partial(self._process.stdout.readline, LONGEST_LINE), ""):
            sys.stdout.write(line)  # what it prints is the trial's output
            self._last.append(line.rstrip("\n")[:LONGEST_TOLD])
            found = self._reader.report(line)
            if found is not None and not self._is_ending:
                self._report(*found)

    def _report(self, step: int | None, values: dict[str, float]) -> None:
        trial = self._trial
        trial.report(trial.last_step + 1 if step is None else step, **values)
        if trial.should_stop:
            self._is_ending = True
            self._end()

    def _end_for_time(self) -> None:
        self._is_out_of_time = True
        self._end()

    def _end(self) -> None:
        """Asks it to end, and sees to it some seconds later."""
        self._signal(signal.SIGTERM)
        killer = threading.Timer(GRACE_S, self._kill)
        killer.daemon = True
        killer.start()

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _end_what_is_left(self) -> None:
        """Once the command has ended, its output ends too: what it left running may hold it."""
        self._process.wait()
        if not self._is_read.wait(LINGER_S):
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        """Sends a signal to the command and to what it has started: behind a shell the work is done
        by a process of the shell's.
        """
        # Of a trial's own process, which leads a group, orphans are known too.
        is_leader = os.getpgrp() == os.getpid()
        pids = {*memory.family(self._process.pid), *(memory.others_in_group() if is_leader else ())}
        if not pids and self._process.poll() is None:
            self._process.send_signal(number)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _said(self, what: str) -> str:
        lines = "\n".join(self._last)
        return f"{what}; its last lines:\n{lines}" if lines else f"{what}, and printed nothing"


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        said = f"{value!r}"[:LONGEST_TOLD]
        raise ValueError(f"the command reports {said} for {name}, which is no number") from error


def _whole(value: Any) -> int:
    number = _number(STEP, value)
    if not number.is_integer():
        raise ValueError(f"the command reports {value!r} for {STEP}, which is no whole number")
    return int(number)


def _how(status: int) -> str:
    return f"with status {status}" if status > 0 else f"by {signal_name(-status)}"
