"""Checks a study's early-stopping rule against its objective and its limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .checking import Faults, shown
from .fidelity import BracketRung, brackets
from .full_training import full_training_steps
from .ladder import BY_BRACKETS
from .objective_check import Offers, known_offers
from .space import Parameter
from .study import EarlyStoppingRef, ObjectiveRef, StudyDefinition

NEED_MAX_RESOURCE = frozenset({"asha", "hyperband", "bohb", "auto"})
"""Rules whose rungs are counted from a full training, so that its length has to be known."""

FEWEST_TREES = 40
"""Forests smaller than this are not yet in the order that they end in."""


def check_early_stopping(
    rule: EarlyStoppingRef,
    objective: ObjectiveRef | None,
    parameters: Sequence[Parameter],
    pointer: str,
    faults: Faults,
    offers: Offers,
) -> EarlyStoppingRef:
    """The rule with `max_resource` filled in where the objective says it; faults are noted.

    Args:
        rule: with options that are each within their own range.
        objective: the study's objective, or None.
        parameters: of the space.
        pointer: of the rule.
        faults: where faults go.
        offers: what workers offer; None: the objective is not looked at.
    """
    if rule.name == "none" or "min_resource" not in rule.options:
        return rule
    if objective is not None and _reports_no_steps(objective, offers):
        detail = f"{rule.name} needs reports by step, and {shown(objective.name)} makes none."
        faults.add(f"{pointer}/name", "objective-without-steps", detail)
    known = full_training_steps(objective, parameters, offers)
    options = dict(rule.options)
    if options["max_resource"] is None:
        options["max_resource"] = known
    _check_steps(rule.name, options, known, pointer, faults)
    return EarlyStoppingRef(name=rule.name, options=options)


def _reports_no_steps(objective: ObjectiveRef, offers: Offers) -> bool:
    known = known_offers(objective.name, offers)
    return bool(known) and all(not o.steps and o.max_resource is None for o in known)


def _check_steps(
    name: str, options: Mapping[str, Any], known: int | None, pointer: str, faults: Faults
) -> None:
    low, high = options["min_resource"], options["max_resource"]
    at = f"{pointer}/options"
    if high is None:
        if name in NEED_MAX_RESOURCE:
            detail = f"{name} needs max_resource: nothing says how long a full training is."
            faults.add(f"{at}/max_resource", "max-resource-unknown", detail)
        return
    if known is not None and high > known:
        detail = f"A full training of the objective has {known:,} steps, found {high:,}."
        faults.add(f"{at}/max_resource", "max-resource-too-large", detail)
    if low is not None and low > high:
        detail = f"min_resource may be max_resource, {high:,}, at most, found {low:,}."
        faults.add(f"{at}/min_resource", "min-above-max-resource", detail)


def early_stopping_warnings(definition: StudyDefinition, offers: Offers) -> list[str]:
    """What a person should know of the rule before he submits the study."""
    if definition.early_stopping.name == "none":
        return []
    return [
        *_objective_warnings(definition, offers),
        *_length_warnings(definition.early_stopping),
        *_budget_warnings(definition),
    ]


def _objective_warnings(definition: StudyDefinition, offers: Offers) -> list[str]:
    found, objective = [], definition.objective
    name, options = definition.early_stopping.name, definition.early_stopping.options
    if objective is not None and offers is not None and not known_offers(objective.name, offers):
        what = f"Nothing is known yet of the steps of {shown(objective.name)}"
        found.append(f"{what}: {name} stops no trial that reports none.")
    if len(definition.objectives) > 1:
        first = shown(definition.objectives[0].name)
        found.append(f"{name} compares trials by the first objective alone, {first}.")
    is_forest = objective is not None and objective.name == "random-forest"
    if is_forest and options["min_resource"] < FEWEST_TREES:
        what = f"min_resource {options['min_resource']}: the order of forests of fewer than"
        found.append(f"{what} {FEWEST_TREES} trees is misleading.")
    return found


def _length_warnings(rule: EarlyStoppingRef) -> list[str]:
    low, high = rule.options["min_resource"], rule.options["max_resource"]
    if high is None or low < high:
        return []
    what = "There is no step before max_resource at which a trial may be judged"
    return [f"{what}: {rule.name} stops nothing."]


def _budget_warnings(definition: StudyDefinition) -> list[str]:
    rule, limits = definition.early_stopping, definition.limits
    options = rule.options
    if rule.name == "asha" and limits.max_trials is not None and limits.max_trials < options["eta"]:
        what = f"max_trials {limits.max_trials} is smaller than eta {options['eta']}"
        return [f"{what}: no rung will have enough results for one trial to go on."]
    if rule.name not in BY_BRACKETS:
        return []
    first = brackets(options["max_resource"], options["eta"], options["min_resource"])[0]
    return _bracket_warnings(definition, first)


def _bracket_warnings(definition: StudyDefinition, first: Sequence[BracketRung]) -> list[str]:
    found, limits, n = [], definition.limits, first[0].n
    if limits.max_trials is not None and limits.max_trials < n:
        what = f"max_trials {limits.max_trials} does not fill the first bracket"
        found.append(f"{what}, which begins with {n:,} trials.")
    steps = bracket_steps(first)
    if limits.max_resource_total is not None and limits.max_resource_total < steps:
        what = f"max_resource_total {limits.max_resource_total:,} does not pay for the first"
        found.append(f"{what} bracket, which takes {steps:,} steps.")
    if limits.max_parallel is not None and limits.max_parallel > n:
        what = f"max_parallel {limits.max_parallel} is larger than the first rung of {n:,} trials"
        found.append(f"{what}: trials of later brackets begin before it has decided.")
    return found


def bracket_steps(rows: Sequence[BracketRung], *, resumed: bool = True) -> int:
    """Steps that a bracket takes.

    Args:
        rows: its rungs.
        resumed: whether a trial goes on from its checkpoint; else each rung is trained from
            nought.
    """
    total, before = 0, 0
    for row in rows:
        total += row.n * (row.step - before if resumed else row.step)
        before = row.step
    return total
