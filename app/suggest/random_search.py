"""Random search: independent uniform draws in the unit cube (Bergstra & Bengio 2012), without
repeats. Each trial's number has a generator of its own, so the order of asking does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..domain.space import Value
from .base import Decision, SuggestRequest
from .design import drawn
from .encode import Encoder

NAME = "random"


def suggest(request: SuggestRequest) -> Decision:
    """A uniform draw for each trial."""
    encoder = Encoder(request.space)
    return drawn(request, NAME, lambda _, rng: _draws(encoder, rng))


def _draws(encoder: Encoder, rng: np.random.Generator) -> Iterator[dict[str, Value]]:
    while True:
        yield encoder.from_unit(rng.random(encoder.d))
