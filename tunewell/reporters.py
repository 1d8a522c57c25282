"""How a followed study is shown: lines, lines under a progress bar, JSON lines, or not at all.

The result goes to standard output, everything else to standard error; JSON lines are all data.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .lines import clean, duration, fields, number, paused_line, promoted_line, rate, saved_line
from .models import FINISHED_TRIAL, Study, Trial
from .outcomes import event_line, outcome_line, result_line, result_lines, retry_line
from .terminal import WISHES, cut_end, has_color, is_screen, say, width

if TYPE_CHECKING:
    from rich.progress import Progress

RATE_WINDOW = timedelta(hours=1)
"""The trials of the last so long say how fast a study goes."""
QUIET_S = 60.0
"""After that long without a line, one says that the study goes on."""

R = TypeVar("R", bound="Quiet")


class Reporter(Protocol):
    """Shows what happens to a study. Entered before the first call but the last, left before
    `end`.
    """

    def __enter__(self) -> Any: ...

    def __exit__(self, *exc: object) -> None: ...

    def begin(self, study: Study) -> None:
        """The study is being followed."""

    def trial(self, trial: Trial, study: Study) -> None:
        """A trial has ended."""

    def paused(self, trial: Trial) -> None:
        """A trial waits at a rung."""

    def promoted(self, trial: Trial) -> None:
        """A trial goes on beyond its rung."""

    def retried(self, trial: Trial, study: Study) -> None:
        """An attempt has failed; the trial is tried again."""

    def progress(self, study: Study) -> None:
        """The study has been read again."""

    def end(self, study: Study, best: Sequence[Trial]) -> None:
        """The study has ended; `best` is its best trial, or its Pareto front."""


def reporter(url: str, *, as_json: bool = False, how: str = "following") -> Reporter:
    """The one that fits where standard output and standard error go; a log begins with `how`."""
    if as_json:
        return JsonLines()
    if WISHES.is_quiet:
        return Quiet()
    return Bar(url) if is_screen(sys.stderr) else Lines(url, how)


class Quiet:
    """Shows nothing but the result."""

    def __enter__(self: R) -> R:
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to put away."""

    def begin(self, study: Study) -> None:
        """Nothing."""

    def trial(self, trial: Trial, study: Study) -> None:
        """Nothing."""

    def paused(self, trial: Trial) -> None:
        """Nothing."""

    def promoted(self, trial: Trial) -> None:
        """Nothing."""

    def retried(self, trial: Trial, study: Study) -> None:
        """Nothing."""

    def progress(self, study: Study) -> None:
        """Nothing."""

    def end(self, study: Study, best: Sequence[Trial]) -> None:
        """The result."""
        reason = f" ({clean(study.reason)})" if study.stop_reason and study.reason else ""
        say(f"study {clean(study.name)}  {study.state}{reason}  {study.n_finished} trials")
        if (saved := saved_line(study)) is not None:
            say(saved)
        if study.has_paused_itself:
            say(f"it has paused itself: {clean(study.pause_detail or '')}")
            say(f"go on with `tunewell study resume {study.id}`")
        for trial in best:
            if sys.stdout.isatty():
                print(result_line(trial, study), flush=True)
            else:
                print("\n".join(result_lines(trial, study)), flush=True)
        if not best:
            say("no trial has completed")


class Pace:
    """How fast the trials of a study end."""

    def __init__(self) -> None:
        self._ended: list[datetime] = []

    def note(self, trial: Trial) -> None:
        """A trial has ended."""
        if trial.ended_at is not None and trial.state in FINISHED_TRIAL:
            self._ended.append(trial.ended_at)

    @property
    def per_h(self) -> float | None:
        """Trials an hour over the last hour of work, > 0; None where that is not known yet."""
        last = max(self._ended, default=None)
        if last is None:
            return None
        self._ended = [at for at in self._ended if at > last - RATE_WINDOW]
        span_s = (last - min(self._ended)).total_seconds()
        n_more = len(self._ended) - 1
        return 3600 * n_more / span_s if span_s > 0 else None


