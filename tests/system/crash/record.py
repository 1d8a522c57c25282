"""What the checker is told: which writes were acknowledged, and when nobody could act."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """A write that the service said it had done.

    Attributes:
        what: "create", "claim", "beat", "report", "announce", "commit", "complete", "fail",
            "release" or "stop".
        id: of the study for create and stop, of the checkpoint for announce and commit, else of
            the lease.
        data: what was written, by name.
    """

    what: str
    id: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """The test's own record of a study's life.

    Attributes:
        budget: `max_trials`, which the trials that end well must meet; None where it was stopped.
        lease_s: how long a lease lasts.
        acks: the acknowledged writes.
        gaps: spans, in seconds since 1970, in which no service could sweep or hand out.
        contents: the folder of the checkpoints' contents.
    """

    budget: int | None
    lease_s: float
    acks: list[Ack] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    contents: Path | None = None

    def acks_of(self, what: str) -> list[Ack]:
        """Those of one kind, in their order."""
        return [ack for ack in self.acks if ack.what == what]


def mark(lease_id: str) -> float:
    """The value that the scripted worker reports under a lease: no other lease has the same."""
    return int.from_bytes(hashlib.sha256(lease_id.encode()).digest()[:6], "big") / 2**48
