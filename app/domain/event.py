"""The append-only event log: what everything that watches reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A row of the append-only event log. `cursor` is the opaque position in the global feed,
    `seq` in the study's; `token_id` is of who caused it, None for the service itself or with auth
    off.
    """

    cursor: str
    study_id: str
    seq: int
    kind: str
    trial_id: str | None
    data: dict[str, object]
    occurred_at: datetime
    token_id: str | None = None
