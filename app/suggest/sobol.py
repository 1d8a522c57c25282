"""Quasi-random search: a scrambled Sobol sequence (Sobol 1967; Owen 1998), a dimension a
parameter. A trial's number names its point; one that will not do is replaced from further on.
"""

from __future__ import annotations

from .base import Decision, SuggestRequest
from .design import drawn, sobol_attempts
from .encode import Encoder

NAME = "sobol"


def suggest(request: SuggestRequest) -> Decision:
    """The points of the sequence that belong to the trials' numbers."""
    encoder = Encoder(request.space)
    return drawn(
        request,
        NAME,
        lambda index, _: map(
            encoder.from_unit, sobol_attempts(request.space, request.seed, index - 1)
        ),
    )
