"""Which trials of a study a person picks: ranges and choices of what trials have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import InvalidInput
from .checking import Faults, shown
from .space import Choice
from .trial import TrialState

OWN = ("value", "number", "state")
"""Names of what every trial has."""
PARAM = "param:"
"""What an order by a parameter begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeFilter:
    """A number in [low, high]; None is no bound."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesFilter:
    """One of some values."""

    choices: tuple[Choice, ...]


WhereFilter: TypeAlias = RangeFilter | ChoicesFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What all of a trial's parts have to keep.

    Attributes:
        params: by parameter name; a trial without the parameter is left out.
        value: of the final value of the first objective; one without it is left out.
        number: of the trial's number.
        states: one of these; all when empty.
    """

    params: Mapping[str, WhereFilter] = field(default_factory=dict)
    value: RangeFilter | None = None
    number: RangeFilter | None = None
    states: tuple[TrialState, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it leaves out no trial."""
        return self == Selection()

    def key(self) -> list[object]:
        """All of it as JSON values, equal for equal selections."""
        params = {name: repr(rule) for name, rule in self.params.items()}
        return [params, repr(self.value), repr(self.number), sorted(self.states)]


def check_names(known: Sequence[str], where: Selection, order_by: str = "") -> None:
    """Sees to it that a selection and an order name parameters that there are.

    Args:
        known: names of the study's parameters.
        order_by: as trial lists take it.

    Raises:
        InvalidInput: at `/where` or `/order_by`, with near misses.
    """
    faults = Faults()
    ordered = order_by.removeprefix("-")
    named = [("/where", name, (*known, *OWN)) for name in where.params]
    if ordered.startswith(PARAM):
        named.append(("/order_by", ordered.removeprefix(PARAM), tuple(known)))
    for pointer, name, words in named:
        if name not in known:
            detail = f"There is no parameter {shown(name)}{faults.near_miss(name, words)}"
            faults.add(pointer, "unknown-parameter", detail)
    if len(faults):
        raise InvalidInput(" ".join(fault.detail for fault in faults.items), faults=faults.items)
