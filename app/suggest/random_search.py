"""Random search: independent uniform draws in the unit cube (Bergstra & Bengio 2012), without
repeats.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from ..domain.space import Value, point_key
from .base import Decision, Suggestion, SuggestRequest, provenance, rng_of, taken_keys
from .design import new_point
from .encode import Encoder

NAME = "random"


def suggest(request: SuggestRequest) -> Decision:
    """Draws each point with the generator of its own number, so the order of asking does not
    matter.
    """
    encoder, taken = Encoder(request.space), taken_keys(request)
    found: list[Suggestion] = []
    for index in range(request.index, request.index + request.count):
        rng = rng_of(request, NAME, index)
        params = new_point(request, taken, partial(_draw, encoder, rng), rng)
        if params is None:
            return Decision(suggestions=tuple(found), exhausted=True)
        taken.add(point_key(params))
        found.append(Suggestion(params=params, provenance=provenance(request, NAME, index)))
    return Decision(suggestions=tuple(found))


def _draw(encoder: Encoder, rng: np.random.Generator, _: int) -> dict[str, Value]:
    return encoder.from_unit(rng.random(encoder.d))
