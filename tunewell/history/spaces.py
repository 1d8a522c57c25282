"""Optuna's distributions as parameters of a search space."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_FLOATS = ("FloatDistribution", "UniformDistribution", "LogUniformDistribution",
           "DiscreteUniformDistribution")  # fmt: skip
_LOGS = ("LogUniformDistribution", "IntLogUniformDistribution")


def outer_value(distribution: Mapping[str, Any], inner: float) -> Any:
    """A parameter's value from the number that Optuna keeps for it."""
    name, attributes = distribution["name"], distribution["attributes"]
    if name == "CategoricalDistribution":
        return choice(attributes["choices"][int(inner)])
    return float(inner) if name in _FLOATS else int(inner)


def choice(value: Any) -> Any:
    """A choice as a study can have it: text, number or truth value; others by their JSON."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return "None" if value is None else json.dumps(value, sort_keys=True)


def merged_space(
    used: Sequence[Mapping[str, Mapping[str, Any]]],
) -> tuple[list[dict[str, Any]], list[str]]:
    """The space that a study's trials were drawn from, and what there is to say of it.

    Args:
        used: the distributions of each trial, by parameter.

    Returns:
        Parameters as a definition has them, over all that trials have drawn from; and notes.
    """
    found: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    widened: set[str] = set()
    for distributions in used:
        for name, distribution in distributions.items():
            parameter = _parameter(name, distribution)
            known = found.setdefault(name, parameter)
            counts[name] = counts.get(name, 0) + 1
            if known != parameter:
                widened.add(name)
                found[name] = _widest(known, parameter)
    n_most = max(counts.values(), default=0)
    partial = sorted(name for name, n in counts.items() if n < n_most)
    notes = [f"the range of {name} is the widest that trials had" for name in sorted(widened)]
    if partial:
        notes.append(
            f"not every trial has {', '.join(partial)}: a study that has them only under a "
            "condition takes all trials (--definition prints one to begin with)"
        )
    return [_with_room(parameter) for parameter in found.values()], notes


def _with_room(parameter: dict[str, Any]) -> dict[str, Any]:
    """A parameter as it is; one with a single value, which Optuna's ranges may have, as a choice:
    a range of ours is not empty.
    """
    if parameter["type"] == "categorical" or parameter["low"] < parameter["high"]:
        return parameter
    return {"name": parameter["name"], "type": "categorical", "choices": [parameter["low"]]}


def _parameter(name: str, distribution: Mapping[str, Any]) -> dict[str, Any]:
    kind, attributes = distribution["name"], distribution["attributes"]
    if kind == "CategoricalDistribution":
        choices = [choice(value) for value in attributes["choices"]]
        return {"name": name, "type": "categorical", "choices": choices}
    is_float = kind in _FLOATS
    parameter = {
        "name": name,
        "type": "float" if is_float else "int",
        "low": attributes["low"],
        "high": attributes["high"],
    }
    if attributes.get("log") or kind in _LOGS:
        parameter["log"] = True
    step = attributes.get("step", attributes.get("q"))
    if step is not None and not parameter.get("log") and (is_float or step != 1):
        parameter["step"] = step
    return parameter


def _widest(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    if one["type"] == "categorical" and other["type"] == "categorical":
        return {**one, "choices": list(dict.fromkeys([*one["choices"], *other["choices"]]))}
    if one["type"] == "categorical" or other["type"] == "categorical":
        return dict(one)
    low, high = min(one["low"], other["low"]), max(one["high"], other["high"])
    # A grid that two ranges do not share is none.
    kept = {k: v for k, v in one.items() if k != "step" or other.get("step") == v}
    return {**kept, "low": low, "high": high}
