"""Every documented bound on the size of a study definition: for the checks and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLimit:
    """A bound: the largest accepted `value`, and one sentence on what is counted."""

    value: int
    help: str


SIZE_LIMITS: Mapping[str, SizeLimit] = MappingProxyType(
    {
        "name_chars": SizeLimit(
            value=200, help="Characters of a study's, parameter's, metric's or objective's name."
        ),
        "string_chars": SizeLimit(value=1_000, help="Characters of a choice that is a string."),
        "description_chars": SizeLimit(value=10_000, help="Characters of a description."),
        "url_chars": SizeLimit(value=2_000, help="Characters of a webhook's URL."),
        "parameters": SizeLimit(value=100, help="Parameters of a search space."),
        "choices": SizeLimit(
            value=1_000, help="Choices of a categorical parameter, and values of an `in`."
        ),
        "metrics": SizeLimit(value=8, help="Metrics of a study."),
        "constraints": SizeLimit(value=100, help="Known linear constraints of a study."),
        "labels": SizeLimit(value=32, help="Labels of a study."),
        "label_chars": SizeLimit(value=200, help="Characters of a label's key, and of its value."),
        "options": SizeLimit(
            value=1_000, help="Values in the options of an objective, nested ones counted."
        ),
        "options_depth": SizeLimit(value=10, help="Levels of nesting in an objective's options."),
        "option_chars": SizeLimit(
            value=10_000, help="Characters of a string in an objective's options."
        ),
        "grid_points": SizeLimit(
            value=1_000_000, help="Points of the space of a study that the suggester `grid` runs."
        ),
        "faults": SizeLimit(
            value=1_000, help="Faults named in one answer; the rest of them are left out."
        ),
        "integer": SizeLimit(
            value=2**53, help="Largest magnitude of an integer, so that JSON readers keep it exact."
        ),
    }
)
"""Name -> bound. A list over its bound is a fault of its own and is checked up to the bound."""


def limit_of(name: str) -> int:
    """The largest accepted value of a bound in `SIZE_LIMITS`."""
    return SIZE_LIMITS[name].value
