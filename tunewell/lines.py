"""Trials and numbers as one line of text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def cell(value: Any) -> str:
    """One value as people read it; control characters of names are not sent to the terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    text = value if isinstance(value, str) else str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def number(value: Any) -> str:
    """A number with four significant digits, an integer in full."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return cell(value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.4g}"


def trial_line(trial: Mapping[str, Any], definition: Mapping[str, Any]) -> str:
    """A trial in one line: number, parameters, values, and what became of it if not completed."""
    parts = [f"trial {trial['number']}"]
    names = [p["name"] for p in definition["space"] if p["name"] in trial["params"]]
    parts += [f"{name} {number(trial['params'][name])}" for name in names]
    for metric in definition["metrics"]:
        value = trial["values"].get(metric["name"])
        if value is not None:
            parts.append(f"{metric['name']} {number(value)}")
    if trial["state"] != "completed":
        failure = trial.get("failure")
        parts.append(f"{trial['state']}: {failure['message']}" if failure else trial["state"])
    return "  ".join(parts)