class Lines(Quiet):
    """One line of talk for all that happens, with its time, for logs.

    Args:
        url: address of the service, to be shown.
        how: how it came to be followed.
    """

    def __init__(self, url: str, how: str = "following") -> None:
        self._url, self._how = url, how
        self._warned: set[str] = set()
        self._pace = Pace()
        self._last_line_at = time.monotonic()

    def begin(self, study: Study) -> None:
        """Which study, and where it can be looked at."""
        link = f"{self._url}/studies/{study.id}"
        known = fields({"name": study.name, "state": study.state, "url": link}, " ")
        self._log(f"{study.id} {self._how} {known}")

    def trial(self, trial: Trial, study: Study) -> None:
        """Its line."""
        self._pace.note(trial)
        self._log(event_line(trial, study), trial.ended_at)

    def paused(self, trial: Trial) -> None:
        """Where and why."""
        self._log(paused_line(trial))

    def promoted(self, trial: Trial) -> None:
        """How far it goes."""
        self._log(promoted_line(trial))

    def retried(self, trial: Trial, study: Study) -> None:
        """What its attempt failed with."""
        self._log(event_line(trial, study))

    def progress(self, study: Study) -> None:
        """New warnings; after a while of silence how far the study is."""
        for warning in self._new_warnings(study):
            self._log(f"warning {clean(warning)}")
        if time.monotonic() - self._last_line_at > QUIET_S:
            self._log(f"{study.id} {study.state} {standing(study, self._pace.per_h)}")

    def _new_warnings(self, study: Study) -> list[str]:
        new = [warning for warning in study.warnings if warning not in self._warned]
        self._warned.update(new)
        return new

    def _log(self, text: str, at: datetime | None = None) -> None:
        self._last_line_at = time.monotonic()
        stamp = (at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        say(f"{stamp} {text}")


class Bar(Lines):
    """Lines above a progress bar, all on standard error."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._best = ""
        self._progress = _rich_progress(lambda: self._best)
        self._task = self._progress.add_task("", total=None, counts="", standing="")

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def begin(self, study: Study) -> None:
        """Which study, and where it can be looked at."""
        # Whole, so that it can be followed: a screen breaks the line where it ends.
        link = f"study {clean(study.name)}  {study.id}  {self._url}/studies/{study.id}"
        self._progress.console.print(link, markup=False, highlight=False, soft_wrap=True)

    def trial(self, trial: Trial, study: Study) -> None:
        """Its line."""
        self._pace.note(trial)
        self._talk(outcome_line(trial, study))

    def paused(self, trial: Trial) -> None:
        """Where and why."""
        self._talk(paused_line(trial))

    def promoted(self, trial: Trial) -> None:
        """How far it goes."""
        self._talk(promoted_line(trial))

    def retried(self, trial: Trial, study: Study) -> None:
        """What its attempt failed with."""
        self._talk(retry_line(trial, study))

    def progress(self, study: Study) -> None:
        """Moves the bar."""
        for warning in self._new_warnings(study):
            self._talk(f"warning: {clean(warning)}")
        total = "" if study.max_trials is None else f"/{study.max_trials}"
        self._best = result_line(study.best, study) if study.best else ""
        self._progress.update(
            self._task,
            total=study.max_trials,
            completed=study.n_finished,
            counts=f"{study.n_finished}{total}",
            standing=pace_text(study, self._pace.per_h),
        )

    def _talk(self, text: str) -> None:
        """A line above the bar; what has no room is left out at its end."""
        from rich.text import Text

        shown = Text.from_ansi(cut_end(text, width()))
        self._progress.console.print(shown, soft_wrap=True)


def _rich_progress(below: Callable[[], str]) -> Progress:
    """A bar on standard error, and a line below it."""
    from rich.console import Console, Group, RenderableType
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    class Lined(Progress):
        """With a line below."""

        def get_renderable(self) -> RenderableType:
            """The bar and the line."""
            line = Text(below(), no_wrap=True, overflow="ellipsis")
            return Group(super().get_renderable(), line)

    return Lined(
        TextColumn(" {task.fields[counts]}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[standing]}", markup=False),
        # Standard error is a screen here, whatever standard output is.
        console=Console(stderr=True, no_color=not has_color(sys.stderr), highlight=False),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=4,
    )


class JsonLines(Quiet):
    """One JSON object a line: `{"type": "trial", "trial": ...}`, likewise `paused`, `promoted`
    and `retried`, at the end one `result`.
    """

    def trial(self, trial: Trial, study: Study) -> None:
        """The trial."""
        _print_json({"type": "trial", "trial": trial.model_dump(mode="json")})

    def paused(self, trial: Trial) -> None:
        """The trial as it pauses."""
        _print_json({"type": "paused", "trial": trial.model_dump(mode="json")})

    def promoted(self, trial: Trial) -> None:
        """The trial as it goes on."""
        _print_json({"type": "promoted", "trial": trial.model_dump(mode="json")})

    def retried(self, trial: Trial, study: Study) -> None:
        """The trial with what its attempt failed with."""
        _print_json({"type": "retried", "trial": trial.model_dump(mode="json")})

    def end(self, study: Study, best: Sequence[Trial]) -> None:
        """The study and its best trials."""
        shown = [trial.model_dump(mode="json") for trial in best]
        _print_json({"type": "result", "study": study.model_dump(mode="json"), "best": shown})


def standing(study: Study, rate_per_h: float | None = None) -> str:
    """How far a study is, in a few words; at that rate, how long it still takes."""
    total = "" if study.max_trials is None else f"/{study.max_trials}"
    text = f"{study.n_finished}{total} trials, {pace_text(study, rate_per_h)}"
    if study.best_value is None:
        return text
    return f"{text}, best {clean(study.metrics[0])} {number(study.best_value)}"


def pace_text(study: Study, rate_per_h: float | None) -> str:
    """What runs now, how fast it goes, how long it still takes."""
    text = f"{study.n_running} running"
    if study.n_paused:
        text += f", {study.n_paused} paused"
    if rate_per_h is None:
        return text
    text += f", {rate(rate_per_h)}"
    if study.max_trials is not None and not study.has_ended:
        left_h = max(0, study.max_trials - study.n_finished) / rate_per_h
        text += f", about {duration(3600 * left_h)} left"
    return text


def _print_json(value: Any) -> None:
    print(json.dumps(value), flush=True)
