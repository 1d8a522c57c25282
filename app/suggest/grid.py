"""Grid search: every combination of the parameters' values, each exactly once, also with many
workers.

The points are numbered in mixed radix over the tree of conditions, so that points that are equal
once inactive parameters are dropped count once, and a million points cost no memory. The next one
is always the first that is neither tried nor being tried, so nothing has to be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ..domain.space import Value
from .base import Decision, Suggestion, SuggestRequest, provenance
from .design import satisfies
from .enumeration import Enumeration
from .shuffle import Shuffle

NAME = "grid"


def suggest(request: SuggestRequest) -> Decision:
    """The first points of the grid that are left; the last parameter moves fastest.

    With the option `shuffle` the order is random, drawn from the seed; still each point once.

    Raises:
        ValueError: a parameter is continuous.
    """
    is_shuffled = bool(request.options.get("shuffle", False))
    grid = Enumeration(request.space)
    left = points_left(request, grid, is_shuffled=is_shuffled)
    found = tuple(
        Suggestion(
            params=params,
            provenance=provenance(
                request,
                NAME,
                request.index + k,
                grid_index=number,
                grid_size=grid.total,
                order="shuffled" if is_shuffled else "in turn",
            ),
        )
        for k, (number, params) in enumerate(islice(left, request.count))
    )
    return Decision(suggestions=found, exhausted=len(found) < request.count)


def points_left(
    request: SuggestRequest, grid: Enumeration, *, is_shuffled: bool
) -> Iterator[tuple[int, dict[str, Value]]]:
    """Number and values of the points that are neither tried nor being tried, in order, lazily."""
    taken = grid.numbers(t.params for t in request.finished)
    taken |= grid.numbers(t.params for t in request.pending)
    order: range | Shuffle = Shuffle(grid.total, request.seed) if is_shuffled else range(grid.total)
    for k in range(grid.total):
        number = order[k]
        if number in taken:
            continue
        params = grid.point(number)
        if satisfies(request.space, params):
            yield number, params
