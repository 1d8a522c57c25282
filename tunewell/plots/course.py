"""Plots of how a study ran: who came to each rung, who ran what and when, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .marks import BAD, FAINT, FIRST, GOOD, SECOND, Found, Shown, label, nothing, said, unit_of

_BAR_HEIGHT = 0.5
"""Inches."""

_FATES: Mapping[str, tuple[str, Mapping[str, Any], str]] = {
    "promoted": ("went on", {"color": FIRST}, "^"),
    "finished": ("finished", {"color": GOOD}, "o"),
    "running": ("running", {"color": "white", "edgecolor": GOOD}, "o"),
    "waiting": ("waiting", {"color": "white", "edgecolor": "0.4"}, "D"),
    "stopped": ("stopped", {"color": SECOND}, "s"),
    "failed": ("failed", {"color": BAD}, "x"),
}
"""What becomes of a trial at a rung -> in words, its bar, its mark."""

_ENDS: Mapping[str, tuple[str, str]] = {
    "completed": ("completed", FIRST),
    "stopped": ("stopped early", SECOND),
    "failed": ("failed", BAD),
    "infeasible": ("infeasible", "C5"),
    "running": ("running", GOOD),
}
"""How an attempt ended -> in words, its colour; any other was given back or lost."""


def of_rungs(found: Found) -> str:
    """How many trials came to the rungs, of how many."""
    n_brackets = found.get("n_brackets", 0)
    brackets = f"; {n_brackets} brackets" if n_brackets > 1 else ""
    return f"{found['n_used']} of {found['n_total']} trials{brackets}"


def rungs(shown: Shown, figure: Any) -> None:
    """Who came to each rung and what became of them; beside it their values there, with the worst
    value that went on.
    """
    found = shown.found
    columns, points = found["columns"], found["points"]
    if not columns["rung"]:
        text = found["why"] or "no trial has come to a rung yet"
        return nothing(figure.subplots(), f"{text[:1].upper()}{text[1:]}.")
    figure.set_figwidth(1.4 * figure.get_figwidth())
    left, right = figure.subplots(1, 2)
    keys = list(zip(columns["bracket"], columns["rung"], strict=True))
    base = [0] * len(keys)
    for fate, (words, look, _) in _FATES.items():
        heights = columns[f"n_{fate}"]
        if any(heights):
            left.bar(range(len(keys)), heights, bottom=base, label=words, width=0.7, **look)
            base = [a + b for a, b in zip(base, heights, strict=True)]
    _at_the_rungs(right, columns, points, keys)
    names = [
        f"{step}" if bracket is None else f"{step}\nbracket {bracket}"
        for bracket, step in zip(columns["bracket"], columns["resource"], strict=True)
    ]
    for axes in (left, right):
        axes.set_xticks(range(len(keys)), names)
    label(left, "rung, in steps", "trials")
    label(right, "rung, in steps", said(shown.metric))
    return None


def _at_the_rungs(axes: Any, columns: Found, points: Found, keys: Sequence[Any]) -> None:
    place = {key: at for at, key in enumerate(keys)}
    for fate, (words, look, marker) in _FATES.items():
        kept = [
            (place[(bracket, rung)] + _aside(trial), value)
            for trial, bracket, rung, value, decision in zip(
                *(points[name] for name in ("number", "bracket", "rung", "value", "decision")),
                strict=True,
            )
            if decision == fate and value is not None and (bracket, rung) in place
        ]
        if kept:
            colour = look.get("edgecolor", look["color"])
            x, y = zip(*kept, strict=True)
            axes.scatter(x, y, s=16, marker=marker, color=colour, alpha=0.7, label=words)
    cutoffs = [(at, each) for at, each in enumerate(columns["cutoff"]) if each is not None]
    if cutoffs:
        at = [each[0] for each in cutoffs]
        left, right = [each - 0.45 for each in at], [each + 0.45 for each in at]
        axes.hlines([each[1] for each in cutoffs], left, right, color="k", label="worst to go on")


def _aside(number: int) -> float:
    """A shift within a rung, -0.3 to 0.3, the same each time that a trial is drawn."""
    return 0.6 * ((number * 0.618034) % 1.0 - 0.5)


def of_attempts(found: Found) -> str:
    """How many attempts are shown, of how many."""
    rule = "" if found["sampling"] == "all" else ", the last"
    return (
        f"{found['n_shown']} of {found['n_used']} attempts shown{rule}; {found['n_total']} trials"
    )


def timeline(shown: Shown, figure: Any) -> None:
    """Each attempt a bar, in a lane of who had it; attempts at one time have a lane each."""
    axes, found = figure.subplots(), shown.found
    columns = found["columns"]
    if not columns["number"]:
        return nothing(axes, "Nothing has run yet. A bar appears when a trial is handed out.")
    ends = [end for end in columns["end_s"] if end is not None]
    last = max([*ends, *columns["start_s"]])
    size, unit = unit_of(last)
    bars: dict[str, list[tuple[float, float, tuple[int, int]]]] = {}
    rows = zip(*(columns[name] for name in ("holder", "start_s", "end_s", "end")), strict=True)
    busy: dict[int, list[float]] = {}
    for holder, start, end, how in rows:
        until = last if end is None else end
        lane = _free_lane(busy.setdefault(holder, []), start, until)
        kind = "running" if how is None else how if how in _ENDS else "given back or lost"
        bars.setdefault(kind, []).append((start / size, (until - start) / size, (holder, lane)))
    lanes = [(holder, lane) for holder in sorted(busy) for lane in range(len(busy[holder]))]
    for kind, kept in bars.items():
        words, colour = _ENDS.get(kind, (kind, FAINT))
        starts, widths, where = zip(*kept, strict=True)
        at = [lanes.index(each) for each in where]
        axes.barh(at, widths, left=starts, color=colour, alpha=0.8, edgecolor="white",
                  linewidth=0.5, label=words)  # fmt: skip
    figure.set_figheight(max(2.4, 1.4 + _BAR_HEIGHT * len(lanes)))
    names = [said(found["holders"][holder], 32) if lane == 0 else "" for holder, lane in lanes]
    axes.set_yticks(range(len(lanes)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"time since the first start, {unit}")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return None


def _free_lane(busy_until: list[float], start: float, end: float) -> int:
    """The first lane that is free at `start`; it is taken until `end`."""
    for lane, until in enumerate(busy_until):
        if until <= start + 1e-3:
            busy_until[lane] = end
            return lane
    busy_until.append(end)
    return len(busy_until) - 1


def of_failures(found: Found) -> str:
    """How many attempts failed, at how many trials."""
    n_failed = sum(found["columns"]["n"])
    return f"{n_failed} failed attempts at {found['n_used']} of {found['n_total']} trials"


def failures(shown: Shown, figure: Any) -> None:
    """A bar for each group of failures that are alike, by kind."""
    axes, columns = figure.subplots(), shown.found["columns"]
    if not columns["n"]:
        return nothing(axes, "No attempt has failed.")
    rows = list(zip(*(columns[c] for c in ("kind", "message", "n", "numbers")), strict=True))
    kinds = list(dict.fromkeys(columns["kind"]))
    for k, kind in enumerate(kinds):
        kept = [(place, n) for place, (own, _, n, _) in enumerate(rows) if own == kind]
        axes.barh(*zip(*kept, strict=True), color=f"C{k}", label=said(kind.replace("_", " ")))
    for at, (_, _, n, numbers) in enumerate(rows):
        axes.text(n, at, f" {_trials(numbers)}", va="center", fontsize="small")
    axes.set_yticks(range(len(rows)), [_first_line(message) for _, message, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(columns["n"]))
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.set_figheight(max(2.4, 1.4 + _BAR_HEIGHT * len(rows)))
    label(axes, "failed attempts")
    return None


def _trials(numbers: Sequence[int]) -> str:
    more = ", ..." if len(numbers) > 3 else ""
    return f"trial {', '.join(map(str, numbers[:3]))}{more}"


def _first_line(message: str) -> str:
    return said(message.splitlines()[0] if message else "no message", 36)
