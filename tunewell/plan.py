"""What a study will spend, from its definition alone. Uses the service's own checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._parts import part


def plan_of(definition: object, n_enqueued: int) -> dict[str, Any]:
    """The plan of a study.

    Args:
        definition: as in a study file.
        n_enqueued: points of the file that run first.

    Returns:
        `faults` (each `pointer`, `code`, `detail`) and `warnings`; without faults also `name`,
        `objective`, `suggester`, `trials`, `grid_size`, `steps_per_trial`, `steps`, `parallel`,
        `max_duration_s`, `enqueued`, `brackets`, and the normalised `definition`. Numbers that are
        not bounded are None.

    Raises:
        ModuleNotFoundError: the service's part is not installed.
    """
    parsing, errors = part("app", "domain.definition"), part("app", "errors")
    built_in = part("app", "domain.objectives").BUILT_IN
    try:
        checked = parsing.parse_definition(
            definition, draw_seed=lambda: 0, offers=list(built_in.values())
        )
    except errors.InvalidInput as error:
        faults = [{"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in error.faults]
        return {"faults": faults, "warnings": []}
    normal = parsing.definition_to_json(checked.definition)
    size = part("app", "domain.grid_size").grid_points(checked.definition.space)
    plan = _plan(normal, size, built_in)
    warnings = list(checked.warnings)
    return {"faults": [], "warnings": warnings, "enqueued": n_enqueued, **plan}


def _plan(
    definition: Mapping[str, Any], size: int | None, built_in: Mapping[str, Any]
) -> dict[str, Any]:
    limits = definition.get("limits") or {}
    trials = _n_trials(definition, size)
    steps = _steps_per_trial(definition, built_in)
    objective = definition.get("objective")
    return {
        "name": definition["name"],
        "objective": objective["name"] if objective else None,
        "suggester": definition["suggester"]["name"],
        "trials": trials,
        "grid_size": size,
        "steps_per_trial": steps,
        "steps": None if trials is None or steps is None else trials * steps,
        "parallel": limits.get("max_parallel"),
        "max_duration_s": limits.get("max_duration_s"),
        # Every trial runs to its end: there is no early stopping to plan for.
        "brackets": [],
        "definition": definition,
    }


def _n_trials(definition: Mapping[str, Any], size: int | None) -> int | None:
    bound: int | None = (definition.get("limits") or {}).get("max_trials")
    if definition["suggester"]["name"] != "grid" or size is None:
        return bound
    return size if bound is None else min(size, bound)


def _steps_per_trial(definition: Mapping[str, Any], built_in: Mapping[str, Any]) -> int | None:
    """Steps of the longest trial that there can be; None where nothing says."""
    objective = definition.get("objective")
    if not objective or objective["name"] not in built_in:
        return None
    schema = built_in[objective["name"]].options_schema["properties"]
    options = {name: field.get("default") for name, field in schema.items()}
    options.update(objective.get("options") or {})
    if objective["name"] == "mnist-mlp":
        return int(options["epochs"] * options["steps_per_epoch"])
    if objective["name"] == "random-forest":
        return _most_trees(definition, built_in)
    return int(options["steps"])


def _most_trees(definition: Mapping[str, Any], built_in: Mapping[str, Any]) -> int:
    for parameter in definition["space"]:
        if parameter["name"] == "n_estimators":
            if parameter["type"] == "categorical":
                return int(max(parameter["choices"]))
            return int(parameter["high"])
    properties = built_in["random-forest"].params_schema["properties"]
    return int(properties["n_estimators"]["default"])


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """A plan without faults, for people."""
    size, steps = plan["grid_size"], plan["steps_per_trial"]
    facts = [
        ("study", plan["name"]),
        ("objective", plan["objective"] or "none: its clients evaluate the trials"),
        ("suggester", plan["suggester"]),
        ("space", f"{len(plan['definition']['space'])} parameters, {_size_text(size)}"),
        ("trials", _or_unbounded(plan["trials"], "until another limit or a person ends it")),
        ("at once", _or_unbounded(plan["parallel"], "as many as workers have slots")),
        ("steps", _steps_text(plan, steps)),
        ("early stopping", "none: every trial runs to its end"),
    ]
    if plan["enqueued"]:
        facts.append(("first", f"{plan['enqueued']} points of the file"))
    if plan["max_duration_s"]:
        facts.append(("at most", f"{plan['max_duration_s']:g} s"))
    return [f"{name:<15} {text}" for name, text in facts]


def _size_text(size: int | None) -> str:
    return "continuous" if size is None else f"{size:,} points"


def _or_unbounded(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:,}"


def _steps_text(plan: Mapping[str, Any], steps: int | None) -> str:
    if steps is None:
        return "as many as the objective reports"
    total = "" if plan["steps"] is None else f", {plan['steps']:,} in all at most"
    return f"{steps:,} a trial at most{total}"
