"""Plots of parameters: which matter, where along them it is good, and together with which."""

from __future__ import annotations

from typing import Any

from ..frames import load
from .marks import (
    FAINT,
    FIRST,
    SECOND,
    Found,
    Shown,
    along,
    by_state,
    cut,
    label,
    nothing,
    of_trials,
    places,
    said,
    value_at,
)

_BAR_HEIGHT = 0.35
"""Inches."""
_NOT_ACTIVE = -120
"""Where a line of `parallel` passes a parameter that the trial has not; a scale is 0 to 1000."""
_TARGETS = {"duration": "the durations of trials", "failed": "which trials fail"}


def of_forest(found: Found) -> str:
    """Of how many trials an importance is, and how well its model explains them."""
    fit = f"; the model explains {found['blocks'][0]['r2_oob']:.0%}" if found["blocks"] else ""
    return f"{found['n_used']} of {found['n_total']} trials{fit}"


def of_surface(found: Found) -> str:
    """How many trials a contour shows, and what its holes are."""
    return f"{of_trials(found)}{'; blank: not explored' if found['surface'] else ''}"


def importance(shown: Shown, figure: Any) -> None:
    """A bar for each parameter and pair, with the spread over the trees."""
    axes, found = figure.subplots(), shown.found
    columns = found["columns"]
    if found["needs"]:
        return nothing(axes, f"Needs {found['needs']} completed trials, {found['n_used']} so far.")
    if not any(columns["share"]):
        return nothing(axes, "All trials have the same value: there is nothing to explain.")
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
    figure.set_figheight(max(figure.get_figheight(), 1 + _BAR_HEIGHT * len(names)))
    axes.barh(range(len(names)), shares, xerr=spread, color=FIRST, ecolor="0.4")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    of = _TARGETS.get(found["target"], said(shown.metric))
    label(axes, f"share of the variance of {of}; bars: 5 to 95 % over trees")
    return None


def _importance_name(param: str, pair: str | None, block: Found) -> str:
    name = said(param, 24) if pair is None else f"{said(param, 20)} x {said(pair, 20)}"
    condition = block["condition"]
    return name if condition is None else f"{name}\nwhere {_where(condition)}"


def _where(condition: Found) -> str:
    """A condition in words."""
    name = said(condition["param"], 20)
    if condition.get("in") is not None:
        return f"{name} is {' or '.join(said(choice, 12) for choice in condition['in'])}"
    low, high = condition.get("low"), condition.get("high")
    if low is None or high is None:
        return f"{name} is {low} or more" if high is None else f"{name} is {high} or less"
    return f"{name} is {low} to {high}"


def slices(shown: Shown, figure: Any) -> None:
    """Values along one parameter; of several that were asked for, a plot each."""
    parts = shown.found["slices"]
    figure.set_figheight(figure.get_figheight() * max(1, 0.8 * len(parts)))
    rows = figure.subplots(len(parts), 1, squeeze=False)[:, 0]
    for axes, part, axis in zip(rows, parts, shown.found["axes"], strict=True):
        _slice(axes, shown, part, axis)


def _slice(axes: Any, shown: Shown, part: Found, axis: Found) -> None:
    if not part["number"]:
        return nothing(axes, f"{said(axis['param'])}: no trial has a value yet.")
    along(axes, axis, "x")
    by_state(axes, shown, places(part["x"], axis), part)
    _bins(axes, part["bins"], axis)
    away = [value for x, value in zip(part["x"], part["value"], strict=True) if x is None]
    if away:
        edge = axes.get_yaxis_transform()
        name = f"not active ({len(away)})"
        axes.plot([0.01] * len(away), away, "<", color=FAINT, transform=edge, label=name)
    cut(axes, shown.found)
    label(axes, y=said(shown.metric))
    return None


def _bins(axes: Any, bins: Found, axis: Found) -> None:
    """The quartiles along the parameter."""
    x = [value_at(place, axis) for place in bins["place"]]
    if not x:
        return
    if axis["type"] == "categorical":
        axes.vlines(x, bins["q25"], bins["q75"], color=SECOND, linewidth=6, alpha=0.3)
        axes.plot(x, bins["q50"], "_", color=SECOND, markersize=16, label="median and quartiles")
        return
    axes.plot(x, bins["q50"], color=SECOND, label="median and quartiles")
    axes.fill_between(x, bins["q25"], bins["q75"], color=SECOND, alpha=0.15)


