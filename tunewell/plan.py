"""What a study will spend, from its definition alone. Uses the service's own checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    study = checked.definition
    size = part("app", "domain.grid_size").grid_points(study.space)
    steps = part("app", "domain.full_training").full_training_steps(
        study.objective, study.space.parameters, list(built_in.values())
    )
    plan = _plan(normal, size, steps)
    plan["brackets"] = brackets_of(normal["early_stopping"])
    warnings = list(checked.warnings)
    return {"faults": [], "warnings": warnings, "enqueued": n_enqueued, **plan}


def _plan(definition: Mapping[str, Any], size: int | None, full: int | None) -> dict[str, Any]:
    limits = definition.get("limits") or {}
    trials = _n_trials(definition, size)
    options = (definition.get("early_stopping") or {}).get("options") or {}
    steps = options.get("max_resource") or full
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
        "definition": definition,
    }


def brackets_of(rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The brackets of one round of Hyperband; empty for the rules that have none.

    Args:
        rule: `early_stopping` of a normalised definition.

    Returns:
        For each bracket its number `s`, the trials `n` and steps `r` at its rungs, and the steps
        that it takes where trials go on from checkpoints (`steps`), where they begin anew at each
        rung (`steps_restarted`) and where all are trained in full (`steps_full`).
    """
    if rule["name"] not in part("app", "domain.ladder").BY_BRACKETS:
        return []
    options = rule["options"]
    table = part("app", "domain.fidelity").brackets(
        options["max_resource"], options["eta"], options["min_resource"]
    )
    cost = part("app", "domain.early_stopping_check").bracket_steps
    return [
        {
            "s": len(table) - 1 - index,
            "n": [row.n for row in rows],
            "r": [row.step for row in rows],
            "steps": cost(rows),
            "steps_restarted": cost(rows, resumed=False),
            "steps_full": rows[0].n * options["max_resource"],
        }
        for index, rows in enumerate(table)
    ]


def _n_trials(definition: Mapping[str, Any], size: int | None) -> int | None:
    bound: int | None = (definition.get("limits") or {}).get("max_trials")
    if definition["suggester"]["name"] != "grid" or size is None:
        return bound
    return size if bound is None else min(size, bound)


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
        ("early stopping", _stopping_text(plan["definition"]["early_stopping"])),
    ]
    if plan["enqueued"]:
        facts.append(("first", f"{plan['enqueued']} points of the file"))
    if plan["max_duration_s"]:
        facts.append(("at most", f"{plan['max_duration_s']:g} s"))
    lines = [f"{name:<15} {text}" for name, text in facts]
    return lines + (_bracket_lines(plan["brackets"]) if plan["brackets"] else [])


def _stopping_text(rule: Mapping[str, Any]) -> str:
    if rule["name"] == "none":
        return "none: every trial runs to its end"
    options = (f"{name} {value}" for name, value in rule["options"].items() if value is not None)
    return f"{rule['name']}: {', '.join(options)}"


def _bracket_lines(brackets: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of trials x steps, and what a round of brackets takes in all."""
    lines = [
        f"bracket s = {b['s']}   "
        + "  ".join(f"{n} x {r}" for n, r in zip(b["n"], b["r"], strict=True))
        + f"   (steps: {b['steps']:,} resumed, {b['steps_restarted']:,} restarted)"
        for b in brackets
    ]
    trials = sum(b["n"][0] for b in brackets)
    resumed, restarted, full = (
        sum(b[name] for b in brackets) for name in ("steps", "steps_restarted", "steps_full")
    )
    total = f"{trials:,} trials, {resumed:,} steps resumed, {restarted:,} restarted"
    return [*lines, f"a round         {total}; {full:,} if all were trained in full"]


def _size_text(size: int | None) -> str:
    return "continuous" if size is None else f"{size:,} points"


def _or_unbounded(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:,}"


def _steps_text(plan: Mapping[str, Any], steps: int | None) -> str:
    if steps is None:
        return "as many as the objective reports"
    total = "" if plan["steps"] is None else f", {plan['steps']:,} in all at most"
    return f"{steps:,} a trial at most{total}"
