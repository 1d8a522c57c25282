"""The resource axis of a trial: the rungs at which trials are compared, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The rungs of a study, in steps.

    Attributes:
        rungs: increasing steps >= 1 at which values are noted and compared; the last one is
            `max_resource` where that is known.
        max_resource: steps of a full training, or None where it is not known.
    """

    rungs: tuple[int, ...]
    max_resource: int | None


class Directive(StrEnum):
    """What the service tells the holder of a lease to do."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"
    CHECKPOINT = "checkpoint"
    ABORT = "abort"
