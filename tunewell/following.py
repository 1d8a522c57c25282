"""What `study run` and `study watch` do: submit, follow, stop following at Ctrl-C, say how to come
back.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from .client import Client
from .errors import ApiError, TunewellError
from .follow import follow
from .lines import clean
from .models import Study, read
from .private import Local, n_cores
from .reporters import reporter
from .studies import StudyFile, submit
from .terminal import say

FINE, FAILED = 0, 1

SECOND_INTERRUPT_S = 2.0
"""After a first Ctrl-C, for how long a second one stops the study too."""


class WrongGoal(TunewellError):
    """What was given as `--until` is none, or says nothing of this study."""

    exit_status = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a study is followed to: its end, or a best value before that.

    Attributes:
        best: a value that is as good as wanted; None: the end alone.
    """

    best: float | None = None

    @classmethod
    def parsed(cls, text: str) -> Goal:
        """From "done" or "best=NUMBER".

        Raises:
            WrongGoal: it is neither.
        """
        if text == "done":
            return cls()
        name, _, number = text.partition("=")
        try:
            best = float(number)
        except ValueError:
            best = math.nan
        if name != "best" or not math.isfinite(best):
            raise WrongGoal(f"--until is done, or best=NUMBER such as best=0.985, not {text!r}")
        return cls(best=best)

    def check_fits(self, study: Study) -> None:
        """Sees to it that the study can reach it.

        Raises:
            WrongGoal: it has several objectives, and no single best.
        """
        roles = [metric.get("role") or "objective" for metric in study.definition["metrics"]]
        if self.best is not None and roles.count("objective") != 1:
            raise WrongGoal("--until best=NUMBER needs a study with one objective; use done")

    def is_reached(self, study: Study) -> bool:
        """Whether the best value is good enough; never where the end alone is waited for."""
        if self.best is None or study.best_value is None:
            return False
        if study.definition["metrics"][0]["direction"] == "maximize":
            return study.best_value >= self.best
        return study.best_value <= self.best

    def status_of(self, study: Study) -> int:
        """The exit status when following has ended: 0 where it came to what was waited for."""
        if self.best is not None:
            return FINE if self.is_reached(study) else FAILED
        return FINE if study.state == "completed" else FAILED


def run(client: Client, file: StudyFile, *, as_json: bool) -> int:
    """Submits a study and follows it; returns the exit status: 0 when it completed."""
    return watch(client, submit(client, file).id, as_json=as_json, how="submitted")


def watch(
    client: Client,
    study_id: str,
    *,
    as_json: bool,
    goal: Goal | None = None,
    how: str = "following",
) -> int:
    """Follows a study; Ctrl-C stops following only, a second one within 2 s the study too.

    Args:
        client: where the study is.
        study_id: the study.
        as_json: print JSON lines.
        goal: what it is followed to; its end when None.
        how: what a log says of the beginning.

    Returns:
        The exit status: 0 when it came to its goal, or goes on.
    """
    goal = goal or Goal()
    if goal.best is not None:
        goal.check_fits(read(Study, client.get_study(study_id)))
    shown = reporter(client.url, as_json=as_json, how=how)
    try:
        return goal.status_of(follow(client, study_id, shown, until=goal.is_reached))
    except KeyboardInterrupt:
        return leave(client, study_id)


def leave(client: Client, study_id: str) -> int:
    """No longer follows a study; stops it if Ctrl-C comes again at once. Returns 0."""
    try:
        say(
            f"\nno longer following; the study goes on. Come back with {_back(client, study_id)}\n"
            f"Ctrl-C again within {SECOND_INTERRUPT_S:g} s stops the study too"
        )
        threading.Event().wait(SECOND_INTERRUPT_S)
    except KeyboardInterrupt:
        _stop(client, study_id)
    return FINE


def _stop(client: Client, study_id: str) -> None:
    try:
        client.study_action(study_id, "stop")
    except ApiError as error:
        if error.code != "illegal-transition":
            raise
        say("the study has ended")
        return
    say("the study stops: its running trials go on to their end, no more are handed out")


def run_local(
    file: StudyFile,
    *,
    slots: int | None,
    objectives: Sequence[str],
    commands: Sequence[str] = (),
    as_json: bool,
) -> int:
    """Runs a study on a private service and worker; returns the exit status: 0 when it completed.

    The first Ctrl-C lets the running trials end, or be saved and given back; the second ends the
    service and the worker at once.

    Args:
        file: the study.
        slots: how many trials run at once; None: one a core.
        objectives: "module:name" of the user's own.
        commands: NAME=FILE.toml of commands that are objectives.
        as_json: print JSON lines.
    """
    local = Local()
    try:
        with local, local.client() as client:
            # Before the worker, so that the file's own trials are there when it asks for some.
            study = submit(client, file)
            local.start_worker(slots or n_cores(), objectives, commands)
            local.check_serves(study)
            return _follow_local(local, client, study.id, as_json=as_json)
    except KeyboardInterrupt:
        say("\nended; the study is kept")
        return FINE
    finally:
        say(f"to look at it again, or to go on with a worker beside: {local.serve_line}")


def _follow_local(local: Local, client: Client, study_id: str, *, as_json: bool) -> int:
    shown = reporter(local.url, as_json=as_json, how="submitted")
    try:
        return Goal().status_of(follow(client, study_id, shown, check=local.check_alive))
    except KeyboardInterrupt:
        say(
            "\ndraining: the running trials end, or are saved and given back. Meanwhile, in "
            f"another terminal: {_back(client, study_id)}\nCtrl-C again ends all at once"
        )
    local.drain()
    say("drained; the study is kept")
    return FINE


def _back(client: Client, study_id: str) -> str:
    return f"`tunewell study watch {clean(study_id)} --url {client.url}`"
