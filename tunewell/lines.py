"""Trials, numbers and times as text for people."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models import Study, Trial

_FIXED_LOW, _FIXED_HIGH = 0.1, 1e4
_LONGEST_MESSAGE = 200


def clean(text: str) -> str:
    """A text of somebody else's without what a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def reason(text: str) -> str:
    """Why nobody answers, without the number that the system gives it."""
    return clean(re.sub(r"^\[Errno -?\d+\] ", "", text)).lower()


def cell(value: Any) -> str:
    """One value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return clean(str(value))


def number(value: float) -> str:
    """An integer in full; else four decimals, or four significant digits where those say little."""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value == 0 or _FIXED_LOW <= abs(value) < _FIXED_HIGH:
        return f"{value:.4f}"
    return f"{value:.4g}"


def ago(instant: datetime | None) -> str:
    """How long ago an instant was."""
    if instant is None:
        return "-"
    return f"{duration((datetime.now(UTC) - instant).total_seconds())} ago"


def duration(seconds: float) -> str:
    """A duration, rounded to its unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def took(seconds: float) -> str:
    """A duration to the second: "36 ms", "12.3 s", "2 min 04 s", "3 h 05 min"."""
    if seconds < 0.1:
        return f"{1000 * max(seconds, 0):.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def rate(per_h: float) -> str:
    """A rate of trials: "4,870/h", "31.2/h"."""
    return f"{per_h:,.0f}/h" if per_h >= 100 else f"{per_h:.3g}/h"


def took_s(trial: Trial) -> float | None:
    """Seconds from a trial's start to its end; None where it has not had both."""
    if trial.started_at is None or trial.ended_at is None:
        return None
    return (trial.ended_at - trial.started_at).total_seconds()


def one_line(text: str, most: int = _LONGEST_MESSAGE) -> str:
    """A text of somebody else's on one line, cut at its end."""
    text = clean(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def fields(pairs: Mapping[str, Any], joint: str = "  ") -> str:
    """Names and values for programs that read lines: `name=value`, quoted where it has to be."""
    return joint.join(f"{clean(name)}={_plain(value)}" for name, value in pairs.items())


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    text = clean(str(value))
    is_bare = bool(text) and not any(c.isspace() or c in '"=' for c in text)
    return text if is_bare else json.dumps(text, ensure_ascii=False)


def params_text(trial: Trial, study: Study) -> str:
    """A trial's parameters for people, in the order of the space."""
    known = {name: trial.params[name] for name in study.params if name in trial.params}
    return " ".join(f"{clean(name)}={cell(value)}" for name, value in known.items())


_BARS = "\N{LOWER ONE EIGHTH BLOCK}\N{LOWER ONE QUARTER BLOCK}\N{LOWER THREE EIGHTHS BLOCK}" \
    "\N{LOWER HALF BLOCK}\N{LOWER FIVE EIGHTHS BLOCK}\N{LOWER THREE QUARTERS BLOCK}" \
    "\N{LOWER SEVEN EIGHTHS BLOCK}\N{FULL BLOCK}"  # fmt: skip


def sparkline(values: Sequence[float], most: int) -> str:
    """The last finite values as a row of bars, at most `most` (>= 1) of them: lowest to highest."""
    shown = [v for v in values if math.isfinite(v)][-most:]
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if low == high:
        return _BARS[3] * len(shown)
    # Halved before they are subtracted: the span of two finite values may be none.
    span = high / 2 - low / 2
    return "".join(_BARS[min(7, int((v / 2 - low / 2) / span * 8))] for v in shown)


def trial_line(trial: Trial, study: Study) -> str:
    """A trial in one line: number, parameters, values, and what became of it if not completed."""
    parts = [f"trial {trial.number}"]
    parts += [f"{clean(n)} {cell(trial.params[n])}" for n in study.params if n in trial.params]
    parts += values_of(trial, study.metrics)
    if trial.state == "failed" and trial.failure is not None:
        said = one_line(trial.failure.message)
        parts.append(f"failed {trial.failure.kind}" + (f": {said}" if said else ""))
    elif trial.state == "stopped" and trial.step is not None:
        parts.append(f"stopped at step {trial.step}{_why(trial)}")
    elif trial.state != "completed":
        parts.append(trial.state)
    if (of := duplicate_of(trial)) is not None:
        parts.append(f"not trained: equal to trial {of['number']}")
    return "  ".join(parts)


def duplicate_of(trial: Trial) -> Mapping[str, Any] | None:
    """Which trial's result a duplicate has: `number`, `trial_id`, and the `source` that it had
    itself; None of any other trial.
    """
    return trial.provenance.get("duplicate_of") if trial.source == "duplicate" else None


def source_words(trial: Trial) -> str:
    """Where a trial's point came from, and of a duplicate where its result did."""
    of = duplicate_of(trial)
    if of is None:
        return trial.source
    return f"duplicate: equal to trial {of['number']}, whose result it has ({of['source']} before)"


def paused_line(trial: Trial) -> str:
    """What a trial that pauses has reached, and why it waits."""
    where = "".join(f" at step {each.step}: {number(each.value)}" for each in trial.rungs[-1:])
    return f"trial {trial.number}  paused{where}{_why(trial, joint='; ')}"


def promoted_line(trial: Trial) -> str:
    """How far a trial that was promoted goes on."""
    to_step = "its end" if trial.to_step is None else f"step {trial.to_step}"
    return f"trial {trial.number}  promoted to {to_step}"


def saved_line(study: Study) -> str | None:
    """What a study has trained and what it was spared; None where nothing was."""
    if study.resource_saved <= 0:
        return None
    time = f", about {duration(study.saved_s)} of training" if study.saved_s >= 1 else ""
    return f"{study.resource_used:,} steps trained, {study.resource_saved:,} not trained{time}"


def _why(trial: Trial, joint: str = ": ") -> str:
    said = one_line(trial.directive_reason)
    return f"{joint}{said}" if said else ""


def values_of(trial: Trial, metrics: Sequence[str]) -> list[str]:
    """Name and value of each metric that the trial has."""
    return [f"{clean(m)} {number(trial.values[m])}" for m in metrics if m in trial.values]
