"""What a worker says to people: a sentence for each of its events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tunewell.lines import one_line

Fields = Mapping[str, Any]

ERRORS = frozenset({"worker_cannot_start", "worker_refused", "service_unreachable"})
"""Events that end a worker, or keep it from work; they are told as the command line's errors."""

_NEXT = {
    "worker_refused": "see what the service takes: tunewell doctor",
    "service_unreachable": "start one: tunewell serve     or point elsewhere: --url URL, "
    "or TUNEWELL_URL",
}
"""What to do after an error that does not say it itself."""

_UNSAID = frozenset(
    {
        "lease_ended", "memory_learned", "checkpoint_committed", "heartbeat_unanswered",
        "claim_unanswered", "match_unanswered", "objective_not_forked",
    }
)  # fmt: skip
"""Events for programs alone: what they tell is said elsewhere, or is of no use to people."""


class Talk:
    """Says events in words; remembers when trials began. Safe to
    call from any thread.

    Args:
        now: a clock that does not go back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._begun: dict[str, tuple[str, float]] = {}

    def __call__(self, event: str, fields: Fields) -> str | None:
        """The line for an event; None for one that is not told."""
        with self._lock:
            if event in _UNSAID:
                return None
            if event == "trial_started":
                return self._started(fields)
            if event.startswith("trial_") and fields.get("trial_id") in self._begun:
                return self._of_trial(event.removeprefix("trial_"), fields)
        said = _SAID.get(event)
        return as_fields(event, fields) if said is None else said(fields)

    def _started(self, fields: Fields) -> str:
        trial_id, number = str(fields["trial_id"]), fields.get("number")
        name = f"#{number} {shown(fields['objective'])}" if number else trial_id
        self._begun[trial_id] = (name, self._now())
        params = [f"{shown(key)}={shown(value)}" for key, value in fields["params"].items()]
        study = [f"({fields['study_id']})"] if fields.get("study_id") else []
        return "  ".join([f"{name} started", *params, *study])

    def _of_trial(self, what: str, fields: Fields) -> str:
        name, begun = self._begun[fields["trial_id"]]
        if what == "resumed":
            return f"{name} goes on from step {fields['step']}"
        if what == "placed":
            return f"{name} runs on node {shown(fields['node'])}"
        del self._begun[fields["trial_id"]]
        values = fields.get("values") or {}
        parts = [f"{shown(key)}={shown(value)}" for key, value in values.items()]
        if what == "failed":
            parts = [f"{shown(fields['kind'])}: {one_line(str(fields['message']))}"]
        if what == "stopped" and fields.get("step") is not None:
            parts.append(f"at step {fields['step']}")
        if what == "ended":
            parts = [f"({shown(str(fields['cause']))})"]
        return "  ".join([f"{name} {what}", *parts, took(self._now() - begun)])


def error_lines(event: str, fields: Fields) -> list[str]:
    """An error and what to do about it."""
    lines = [each for each in str(fields["detail"]).splitlines() if each.strip()]
    if lines and lines[0].rstrip().endswith("Traceback (most recent call last):"):
        # What went wrong stands last; of how Python came there the last places are enough.
        places = [k for k, each in enumerate(lines) if each.lstrip().startswith("File ")][-2:]
        first = f"{lines[0].partition(': Traceback')[0]}: {lines[-1]}"
        lines = [first, *lines[places[0] if places else 1 : -1]]
    more = [f"  {each}" for each in lines[1:]] + ([f"  {_NEXT[event]}"] if event in _NEXT else [])
    return [_printable(each) for each in [f"error: {lines[0] if lines else event}", *more]]


def _printable(text: str) -> str:
    """A text whose every character can be shown, for one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def as_fields(event: str, fields: Fields) -> str:
    """An event by its name and its fields."""
    given = [f"{key}={shown(value)}" for key, value in fields.items() if value is not None]
    return "  ".join([event, *given])


def shown(value: Any) -> str:
    """A value within a line: what a terminal obeys, and a line end that would begin a line of its
    own, are spelled out.
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    is_plain = text.isprintable() and text
    return text if is_plain or not isinstance(value, str) else json.dumps(text)


def took(seconds: float) -> str:
    """A span of time, such as `0.4 s`, `31 s` or `2 min 04 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _plan(fields: Fields) -> str:
    slots = ", ".join(str(each) for each in fields["slots"])
    parts = [f"slots: {shown(slots)}"]
    if "threads_each" in fields:
        parts.append(f"{fields['threads_each']} of {fields['cores']} cores for each trial")
    parts += [f"{size} for {shown(name)}" for name, size in fields.get("memory_each", {}).items()]
    if "nodes" in fields:
        parts.append(f"{fields['nodes']} nodes of a Ray cluster")
    return ", ".join(parts)


def _registered(fields: Fields) -> str:
    name = f"worker {shown(fields['name'])} {fields['worker_id']}"
    if fields["reason"] == "forgotten":
        return f"{name}: the service did not know it any more, it is there again"
    if fields["reason"] == "new-data":
        return f"{name}: the service knows of its new data"
    objectives = ", ".join(shown(each) for each in fields["objectives"])
    return f"{name} at {shown(fields['url'])}, serves {objectives}"


def _draining(fields: Fields) -> str:
    n = fields["running"]
    if not n:
        return "draining: no trial runs, none is begun"
    those = "the one that runs has" if n == 1 else f"the {n} that run have"
    return (
        f"draining: no trial is begun; {those} {fields['drain_s']:g} s to end, or is given back "
        "once it is saved. Ctrl-C again: give back now"
    )


_SAID: Mapping[str, Callable[[Fields], str]] = {
    "worker_plan": _plan,
    "worker_registered": _registered,
    "worker_draining": _draining,
    "service_away": lambda fields: (
        f"no service at {shown(fields['url'])} "
        f"({shown(fields['reason'])}); trying on, trials go on and their reports are kept"
    ),
    "write_refused": lambda fields: (
        f"the service refused a {shown(fields['write'])} of {fields['trial_id']}: "
        f"{shown(' '.join(str(fields['detail']).split()))}"
    ),
    "service_not_ready": lambda fields: (
        f"{shown(fields['url'])} answers, but takes no worker now "
        f"({shown(fields['detail'])}); trying on"
    ),
    "service_back": lambda fields: f"service back after {took(fields['silent_s'])}",
    "worker_ended": lambda fields: f"worker ended (exit {fields['status']})",
    "spool_replayed": lambda fields: (
        f"reports of {fields['lease_id']}, left by a process before, are being sent"
    ),
    "spool_kept": lambda fields: (
        f"reports of {fields['leases']} {'trial' if fields['leases'] == 1 else 'trials'}, left by "
        f"a process before, are for another address: a worker with --url {shown(fields['url'])} "
        f"sends them ({shown(fields['folder'])})"
    ),
    "no_room": lambda fields: (
        "no trial of "
        f"{', '.join(shown(each) for each in fields['objectives'])} fits into the free memory now"
    ),
}
