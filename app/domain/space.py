"""The search space as plain values: parameters, conditions, known linear constraints.

Parsing and checking a definition is `definition.py`; mapping points to the unit cube is
`app/suggest/encode.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Choice: TypeAlias = str | int | float | bool
Value: TypeAlias = str | int | float | bool
Params: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """When a parameter is active: its parent is active and has one of `choices`, or lies in [low,
    high].

    Attributes:
        param: name of a parameter that stands earlier in the space.
        choices: values of the parent that switch the parameter on, or None for a numeric range.
        low: lower bound of a numeric parent, inclusive; None for unbounded.
        high: upper bound of a numeric parent, inclusive; None for unbounded.
    """

    param: str
    choices: tuple[Choice, ...] | None = None
    low: float | None = None
    high: float | None = None

    def holds(self, params: Params) -> bool:
        """Whether the condition holds for a point that already has the earlier parameters."""
        if self.param not in params:
            return False
        value = params[self.param]
        if self.choices is not None:
            return any(same_value(value, choice) for choice in self.choices)
        if isinstance(value, (str, bool)):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatParameter:
    """A real number in [low, high]; with `step` one of low, low + step, ...; with `log` modelled
    on ln.
    """

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntParameter:
    """An integer in [low, high]; with `step` one of low, low + step, ...; with `log` modelled on
    ln.
    """

    name: str
    low: int
    high: int
    log: bool = False
    step: int = 1
    default: int | None = None
    when: Condition | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalParameter:
    """One of `choices`; `ordered` says that their order carries meaning."""

    name: str
    choices: tuple[Choice, ...]
    ordered: bool = False
    default: Choice | None = None
    when: Condition | None = None


Parameter: TypeAlias = FloatParameter | IntParameter | CategoricalParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearConstraint:
    """Known linear constraint: sum of coefficient * parameter `op` bound; an inactive parameter
    counts as 0.

    Attributes:
        op: "<=", ">=" or "==".
        rounding: how far a sum may miss the bound even if all its parts are small, since a value
            between the ends of a range is no more exact than the ends.
    """

    terms: Mapping[str, float]
    op: str
    bound: float
    rounding: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The parameters in their declared order; a condition only looks at parameters that stand
    earlier.
    """

    parameters: tuple[Parameter, ...]
    constraints: tuple[LinearConstraint, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters, in order."""
        return tuple(p.name for p in self.parameters)


def same_value(a: object, b: object) -> bool:
    """Equality that keeps True and 1 apart (Python holds them equal) but not 1 and 1.0."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def is_active(parameter: Parameter, params: Params) -> bool:
    """Whether a parameter is active in a point that already has the earlier parameters."""
    return parameter.when is None or parameter.when.holds(params)


def n_values(parameter: Parameter) -> int | None:
    """How many values a parameter can take; None for a continuous one (a float without step, low
    < high).
    """
    if isinstance(parameter, CategoricalParameter):
        return len(parameter.choices)
    if parameter.low == parameter.high:
        return 1
    if parameter.step is None:
        return None
    return int((parameter.high - parameter.low) / parameter.step + 1e-9) + 1


def values_of(parameter: Parameter) -> Sequence[Value] | None:
    """All values of a parameter in order; None for a continuous one."""
    if isinstance(parameter, CategoricalParameter):
        return parameter.choices
    count = n_values(parameter)
    if count is None:
        return None
    if isinstance(parameter, IntParameter):
        return range(
            parameter.low, parameter.low + (count - 1) * parameter.step + 1, parameter.step
        )
    step = parameter.step or 0.0
    return tuple(min(parameter.low + k * step, parameter.high) for k in range(count))


def point_key(params: Params) -> str:
    """A text that is equal for equal points only; numbers by value, so 1 and 1.0 are the same
    point.
    """
    parts = []
    for name in sorted(params):
        value = params[name]
        shown = repr(value) if isinstance(value, (str, bool)) else repr(float(value))
        parts.append(f"{name}={shown}")
    return ";".join(parts)
