"""The live screen of `study watch`: what it shows, and what its keys do."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .board import Board, Standing
from .client import Client
from .errors import ApiError
from .following import FINE, Goal, leave
from .lines import ago, clean, duration, number, one_line, params_text, rate, sparkline
from .models import Study, Trial, read
from .outcomes import outcome_line
from .reporters import Quiet
from .terminal import cut, cut_end, has_color, painted, say, state_style

if TYPE_CHECKING:
    from rich.live import Live

FRAME_S = 0.25
"""The screen is drawn at most four times a second."""
_IDLE_S = 1.0
"""And again after a second: times on it go by."""

KEYS = (
    ("q", "quit watching; the study goes on"),
    ("p", "pause the study, or resume it"),
    ("s", "stop the study once its running trials have ended"),
    ("f", "failures, or back"),
    ("t", "trials, or back"),
    ("?", "these keys, or back"),
)
_VIEWS = {"f": "failures", "t": "trials", "?": "keys"}
_HINT = "q quit  p pause study  s stop study  f failures  t trials  ? keys"
_TREND_WIDTH = 24


def watch_live(client: Client, study_id: str, goal: Goal) -> int:
    """Shows a study on the whole screen until it comes to its goal, ends, or the user quits.

    Returns:
        The exit status, as `following.watch` has it.

    Raises:
        ApiError: the study is gone.
    """
    study = read(Study, client.get_study(study_id))
    goal.check_fits(study)
    screen = Screen(client, study, goal)
    try:
        has_come = screen.show()
    except KeyboardInterrupt:
        return leave(client, study_id)
    if not has_come:
        say(f"the study goes on; come back with `tunewell study watch {clean(study.name)}`")
        return FINE
    last = screen.study
    with Quiet() as quiet:
        quiet.end(last, [last.best] if last.best else [])
    return goal.status_of(last)


class Screen:
    """The screen and its keys.

    Args:
        client: where the study is.
        study: the study.
        goal: what it is followed to.
    """

    def __init__(self, client: Client, study: Study, goal: Goal) -> None:
        self._client, self._goal = client, goal
        self._board = Board(client, study)
        self._view = ""
        self._said = ""
        self._answered: Study | None = None
        self._is_asking = False
        self._has_quit = False

    @property
    def study(self) -> Study:
        """The study as it was read last."""
        return self._board.standing.study

    def show(self) -> bool:
        """Draws until there is nothing to wait for; False where the user quit before."""
        from rich.console import Console
        from rich.live import Live

        self._board.start()
        console = Console(no_color=not has_color(sys.stdout), highlight=False)
        try:
            with (
                _keys() as keys,
                Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False,
                     redirect_stderr=False) as live,
            ):  # fmt: skip
                return self._run(live, keys)
        finally:
            self._board.stop()

    def _run(self, live: Live, keys: Iterator[str]) -> bool:
        drawn_at = 0.0
        self._board.changed.set()
        for key in keys:
            if key:
                self._press(key)
            if self._has_quit:
                return False
            if self._board.error is not None:
                raise self._board.error
            is_due = self._board.changed.is_set() or time.monotonic() - drawn_at >= _IDLE_S
            if key or is_due:
                self._board.changed.clear()
                self._draw(live)
                drawn_at = time.monotonic()
            if self._is_done():
                return True
        return False

    def _is_done(self) -> bool:
        study = self.study
        return study.has_ended or study.has_paused_itself or self._goal.is_reached(study)

    def _draw(self, live: Live) -> None:
        from rich.text import Text

        width, height = live.console.size
        body = view_lines(self._board.standing, self._view, width)
        foot = self._said or _HINT
        state = f"  ! {self._board.trouble}, trying again" if self._board.trouble else ""
        shown = [*head_lines(self._board.standing, width, state), *body][: max(1, height - 2)]
        shown += [""] * (height - 1 - len(shown)) + [
            painted(cut_end(foot, width), "faint", sys.stdout)
        ]
        live.update(Text("\n").join(Text.from_ansi(line) for line in shown), refresh=True)

    def _press(self, key: str) -> None:
        self._said = ""
        if self._is_asking:
            self._is_asking = False
            if key in "yY":
                self._act("stop")
        elif key in "qQ":
            self._has_quit = True
        elif key == "p":
            self._act("resume" if self._state() == "paused" else "pause")
        elif key == "s":
            self._is_asking = True
            self._said = f"stop {clean(self.study.name)}? y: yes, any other key: no"
        elif key in _VIEWS:
            self._view = "" if self._view == _VIEWS[key] else _VIEWS[key]

    def _state(self) -> str:
        """The study's state: what the last action was answered, where the board is behind it."""
        newest = self._answered
        is_ahead = newest is not None and newest.change_seq > self.study.change_seq
        return newest.state if newest is not None and is_ahead else self.study.state

    def _act(self, verb: str) -> None:
        try:
            self._answered = read(Study, self._client.study_action(self.study.id, verb))
            self._said = f"{verb}: done"
        except ApiError as error:
            self._said = clean(error.detail)
        self._board.refresh()


