"""`Study.plot`: the plots of the dashboard in a notebook, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..frames import load
from ..models import Study
from . import course, front, parameters, surrogate, values
from .marks import Found, Shown, of_trials, said


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of plot.

    Attributes:
        title: what it shows, in words.
        draw: puts it into a figure.
        takes_metric: whether it may be about another metric than the first objective.
        caption: how much of the study is in it.
    """

    title: str
    draw: Callable[[Shown, Any], None]
    takes_metric: bool = False
    caption: Callable[[Found], str] | None = None


_KINDS: Mapping[str, _Kind] = {
    "history": _Kind("history", values.history, True),
    "curves": _Kind("learning curves", values.curves, True),
    "importance": _Kind("importance", parameters.importance, True, parameters.of_forest),
    "slice": _Kind("slice", parameters.slices, True),
    "contour": _Kind("contour", parameters.contour, True, parameters.of_surface),
    "parallel": _Kind("parallel coordinates", parameters.parallel, True),
    "rungs": _Kind("rungs", course.rungs, caption=course.of_rungs),
    "timeline": _Kind("timeline", course.timeline, caption=course.of_attempts),
    "pareto": _Kind("Pareto front", front.pareto, caption=front.of_front),
    "surrogate": _Kind("surrogate", surrogate.surrogate, True, surrogate.of_the_model),
    "failures": _Kind("failures", course.failures, caption=course.of_failures),
}


def known(kind: str, params: Mapping[str, Any]) -> None:
    """Sees to it that a kind can be drawn, and that matplotlib is there.

    Args:
        kind: an analysis.
        params: what the service is asked with.

    Raises:
        ValueError: it cannot; the text names those that can.
        NotInstalled: matplotlib is not installed.
    """
    if kind not in _KINDS:
        raise ValueError(
            f"{kind!r} cannot be drawn, only {', '.join(_KINDS)}; study.analysis({kind!r}) gives "
            "the columns of any analysis"
        )
    if params.get("metric") is not None and not _KINDS[kind].takes_metric:
        takes = ", ".join(name for name, each in _KINDS.items() if each.takes_metric)
        raise ValueError(f"{kind!r} is about no single metric; those that take one: {takes}")
    load("matplotlib", "plot")


def draw(found: Found, study: Study, params: Mapping[str, Any]) -> Any:
    """The figure of an analysis.

    Args:
        found: the service's answer.
        study: whose it is.
        params: what the service was asked with.
    """
    pyplot = load("matplotlib.pyplot", "plot")
    kind = _KINDS[found["kind"]]
    figure = pyplot.figure(figsize=(7.0, 4.0), layout="constrained")  # inches
    shown = Shown(found, study, params)
    kind.draw(shown, figure)
    of = f" ({said(shown.metric)})" if kind.takes_metric else ""
    caption = (kind.caption or of_trials)(found)
    figure.suptitle(f"{said(study.name, 60)}: {kind.title}{of}\n{caption}", fontsize="medium")
    # A notebook shows the figure that the cell gives; an open one would be shown twice.
    pyplot.close(figure)
    return figure
