"""What the plots share: how states look, how parameters lie on an axis, and what is said where
there is nothing to draw.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..lines import clean
from ..models import Study

Found = Mapping[str, Any]

FIRST, SECOND, GOOD, BAD, FAINT = "C0", "C1", "C2", "C3", "0.6"

_STATES: Mapping[str, Mapping[str, Any]] = {
    "completed": {"marker": "o", "facecolors": FIRST, "edgecolors": "none"},
    "stopped": {"marker": "s", "facecolors": "none", "edgecolors": SECOND},
    "running": {"marker": "o", "facecolors": "none", "edgecolors": GOOD},
    "paused": {"marker": "D", "facecolors": "none", "edgecolors": "0.4"},
}
"""The states that have a value -> their mark: filled where it is final."""

_UNITS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"))
"""From so many seconds on, in so many seconds, which are called that."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An analysis, and what it is of.

    Attributes:
        found: the service's answer.
        study: whose it is.
        params: what the service was asked with.
    """

    found: Found
    study: Study
    params: Mapping[str, Any]

    @property
    def metric(self) -> str:
        """Name of the metric that it is about."""
        return str(self.params.get("metric") or self.study.metrics[0])

    @property
    def is_declared(self) -> bool:
        """Whether the study declares the metric, so that one end of it is the better one."""
        return self.metric in self.study.metrics

    @property
    def sign(self) -> int:
        """1 where less of the metric is better or nobody knows, else -1."""
        declared = {m["name"]: str(m["direction"]) for m in self.study.definition["metrics"]}
        return -1 if declared.get(self.metric) == "maximize" else 1


def said(text: Any, most: int = 40) -> str:
    """A text of somebody else's as it is, no formula; of a long one the middle is left out."""
    plain = clean(str(text))
    if len(plain) > most:
        half = (most - 3) // 2
        plain = f"{plain[:half]}...{plain[-half:]}"
    return plain.replace("$", r"\$")


def nothing(axes: Any, sentence: str) -> None:
    """Says what is missing, in place of a plot."""
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, textwrap.fill(sentence, 64), ha="center", va="center", transform=axes.transAxes
    )


def by_state(axes: Any, shown: Shown, x: Sequence[Any], columns: Found) -> None:
    """A mark for each trial that has a value, by its state."""
    names = shown.found["states"]
    for name, look in _STATES.items():
        state = names.index(name)
        kept = [
            (at, value)
            for at, value, found in zip(x, columns["value"], columns["state"], strict=True)
            if at is not None and value is not None and found == state
        ]
        if kept:
            axes.scatter(*zip(*kept, strict=True), s=16, alpha=0.7, label=name, **look)


def along(axes: Any, axis: Found, which: str) -> None:
    """Makes an axis ("x" or "y") that of a parameter: its name, its scale, its choices."""
    getattr(axes, f"set_{which}label")(said(axis["param"]))
    if axis["type"] == "categorical":
        choices = axis["choices"]
        getattr(axes, f"set_{which}ticks")(range(len(choices)), [said(c, 16) for c in choices])
        getattr(axes, f"set_{which}lim")(-0.5, len(choices) - 0.5)
    elif axis["log"]:
        getattr(axes, f"set_{which}scale")("log")


def places(values: Iterable[Any], axis: Found) -> list[Any]:
    """Where values lie on the axis of a parameter: a choice at its index; None stays."""
    if axis["type"] != "categorical":
        return list(values)
    return [None if value is None else axis["choices"].index(value) for value in values]


def value_at(share: float, axis: Found) -> float:
    """The value at a share (0 to 1) of a parameter's scale; of a choice its index."""
    if axis["type"] == "categorical":
        return share * (len(axis["choices"]) - 1)
    low, high = float(axis["low"]), float(axis["high"])
    if axis["log"]:
        return float(low * (high / low) ** share)
    return low + share * (high - low)


def label(axes: Any, x: str | None = None, y: str | None = None) -> None:
    """Names the axes that have no name yet; a legend where something has one."""
    if x is not None:
        axes.set_xlabel(x)
    if y is not None:
        axes.set_ylabel(y)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def cut(axes: Any, found: Found) -> None:
    """Cuts the axis of the values where a few wild ones would flatten all others."""
    if (part := found.get("axis")) is not None:
        room = 0.05 * (part["high"] - part["low"]) or 0.05 * abs(part["high"]) or 0.05
        axes.set_ylim(part["low"] - room, part["high"] + room)


def unit_of(seconds: float) -> tuple[float, str]:
    """The unit for an axis that reaches so far, in seconds, and its name."""
    return next(((size, name) for least, size, name in _UNITS if seconds >= least), (1.0, "s"))


def of_trials(found: Found) -> str:
    """How many of the trials are shown, and by which rule."""
    rule = "" if found["sampling"] == "all" else f', by rule "{found["sampling"]}"'
    outside = (found.get("axis") or {}).get("n_outside", 0)
    beyond = f"; {outside} outside" if outside else ""
    return f"{found['n_shown']} of {found['n_total']} trials shown{rule}{beyond}"