def contour(shown: Shown, figure: Any) -> None:
    """What the forest expects over two parameters, and the trials."""
    axes, found = figure.subplots(), shown.found
    columns, (first, second) = found["columns"], found["axes"]
    if not columns["number"]:
        both = f"{said(first['param'])} and {said(second['param'])}"
        return nothing(axes, f"No trial that has a value has both {both} active.")
    along(axes, first, "x")
    along(axes, second, "y")
    if found["surface"]:
        _surface(axes, figure, shown, found["surface"])
    else:
        axes.set_title(f"the surface needs {found['needs']} completed trials", fontsize="small")
    x, y = places(columns["x"], first), places(columns["y"], second)
    axes.scatter(x, y, s=10, color="k", alpha=0.6, label="trials")
    return None


def _surface(axes: Any, figure: Any, shown: Shown, surface: Found) -> None:
    first, second = shown.found["axes"]
    n = len(surface["x_edges"]) - 1
    flat = [float("nan") if mean is None else mean for mean in surface["mean"]]
    rows = [flat[k : k + n] for k in range(0, len(flat), n)]
    x, y = _edges(surface["x_edges"], first), _edges(surface["y_edges"], second)
    colours = "viridis" if shown.sign < 0 else "viridis_r"  # bright: better
    mesh = axes.pcolormesh(x, y, rows, shading="flat", cmap=colours)
    figure.colorbar(mesh, label=f"{said(shown.metric)}, expected")


def _edges(edges: list[float], axis: Found) -> list[float]:
    """A choice's cell has its place in the middle."""
    return [edge - 0.5 for edge in edges] if axis["type"] == "categorical" else edges


def parallel(shown: Shown, figure: Any) -> None:
    """Each trial a line across the parameters, the best on top and brightest."""
    axes, columns = figure.subplots(), shown.found["columns"]
    described = shown.found["axes"]
    if not columns["number"]:
        return nothing(axes, "No trial has a value yet. Lines appear as trials end.")
    values = columns["value"]
    colours = _colours(axes, figure, shown, values)
    for k in sorted(range(len(values)), key=lambda k: -shown.sign * values[k]):
        line = [columns[f"param:{axis['param']}"][k] for axis in described]
        line = [_NOT_ACTIVE if place < 0 else place for place in line]
        axes.plot(range(len(line)), line, color=colours(values[k]), alpha=0.6, linewidth=1)
    for at, axis in enumerate(described):
        axes.axvline(at, color=FAINT, linewidth=0.8, zorder=0)
        for place, name in _ticks(axis):
            axes.text(at, place, f" {name}", fontsize="x-small", va="center", color="0.2")
    scales = [f"{said(axis['param'], 18)}{', log' if axis['log'] else ''}" for axis in described]
    axes.set_xticks(range(len(described)), scales)
    if any(place < 0 for axis in described for place in columns[f"param:{axis['param']}"]):
        axes.set_yticks([_NOT_ACTIVE], ["not active"])
    else:
        axes.set_yticks([])
    return None


def _colours(axes: Any, figure: Any, shown: Shown, values: list[float]) -> Any:
    """What colour a value has: bright where it is good; says so beside the plot."""
    matplotlib = load("matplotlib", "plot")
    load("matplotlib.cm", "plot"), load("matplotlib.colors", "plot")
    colours = "viridis" if shown.sign < 0 else "viridis_r"
    low, high = min(values), max(values)
    scale = matplotlib.colors.Normalize(low, high if high > low else low + 1)
    mapped = matplotlib.cm.ScalarMappable(scale, colours)
    figure.colorbar(mapped, ax=axes, label=said(shown.metric))
    return mapped.to_rgba


def _ticks(axis: Found) -> list[tuple[float, str]]:
    """Places on a scale of 0 to 1000, and what is there."""
    if axis["type"] == "categorical":
        last = max(1, len(axis["choices"]) - 1)
        return [(1000 * k / last, said(c, 12)) for k, c in enumerate(axis["choices"])]
    return [(0, f"{axis['low']:g}"), (1000, f"{axis['high']:g}")]
