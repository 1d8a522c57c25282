"""What the suggester believes along one parameter, and where it would look next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .marks import (
    FAINT,
    FIRST,
    GOOD,
    SECOND,
    Found,
    Shown,
    along,
    by_state,
    label,
    nothing,
    places,
    said,
)

_GAINS = {"log_ei": "log of the\nexpected gain", "log l - log g": "log of\ngood / other"}
"""What a suggester looks for -> its name on an axis."""
_LOG_REACH = 20.0
"""A gain that is so many e-folds below the largest is none."""


def of_the_model(found: Found) -> str:
    """Which model it is, of how many trials, through which."""
    through = "" if found["at"] is None else f"; all else as in trial {found['at']}"
    if not found["columns"]["x"]:
        return f"{said(found['suggester'])}{through}"
    return f"{said(found['model'])} on {found['n_used']} of {found['n_total']} trials{through}"


def surrogate(shown: Shown, figure: Any) -> None:
    """Mean and standard deviation (of two densities: both) along a parameter, the trials near that
    line, and below what the suggester looks for.
    """
    found, axis = shown.found, shown.found["axes"][0]
    columns = found["columns"]
    if not columns["x"]:
        why = found["why"] or "the model is fitted when a few more trials have values"
        return nothing(figure.subplots(), said(why, 300))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    x = places(columns["x"], axis)
    is_line = axis["type"] != "categorical"
    if any(value is not None for value in columns["below"]):
        _one(above, x, columns["below"], is_line, color=GOOD, label="good trials")
        _one(above, x, columns["above"], is_line, color=FAINT, label="other trials")
        label(above, y="density")
    else:
        _prediction(above, x, columns, is_line)
        near = found["near"]
        by_state(above, shown, places(near["x"], axis), near)
        label(above, y=said(shown.metric))
    _one(below, x, columns["acquisition"], is_line, color=SECOND)
    name = found["acquisition_name"] or ""
    label(below, y=_GAINS.get(name, name.replace("_", " ")))
    if name.startswith("log_"):
        _floor(below, [value for value in columns["acquisition"] if value is not None])
    along(below, axis, "x")
    return None


def _floor(axes: Any, gains: Sequence[float]) -> None:
    """Cuts what is no gain off."""
    if gains and min(gains) < max(gains) - _LOG_REACH:
        axes.set_ylim(max(gains) - _LOG_REACH, max(gains) + 0.05 * _LOG_REACH)


def _prediction(axes: Any, x: Sequence[Any], columns: Found, is_line: bool) -> None:
    kept = [
        (at, mean, sd)
        for at, mean, sd in zip(x, columns["mean"], columns["sd"], strict=True)
        if mean is not None and sd is not None
    ]
    at = [each[0] for each in kept]
    low, high = [m - s for _, m, s in kept], [m + s for _, m, s in kept]
    _one(axes, at, [m for _, m, _ in kept], is_line, color=FIRST, label="expected")
    if is_line:
        axes.fill_between(at, low, high, color=FIRST, alpha=0.18, label="± 1 sd")
    else:
        axes.vlines(at, low, high, color=FIRST, linewidth=2, label="± 1 sd")


def _one(axes: Any, x: Sequence[Any], y: Sequence[Any], is_line: bool, **look: Any) -> None:
    """A line; choices have no way between them: marks."""
    none = float("nan")
    how = {} if is_line else {"linestyle": "none", "marker": "_", "markersize": 16}
    axes.plot(x, [none if value is None else value for value in y], **how, **look)
