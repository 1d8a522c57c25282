"""Quasi-random search: a scrambled Sobol sequence (Sobol 1967; Owen 1998), a dimension a
parameter.
"""

from __future__ import annotations

from functools import partial

from ..domain.space import Value, point_key
from .base import Decision, Suggestion, SuggestRequest, provenance, rng_of, taken_keys
from .design import new_point, sobol_point
from .encode import Encoder

NAME = "sobol"

_NEXT_STRETCH = 1 << 20
"""Where a point that is already taken is replaced from: far beyond the numbers of any study."""


def suggest(request: SuggestRequest) -> Decision:
    """The point of the sequence that belongs to the trial's number."""
    encoder, taken = Encoder(request.space), taken_keys(request)
    found: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        rng = rng_of(request, NAME, index)
        params = new_point(request, taken, partial(_draw, request, encoder, index), rng)
        if params is None:
            return Decision(suggestions=tuple(found), exhausted=True)
        taken.add(point_key(params))
        found.append(Suggestion(params=params, provenance=provenance(request, NAME, index)))
    return Decision(suggestions=tuple(found))


def _draw(request: SuggestRequest, encoder: Encoder, index: int, k: int) -> dict[str, Value]:
    at = index - 1 if k == 0 else _NEXT_STRETCH + (index - 1) * 8 + k
    return encoder.from_unit(sobol_point(request.space, request.seed, at))
