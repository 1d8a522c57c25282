"""Follows a study to its end: a line a trial, progress on a terminal, the best at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .client import Client
from .lines import number, trial_line

ENDED = frozenset({"completed", "cancelled", "failed"})
_SHOWN = frozenset({"completed", "stopped", "infeasible", "failed", "cancelled"})
INTERRUPTED = 130


class _Meter(Protocol):
    def show(self, study: Mapping[str, Any]) -> None: ...


class _Bar:
    """A progress bar on standard error; printed lines go above it."""

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total, best="")

    def show(self, study: Mapping[str, Any]) -> None:
        counts = study["trial_counts"]
        done = sum(counts.get(s, 0) for s in ("completed", "stopped", "infeasible"))
        best = study["best"]
        metric = study["definition"]["metrics"][0]["name"]
        text = f"best {metric} {number(best['values'].get(metric))}" if best else ""
        running = counts.get("running", 0)
        self._progress.update(
            self._task, completed=done, description=f"{running} running", best=text
        )


class _Silent:
    def show(self, study: Mapping[str, Any]) -> None:
        """Nothing to show off a terminal: the lines say it all."""


def follow(client: Client, study_id: str, *, as_json: bool = False, is_local: bool = False) -> int:
    """Follows a study; returns the exit status.

    Args:
        client: where the study is.
        study_id: the study.
        as_json: print each trial and the study at the end as JSON lines.
        is_local: the service ends with this command.

    Returns:
        0 when the study completed, 1 when it failed or was cancelled, 130 when a local one was
        left by Ctrl-C.
    """
    try:
        study = _follow(client, study_id, as_json=as_json)
    except KeyboardInterrupt:
        if is_local:
            return INTERRUPTED
        name = client.get_study(study_id)["name"]
        print(
            f"\nStopped following; the study goes on. Come back with: tunewell study watch {name}",
            file=sys.stderr,
        )
        return 0
    print_best(study, as_json=as_json)
    return 0 if study["state"] == "completed" else 1


def _follow(client: Client, study_id: str, *, as_json: bool) -> Any:
    study = client.get_study(study_id)
    definition = study["definition"]
    with _progress(definition, as_json) as progress:
        meter: _Meter = _Silent() if progress is None else _bar(progress, definition)
        meter.show(study)
        for event in client.stream_events(study_id, after=0):
            if event["event"] == "trial.state":
                _show_trial(client, event, definition, as_json=as_json)
            if event["event"] in ("trial.state", "study.state", "study.best", "reset"):
                study = client.get_study(study_id)
                meter.show(study)
            # The study's end comes last: all its trials have been shown by then.
            if event["event"] == "study.state" and _ends(event, study):
                return study
    return client.get_study(study_id)


def _ends(event: Mapping[str, Any], study: Mapping[str, Any]) -> bool:
    said = (event.get("data") or event).get("state")
    return said in ENDED and study["state"] in ENDED


def _show_trial(
    client: Client, event: Mapping[str, Any], definition: Mapping[str, Any], *, as_json: bool
) -> None:
    data = event.get("data") or event
    if data.get("state") not in _SHOWN:
        return
    trial = client.get_trial(str(event["trial_id"]))
    if trial["state"] not in _SHOWN:
        return
    print(json.dumps(trial) if as_json else trial_line(trial, definition), flush=True)


def print_best(study: Mapping[str, Any], *, as_json: bool = False) -> None:
    """The study's end: its best trial, or why there is none."""
    if as_json:
        print(json.dumps(study), flush=True)
        return
    reason = f" ({study['stop_reason']})" if study["stop_reason"] else ""
    print(f"{study['name']}: {study['state']}{reason}", file=sys.stderr)
    if study["best"]:
        print(f"best: {trial_line(study['best'], study['definition'])}", flush=True)


def _progress(
    definition: Mapping[str, Any], as_json: bool
) -> AbstractContextManager[Progress | None]:
    if as_json or not (sys.stderr.isatty() and sys.stdout.isatty()):
        return nullcontext()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
        console=Console(stderr=True),
        transient=True,
    )


def _bar(progress: Progress, definition: Mapping[str, Any]) -> _Bar:
    return _Bar(progress, (definition.get("limits") or {}).get("max_trials"))
