"""Parameters as the axes of a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..domain.space import CategoricalParameter, Parameter, Params
from .axes import places_of
from .table import Floats


def described(parameter: Parameter) -> dict[str, Any]:
    """What a plot has to know of a parameter."""
    if isinstance(parameter, CategoricalParameter):
        return {
            "param": parameter.name,
            "type": "categorical",
            "log": False,
            "choices": list(parameter.choices),
        }
    return {
        "param": parameter.name,
        "type": "int" if isinstance(parameter.low, int) else "float",
        "log": parameter.log,
        "low": parameter.low,
        "high": parameter.high,
    }


def along(parameter: Parameter, points: Sequence[Params]) -> Floats:
    """How far along its axis each point lies, 0 to 1, choices in equal steps; NaN where the
    parameter is not active.
    """
    found = places_of(parameter, points)
    if isinstance(parameter, CategoricalParameter):
        return found / max(1, len(parameter.choices) - 1)
    return found
