"""What a study will spend, from its definition alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._parts import part
from .client import Client
from .errors import ApiError


def plan_of(
    definition: Mapping[str, Any], n_enqueued: int, *, url: str | None, token: str | None
) -> dict[str, Any]:
    """The plan of a study: `lines` for people, `warnings`, `faults`, and the numbers behind them.

    Uses the service's own checks: those of this installation, or of a service when only the
    client is installed.
    """
    checked, warnings, faults = _check(definition, url, token)
    plan: dict[str, Any] = {"lines": [], "warnings": warnings, "faults": faults}
    if faults or checked is None:
        plan["lines"] = [f"{len(faults)} faults in the definition; nothing would be created"]
        return plan
    limits = checked.get("limits") or {}
    size = grid_size(checked["space"])
    trials = _trials(checked, size)
    plan.update(name=checked["name"], max_trials=trials, grid_size=size, definition=checked)
    objective = checked.get("objective")
    suggester = checked["suggester"]
    lines = [
        f"study       {checked['name']}",
        f"objective   {objective['name'] if objective else 'evaluated by its clients'}",
        f"suggester   {suggester['name']}",
        f"space       {len(checked['space'])} parameters, {_size_text(size)}",
        f"trials      {trials if trials is not None else 'no bound: set limits.max_trials'}",
    ]
    if n_enqueued:
        lines.append(f"first       {n_enqueued} points of the file")
    if limits.get("max_parallel"):
        lines.append(f"at once     {limits['max_parallel']}")
    if limits.get("max_duration_s"):
        lines.append(f"at most     {limits['max_duration_s']:g} s")
    plan["lines"] = lines
    return plan


def grid_size(space: list[Mapping[str, Any]]) -> int | None:
    """Distinct values of all parameters multiplied; None with a continuous one.

    Conditions only make it smaller: it is an upper bound then.
    """
    size = 1
    for parameter in space:
        if parameter["type"] == "categorical":
            size *= len(parameter["choices"])
            continue
        step = parameter.get("step") or (1 if parameter["type"] == "int" else None)
        if step is None:
            return None
        size *= int((parameter["high"] - parameter["low"]) / step + 1e-9) + 1
    return size


def _trials(definition: Mapping[str, Any], size: int | None) -> int | None:
    bound: int | None = (definition.get("limits") or {}).get("max_trials")
    if definition["suggester"]["name"] != "grid" or size is None:
        return bound
    return size if bound is None else min(size, bound)


def _size_text(size: int | None) -> str:
    return "continuous" if size is None else f"at most {size:,} points"


def _check(
    definition: Mapping[str, Any], url: str | None, token: str | None
) -> tuple[Mapping[str, Any] | None, list[str], list[dict[str, str]]]:
    try:
        parsing = part("app", "domain.definition")
        errors = part("app", "errors")
    except ModuleNotFoundError:
        return _check_by_service(definition, url, token)
    built_in = part("app", "domain.objectives").BUILT_IN
    try:
        checked = parsing.parse_definition(
            definition, draw_seed=lambda: 0, offers=list(built_in.values())
        )
    except errors.InvalidInput as error:
        faults = [{"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in error.faults]
        return None, [], faults
    return parsing.definition_to_json(checked.definition), list(checked.warnings), []


def _check_by_service(
    definition: Mapping[str, Any], url: str | None, token: str | None
) -> tuple[Mapping[str, Any] | None, list[str], list[dict[str, str]]]:
    with Client(url, token, retries=1) as client:
        try:
            checked = client.create_study(definition, dry_run=True)
        except ApiError as error:
            if error.code != "invalid-study":
                raise
            return None, [], error.faults
    return checked["definition"], list(checked["warnings"]), []
