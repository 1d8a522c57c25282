"""The normalised JSON of a study definition: every default filled in; it parses to the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .space import (
    CategoricalParameter,
    Condition,
    IntParameter,
    LinearConstraint,
    Parameter,
)
from .study import Limits, Metric, StudyDefinition


def definition_to_json(definition: StudyDefinition) -> dict[str, Any]:
    """A study definition as JSON values, ready for `json.dumps`; null where a bound is not set."""
    objective = definition.objective
    return {
        "name": definition.name,
        "description": definition.description,
        "objective": None
        if objective is None
        else {"name": objective.name, "options": dict(objective.options)},
        "metrics": [_metric(metric) for metric in definition.metrics],
        "space": [parameter_to_json(parameter) for parameter in definition.space.parameters],
        "constraints": [_constraint(item) for item in definition.space.constraints],
        "suggester": {
            "name": definition.suggester.name,
            "seed": definition.suggester.seed,
            "options": dict(definition.suggester.options),
        },
        "early_stopping": {
            "name": definition.early_stopping.name,
            "options": dict(definition.early_stopping.options),
        },
        "limits": limits_to_json(definition.limits),
        "failure_policy": asdict(definition.failure_policy),
        "resources": asdict(definition.resources),
        "labels": dict(definition.labels),
        "priority": definition.priority,
        "webhook": None if definition.webhook is None else {"url": definition.webhook.url},
    }


def _metric(metric: Metric) -> dict[str, Any]:
    return {
        "name": metric.name,
        "direction": metric.direction.value,
        "role": metric.role,
        "threshold": metric.threshold,
    }


def parameter_to_json(parameter: Parameter) -> dict[str, Any]:
    """A parameter with every field of its type; null where it has no default or condition."""
    head: dict[str, Any] = {"name": parameter.name}
    if isinstance(parameter, CategoricalParameter):
        head |= {
            "type": "categorical",
            "choices": list(parameter.choices),
            "ordered": parameter.ordered,
        }
    else:
        head |= {
            "type": "int" if isinstance(parameter, IntParameter) else "float",
            "low": parameter.low,
            "high": parameter.high,
            "log": parameter.log,
            "step": parameter.step,
        }
    return head | {"default": parameter.default, "when": _condition(parameter.when)}


def _condition(when: Condition | None) -> dict[str, Any] | None:
    if when is None:
        return None
    if when.choices is not None:
        return {"param": when.param, "in": list(when.choices)}
    return {"param": when.param, "low": when.low, "high": when.high}


def _constraint(constraint: LinearConstraint) -> dict[str, Any]:
    return {"terms": dict(constraint.terms), "op": constraint.op, "bound": constraint.bound}


def limits_to_json(limits: Limits) -> dict[str, Any]:
    """All limits, null for those that are not set."""
    return asdict(limits)