@contextmanager
def _keys() -> Iterator[Iterator[str]]:
    """Keys as they are pressed, "" each quarter of a second without one; Ctrl-C goes on to work.
    Without a terminal to read from there are no keys.
    """
    if not sys.stdin.isatty():
        yield _pulse()
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield _pressed(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _pressed(fd: int) -> Iterator[str]:
    while True:
        ready, _, _ = select.select([fd], [], [], FRAME_S)
        yield os.read(fd, 1).decode(errors="replace") if ready else ""


def _pulse() -> Iterator[str]:
    while True:
        select.select([], [], [], FRAME_S)
        yield ""


def head_lines(standing: Standing, width: int, trouble: str = "") -> list[str]:
    """The lines that every view begins with: where the study stands, and its best."""
    study = standing.study
    total = "" if study.max_trials is None else f"/{study.max_trials}"
    parts = [f"{study.n_finished}{total}", f"{study.n_running} running"]
    parts += [f"{study.n_paused} paused"] if study.n_paused else []
    parts += [rate(standing.rate_per_h)] if standing.rate_per_h else []
    parts += [f"~{duration(standing.left_s)} left"] if standing.left_s is not None else []
    parts.append(f"seq {study.change_seq}")
    rest = f"  {study.state}  " + "  ".join(parts)
    sign = trouble or "  * live"
    name = cut(clean(study.name), max(12, width - len(rest) - len(sign)))
    state = painted(study.state, state_style(study.state), sys.stdout)
    shown_sign = painted(sign, "red" if trouble else "green", sys.stdout)
    first = f"{painted(name, 'bold', sys.stdout)}  {state}  {'  '.join(parts)}{shown_sign}"
    lines = [first, _best_line(standing, width)]
    if study.best:
        lines.append(cut_end(f"      {params_text(study.best, study)}", width))
    lines += [cut_end(f"warning: {clean(warning)}", width) for warning in study.warnings]
    return lines


def _best_line(standing: Standing, width: int) -> str:
    study = standing.study
    if study.best is None or study.best_value is None:
        return "best  none yet"
    trend = [value for _, value in standing.trend] or [study.best_value]
    since = max(0, standing.last_number - study.best.number)
    value = f"{number(study.best_value)} {clean(study.metrics[0])}"
    told = f"(#{study.best.number}, {ago(study.best.ended_at)}; {since} trials since)"
    bars = sparkline(trend, min(_TREND_WIDTH, max(1, width - len(value) - len(told) - 10)))
    return f"best  {painted(value, 'bold', sys.stdout)}  {bars}  {told}"


def view_lines(standing: Standing, view: str, width: int) -> list[str]:
    """The lines of a view: "", "failures", "trials" or "keys"."""
    if view == "keys":
        return ["", *(cut_end(f"{key}  {text}", width) for key, text in KEYS)]
    if view == "failures":
        return ["", *_failures(standing, width)]
    if view == "trials":
        study = standing.study
        return ["", *(cut_end(_trial_line(t, study), width) for t in standing.latest)]
    return ["", *_running(standing, width), "", _failure_line(standing, width)]


def _trial_line(trial: Trial, study: Study) -> str:
    if trial.has_ended:
        return outcome_line(trial, study)
    return f"#{trial.number:<3} {painted(trial.state, state_style(trial.state), sys.stdout)}"


def _running(standing: Standing, width: int) -> list[str]:
    if not standing.running:
        return ["running  nothing now"]
    lines = ["running"]
    now = datetime.now(UTC)
    for trial in standing.running:
        parts = [f"#{trial.number}", clean(standing.workers.get(trial.worker_id or "", "a client"))]
        parts += _step_text(trial, standing)
        if trial.started_at is not None:
            parts.append(f"for {duration((now - trial.started_at).total_seconds())}")
        lines.append(cut_end("  " + "  ".join(parts), width))
    return lines


def _step_text(trial: Trial, standing: Standing) -> Sequence[str]:
    if trial.id not in standing.steps:
        return ["starting"]
    step, value = standing.steps[trial.id]
    options = (standing.study.definition.get("early_stopping") or {}).get("options") or {}
    last = trial.to_step or options.get("max_resource")
    reached = f"step {step}/{last}" if last else f"step {step}"
    return [reached] if value is None else [reached, number(value)]


def _failure_line(standing: Standing, width: int) -> str:
    total = standing.study.trial_counts.get("failed", 0)
    if not total:
        return "failures  none"
    kinds = ", ".join(f"{n} {clean(kind)}" for kind, n in standing.failures.most_common())
    last = standing.failed[0] if standing.failed else None
    told = f"; last #{last.number}, {ago(last.ended_at)}" if last else ""
    said = one_line(last.failure.message) if last and last.failure else ""
    return cut_end(f"failures  {total}: {kinds}{told}{': ' + said if said else ''}", width)


def _failures(standing: Standing, width: int) -> list[str]:
    if not standing.failed:
        return ["no trial has failed"]
    return [cut_end(outcome_line(trial, standing.study), width) for trial in standing.failed]
