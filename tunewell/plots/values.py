"""Plots of values: of trials as they end, and of trials as they learn."""

from __future__ import annotations

from typing import Any

from .marks import BAD, FIRST, SECOND, Found, Shown, by_state, cut, label, nothing, said, unit_of

_VALUELESS = ("failed", "infeasible")
"""States that end without a value: a tick each at the foot of the plot."""


def history(shown: Shown, figure: Any) -> None:
    """Each trial at its value, and the best so far, over trials, (`x="elapsed"`) over time, or
    (`x="worked"`) over the time in which trials ran. One that runs stands at the last end.
    """
    axes, columns = figure.subplots(), shown.found["columns"]
    if not columns["number"]:
        return nothing(axes, "No trial has begun. Start a worker, or ask for trials in a script.")
    axis = shown.params.get("x", "number")
    key = "number" if axis == "number" else "elapsed_s"
    last = max((at for at in columns[key] if at is not None), default=0.0)
    size, unit = (1.0, "") if axis == "number" else unit_of(last)
    x = [(last if at is None else at) / size for at in columns[key]]
    by_state(axes, shown, x, columns)
    _feet(axes, shown.found, x)
    for best in shown.found["best"]:
        _best(axes, best, [at / size for at in best[key]], max(x))
    cut(axes, shown.found)
    pauses = " without pauses" if axis == "worked" else ""
    time = f"time since the first start{pauses}, {unit}"
    label(axes, "trial" if axis == "number" else time, said(shown.metric))
    return None


def _best(axes: Any, best: Found, x: list[float], end: float) -> None:
    """One staircase, which reaches to the last trial."""
    if x:
        name = "best so far" if best["bracket"] is None else f"best of bracket {best['bracket']}"
        axes.step([*x, end], [*best["value"], best["value"][-1]], where="post", label=name)


def _feet(axes: Any, found: Found, x: list[float]) -> None:
    for name in _VALUELESS:
        state = found["states"].index(name)
        kept = [
            at for at, is_in in zip(x, found["columns"]["state"], strict=True) if is_in == state
        ]
        if kept:
            mark = {"marker": "|", "linestyle": "none", "color": BAD if name == "failed" else "0.4"}
            foot = axes.get_xaxis_transform()
            axes.plot(kept, [0.02] * len(kept), transform=foot, label=f"{name}, no value", **mark)


def curves(shown: Shown, figure: Any) -> None:
    """Each trial over its steps, the best bold, and the middle of those that completed."""
    axes, found = figure.subplots(), shown.found
    columns, points = found["columns"], found["points"]
    if not columns["number"]:
        text = (
            f"No trial has reported {said(shown.metric)} at a step. A curve begins with a report."
        )
        return nothing(axes, text)
    parts = [
        slice(start, start + length)
        for start, length in zip(columns["offset"], columns["length"], strict=True)
    ]
    for part in parts:
        one = {"marker": "."} if part.stop - part.start == 1 else {}
        x, y = points["step"][part], points["value"][part]
        axes.plot(x, y, color=FIRST, alpha=0.25, linewidth=1, **one)
    for place in _best_curve(shown, parts):
        x, y = points["step"][parts[place]], points["value"][parts[place]]
        axes.plot(x, y, color="k", linewidth=2, label=f"best, trial {columns['number'][place]}")
    band = found["band"]
    if band["step"]:
        axes.plot(band["step"], band["p50"], color=SECOND, label="median of completed trials")
        axes.fill_between(
            band["step"], band["p10"], band["p90"], color=SECOND, alpha=0.15, label="10 to 90 %"
        )
    cut(axes, found)
    label(axes, "step", said(shown.metric))
    return None


def _best_curve(shown: Shown, parts: list[slice]) -> list[int]:
    """The place of the curve that ends best among those that completed, if there is one."""
    states, values = shown.found["columns"]["state"], shown.found["points"]["value"]
    completed = shown.found["states"].index("completed")
    ends = [
        (shown.sign * values[part.stop - 1], place)
        for place, part in enumerate(parts)
        if states[place] == completed
    ]
    return [min(ends)[1]] if ends and shown.is_declared else []
