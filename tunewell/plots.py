"""`Study.plot`: the plots of the dashboard in a notebook, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .frames import load
from .models import Study

_WIDTH, _HEIGHT = 7.0, 4.0
"""Inches."""
_BAR_HEIGHT = 0.35

Found = Mapping[str, Any]


def known(kind: str) -> None:
    """Sees to it that a kind can be drawn, and that matplotlib is there.

    Raises:
        ValueError: it cannot; the text names those that can.
        NotInstalled: matplotlib is not installed.
    """
    if kind not in _DRAW:
        raise ValueError(
            f"{kind!r} cannot be drawn, only {', '.join(_DRAW)}; study.analysis({kind!r}) gives "
            "the columns of any analysis"
        )
    load("matplotlib", "plot")


def draw(found: Found, study: Study) -> Any:
    """The figure of an analysis.

    Args:
        found: the service's answer.
        study: whose it is.
    """
    pyplot = load("matplotlib.pyplot", "plot")
    figure, axes = pyplot.subplots(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    _DRAW[found["kind"]](found, study, figure, axes)
    axes.set_title(f"{study.name}: {found['kind']}, {_caption(found)}", fontsize="medium")
    # A notebook shows the figure that the cell gives; an open one would be shown twice.
    pyplot.close(figure)
    return figure


def _caption(found: Found) -> str:
    rule = "" if found["sampling"] == "all" else f" ({found['sampling']})"
    return f"{found['n_shown']} of {found['n_total']} shown{rule}"


def _history(found: Found, study: Study, figure: Any, axes: Any) -> None:
    columns, states = found["columns"], found["states"]
    for name, mark in (("completed", "o"), ("stopped", "x")):
        chosen = [
            (number, value)
            for number, value, state in zip(
                columns["number"], columns["value"], columns["state"], strict=True
            )
            if value is not None and states[state] == name
        ]
        if chosen:
            axes.scatter(*zip(*chosen, strict=True), marker=mark, s=14, alpha=0.6, label=name)
    for best in found["best"]:
        bracket = "" if best["bracket"] is None else f", bracket {best['bracket']}"
        axes.step(best["number"], best["value"], where="post", label=f"best so far{bracket}")
    _label(axes, "trial", study.metrics[0])


def _curves(found: Found, study: Study, figure: Any, axes: Any) -> None:
    columns, points = found["columns"], found["points"]
    for start, length in zip(columns["offset"], columns["length"], strict=True):
        part = slice(start, start + length)
        axes.plot(points["step"][part], points["value"][part], color="C0", alpha=0.25, linewidth=1)
    band = found["band"]
    axes.plot(band["step"], band["p50"], color="C1", label="median of completed trials")
    axes.fill_between(band["step"], band["p10"], band["p90"], color="C1", alpha=0.15)
    _label(axes, "step", study.metrics[0])


def _importance(found: Found, study: Study, figure: Any, axes: Any) -> None:
    columns = found["columns"]
    names = [
        _importance_name(param, pair, found["blocks"][block])
        for param, pair, block in zip(
            columns["param"], columns["pair"], columns["block"], strict=True
        )
    ]
    shares = columns["share"]
    below = [share - low for share, low in zip(shares, columns["low"], strict=True)]
    above = [high - share for share, high in zip(shares, columns["high"], strict=True)]
    spread = [[max(0.0, each) for each in side] for side in (below, above)]
    figure.set_figheight(max(_HEIGHT, _BAR_HEIGHT * len(names)))
    axes.barh(range(len(names)), shares, xerr=spread, color="C0", ecolor="0.4")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the variance")


def _importance_name(param: str, pair: str | None, block: Found) -> str:
    name = param if pair is None else f"{param} x {pair}"
    condition = block["condition"]
    return name if condition is None else f"{name} (where {condition['param']} allows it)"


def _slice(found: Found, study: Study, figure: Any, axes: Any) -> None:
    one, axis = found["slices"][0], found["axes"][0]
    axes.scatter([_place(x) for x in one["x"]], one["value"], s=14, alpha=0.6)
    _scale(axes, axis, "x")
    _label(axes, axis["param"], study.metrics[0])


def _contour(found: Found, study: Study, figure: Any, axes: Any) -> None:
    surface, columns = found["surface"], found["columns"]
    first, second = found["axes"]
    if surface:
        n = len(surface["x_edges"]) - 1
        nan = float("nan")
        flat = [nan if mean is None else mean for mean in surface["mean"]]
        rows = [flat[k : k + n] for k in range(0, len(flat), n)]
        mesh = axes.pcolormesh(surface["x_edges"], surface["y_edges"], rows, shading="flat")
        figure.colorbar(mesh, label=study.metrics[0])
    axes.scatter(_on(columns["x"], first), _on(columns["y"], second), s=10, color="k", alpha=0.6)
    for axis, which in ((first, "x"), (second, "y")):
        _scale(axes, axis, which)
        if axis["type"] == "categorical":
            ticks = [k + 0.5 for k in range(len(axis["choices"]))]
            getattr(axes, f"set_{which}ticks")(ticks, [str(c) for c in axis["choices"]])
    axes.set_xlabel(first["param"])
    axes.set_ylabel(second["param"])


def _parallel(found: Found, study: Study, figure: Any, axes: Any) -> None:
    columns, params = found["columns"], [axis["param"] for axis in found["axes"]]
    values = columns["value"]
    known_values = [value for value in values if value is not None]
    low, high = min(known_values, default=0.0), max(known_values, default=1.0)
    colours = load("matplotlib", "plot").colormaps["viridis"]
    for k, value in enumerate(values):
        shade = 0.5 if value is None or high == low else (value - low) / (high - low)
        # What is not active lies in a lane of its own, below the scale.
        line = [max(columns[f"param:{name}"][k], -100) for name in params]
        line = [-100 if place < 0 else place for place in line]
        axes.plot(range(len(params)), line, color=colours(shade), alpha=0.5, linewidth=1)
    axes.set_xticks(range(len(params)), params)
    axes.set_yticks([-100, 0, 1000], ["not active", "low", "high"])


def _timeline(found: Found, study: Study, figure: Any, axes: Any) -> None:
    columns = found["columns"]
    spans = zip(
        columns["holder"], columns["start_s"], columns["end_s"], columns["end"], strict=True
    )
    last = max([end for end in columns["end_s"] if end is not None], default=0.0)
    for holder, start, end, how in spans:
        width = (last if end is None else end) - start
        axes.barh(holder, width, left=start, color="C3" if how == "failed" else "C0", alpha=0.6)
    axes.set_yticks(range(len(found["holders"])), [str(name) for name in found["holders"]])
    axes.set_xlabel("seconds since the first start")


def _place(value: Any) -> Any:
    """A choice by its name, a number as it is."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _on(values: Sequence[Any], axis: Found) -> list[Any]:
    """Where values lie on an axis of a contour: a choice in the middle of its cell."""
    if axis["type"] != "categorical":
        return list(values)
    return [axis["choices"].index(value) + 0.5 for value in values]


def _scale(axes: Any, axis: Found, which: str) -> None:
    if axis.get("log"):
        getattr(axes, f"set_{which}scale")("log")


def _label(axes: Any, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


_DRAW: Mapping[str, Callable[[Found, Study, Any, Any], None]] = {
    "history": _history,
    "curves": _curves,
    "importance": _importance,
    "slice": _slice,
    "contour": _contour,
    "parallel": _parallel,
    "timeline": _timeline,
}
"""What can be drawn -> how."""
