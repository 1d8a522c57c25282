"""Parameters as axes: their scale, and the places of values on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..domain.space import CategoricalParameter, Parameter, Value
from .table import Floats


def axis(parameter: Parameter) -> dict[str, Any]:
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


def places(parameter: Parameter, params: Sequence[Mapping[str, Value]]) -> Floats:
    """Places from 0 to 1 on the parameter's own scale, a choice's by its index; NaN where it is
    not active.
    """
    name = parameter.name
    if isinstance(parameter, CategoricalParameter):
        last = max(1, len(parameter.choices) - 1)
        index = {_key(choice): at / last for at, choice in enumerate(parameter.choices)}
        found = [
            index.get(_key(point[name]), math.nan) if name in point else math.nan
            for point in params
        ]
        return np.array(found, dtype=np.float64)
    raw = np.array([point.get(name, math.nan) for point in params], dtype=np.float64)
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        with np.errstate(invalid="ignore", divide="ignore"):
            raw, low, high = np.log(raw), math.log(low), math.log(high)
    return (raw - low) / (high - low)


def _key(choice: Value) -> tuple[str, Value]:
    """1, 1.0 and True are different choices."""
    return type(choice).__name__, choice
