"""What is traded for what: the front of several objectives, and how it has moved."""

from __future__ import annotations

from typing import Any

from ..lines import number
from .marks import BAD, FAINT, FIRST, SECOND, Found, Shown, label, nothing, said


def of_front(found: Found) -> str:
    """How many trials there are, and how many of them on the front."""
    n_front = sum(map(bool, found["columns"]["on_front"]))
    breaks = f"; {found['n_infeasible']} break a constraint" if found["n_infeasible"] else ""
    return f"{found['n_shown']} of {found['n_total']} trials shown; {n_front} on the front{breaks}"


def pareto(shown: Shown, figure: Any) -> None:
    """The trials by their first two objectives (a third is a mark's size), the front among them;
    beside it the hypervolume over trials.
    """
    found = shown.found
    if len(found["metrics"]) < 2:
        text = "A front takes two objectives, this study has one: its best is study.best."
        return nothing(figure.subplots(), text)
    if not found["columns"]["number"]:
        text = "No trial has all its values yet. The first mark appears when one completes."
        return nothing(figure.subplots(), text)
    figure.set_figwidth(1.4 * figure.get_figwidth())
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _front(left, found)
    _hypervolume(right, found)
    return None


def _front(axes: Any, found: Found) -> None:
    columns = found["columns"]
    rows = zip(
        columns["v0"], columns["v1"], columns["on_front"], columns["is_feasible"], _sizes(found),
        strict=True,
    )  # fmt: skip
    groups: dict[str, list[tuple[float, float, float]]] = {}
    for x, y, is_on_front, is_feasible, size in rows:
        if x is not None and y is not None:
            name = "on the front" if is_on_front else "beaten by another"
            groups.setdefault(name if is_feasible else "breaks a constraint", []).append(
                (x, y, size)
            )
    for name, marker, color in (
        ("beaten by another", "o", FAINT), ("breaks a constraint", "x", BAD),
        ("on the front", "o", FIRST),
    ):  # fmt: skip
        if name in groups:
            axes.scatter(*zip(*groups[name], strict=True), marker=marker, color=color, label=name)
    if len(found["metrics"]) == 2:
        # The corner between two neighbours lies on the side that both beat.
        where = "post" if found["metrics"][0]["direction"] == "minimize" else "pre"
        line = sorted(groups.get("on the front", []))
        axes.step([at[0] for at in line], [at[1] for at in line], where=where, color=FIRST)
    label(axes, _axis(found["metrics"][0]), _axis(found["metrics"][1]))


def _axis(metric: Found) -> str:
    better = "more" if metric["direction"] == "maximize" else "less"
    return f"{said(metric['name'], 28)} ({better} is better)"


def _sizes(found: Found) -> list[float]:
    """Areas of the marks: with a third objective the larger the better."""
    columns = found["columns"]
    if len(found["metrics"]) < 3:
        return [26.0 if is_on_front else 14.0 for is_on_front in columns["on_front"]]
    third = [0.0 if value is None else value for value in columns["v2"]]
    low, high = min(third), max(third)
    shares = [(value - low) / (high - low) if high > low else 0.5 for value in third]
    if found["metrics"][2]["direction"] == "minimize":
        shares = [1 - share for share in shares]
    return [10 + 90 * share for share in shares]


def _hypervolume(axes: Any, found: Found) -> None:
    volume = found["hypervolume"]
    if not volume["value"]:
        why = found["why"] or "no reference point yet: it takes two trials that differ in each"
        return nothing(axes, why)
    x = [*volume["number"], max(found["n_total"], volume["number"][-1])]
    axes.step(x, [*volume["value"], volume["value"][-1]], where="post", color=SECOND)
    corner = ", ".join(number(value) for value in found["reference"])
    axes.set_title(f"up to ({corner})", fontsize="small")
    return label(axes, "trial", "hypervolume")
