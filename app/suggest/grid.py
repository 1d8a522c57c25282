"""Grid search: every combination of the parameters' values, each exactly once, also with many
workers.

Points are numbered lazily in mixed radix over the tree of conditions, so that points that are equal
once inactive parameters are dropped count once, and a million points cost no memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..domain.space import Parameter, Params, Space, Value, is_active, point_key, values_of
from .base import Decision, Suggestion, SuggestRequest, provenance, taken_keys
from .design import satisfies

NAME = "grid"


def suggest(request: SuggestRequest) -> Decision:
    """The first points of the grid that were neither tried nor are being tried."""
    taken = taken_keys(request)
    found: list[Suggestion] = []
    for params in grid_points(request.space):
        key = point_key(params)
        if key in taken:
            continue
        taken.add(key)
        index = request.index + len(found)
        found.append(Suggestion(params=params, provenance=provenance(request, NAME, index)))
        if len(found) == request.count:
            return Decision(suggestions=tuple(found))
    return Decision(suggestions=tuple(found), exhausted=True)


def grid_points(space: Space) -> Iterator[dict[str, Value]]:
    """All points of the grid that keep the known constraints, the last parameter moving fastest."""
    axes = [(parameter, _values(parameter)) for parameter in space.parameters]

    def walk(j: int, params: Params) -> Iterator[dict[str, Value]]:
        while j < len(axes) and not is_active(axes[j][0], params):
            j += 1
        if j == len(axes):
            yield dict(params)
            return
        parameter, values = axes[j]
        for value in values:
            yield from walk(j + 1, {**params, parameter.name: value})

    return (params for params in walk(0, {}) if satisfies(space, params))


def _values(parameter: Parameter) -> tuple[Value, ...]:
    values = values_of(parameter)
    if values is None:
        raise ValueError(f"parameter {parameter.name} has no list of values; a grid needs a step")
    return tuple(values)
