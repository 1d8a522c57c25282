"""Checks and normalises one value of one parameter."""

from __future__ import annotations

from typing import cast

from .checking import Faults, as_float, as_integer, listed, shown
from .space import (
    CategoricalParameter,
    Choice,
    FloatParameter,
    IntParameter,
    Parameter,
    Value,
    n_values,
    same_value,
)

STEP_TOLERANCE = 1e-9
"""How far from a step, in steps, a value may lie and still be taken for it."""


def check_value(
    parameter: Parameter, value: object, pointer: str, faults: Faults, *, prefix: str = ""
) -> Value | None:
    """The value as the parameter keeps it, or None with a fault.

    An integer given as 3.0 becomes 3, a float given as 3 becomes 3.0, a value within
    `STEP_TOLERANCE` of a step becomes that step, a choice becomes the declared one.

    Args:
        parameter: what the value is for.
        value: the value as it came.
        pointer: where it stands.
        faults: where a fault goes.
        prefix: stands before the fault codes out-of-range, off-step and not-a-choice.
    """
    if isinstance(parameter, CategoricalParameter):
        return _choice(parameter, value, pointer, faults, prefix)
    if isinstance(parameter, IntParameter):
        return _integer(parameter, value, pointer, faults, prefix)
    return _real(parameter, value, pointer, faults, prefix)


def choice_key(value: object) -> tuple[bool, object]:
    """A key that is equal for equal choices only: True and 1 differ, 1 and 1.0 do not."""
    is_scalar = isinstance(value, (str, int, float))
    return isinstance(value, bool), value if is_scalar else id(value)


def choice_index(parameter: CategoricalParameter) -> dict[tuple[bool, object], Choice]:
    """The choices of a parameter by their key."""
    return {choice_key(choice): choice for choice in parameter.choices}


def _choice(
    parameter: CategoricalParameter, value: object, pointer: str, faults: Faults, prefix: str
) -> Value | None:
    for choice in parameter.choices:
        if same_value(choice, value):
            return choice
    miss = faults.near_miss(value, [c for c in parameter.choices if isinstance(c, str)])
    rule = f"{shown(value)} is no choice of {shown(parameter.name)}{miss}"
    known = f" Choices: {listed(parameter.choices)}."
    faults.add(pointer, f"{prefix}not-a-choice", rule + known)
    return None


def _integer(
    parameter: IntParameter, value: object, pointer: str, faults: Faults, prefix: str
) -> int | None:
    number = as_integer(value, pointer, faults)
    if number is None or not _is_inside(parameter, number, pointer, faults, prefix):
        return None
    if (number - parameter.low) % parameter.step:
        _off_step(parameter, number, pointer, faults, prefix)
        return None
    return number


def _real(
    parameter: FloatParameter, value: object, pointer: str, faults: Faults, prefix: str
) -> float | None:
    number = as_float(value, pointer, faults)
    if number is None:
        return None
    if parameter.step is not None:
        snapped = snap(parameter, number)
        if snapped is not None:
            return snapped
    if not _is_inside(parameter, number, pointer, faults, prefix):
        return None
    if parameter.step is not None:
        _off_step(parameter, number, pointer, faults, prefix)
        return None
    return number


def snap(parameter: FloatParameter, number: float) -> float | None:
    """The step of a stepped parameter that a number stands for; None when it stands for none."""
    step, count = parameter.step or 0.0, n_values(parameter)
    if step <= 0.0 or count is None:
        return None
    position = (number - parameter.low) / step
    if not -1.0 < position < count:
        return None
    index = round(position)
    # Beside the tolerance in steps, allow for the rounding of the number itself.
    rounding = 4.0 * 2.0**-52 * max(abs(number), abs(parameter.low)) / step
    if not 0 <= index < count or abs(position - index) > STEP_TOLERANCE + min(rounding, 0.25):
        return None
    return min(parameter.low + index * step, parameter.high)


def _is_inside(
    parameter: FloatParameter | IntParameter,
    number: float,
    pointer: str,
    faults: Faults,
    prefix: str,
) -> bool:
    if parameter.low <= number <= parameter.high:
        return True
    bounds = f"[{parameter.low}, {parameter.high}]"
    rule = f"{shown(parameter.name)} must lie in {bounds}, found {shown(number)}."
    faults.add(pointer, f"{prefix}out-of-range", rule)
    return False


def _off_step(
    parameter: FloatParameter | IntParameter,
    number: float,
    pointer: str,
    faults: Faults,
    prefix: str,
) -> None:
    steps = f"{parameter.low} + k * {cast(float, parameter.step)}"
    rule = f"{shown(parameter.name)} must be one of {steps}, found {shown(number)}."
    faults.add(pointer, f"{prefix}off-step", rule)
