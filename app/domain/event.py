"""The append-only event log: what everything that watches reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class EventKind(StrEnum):
    """What an event tells."""

    TRIAL_STATE = "trial.state"
    TRIAL_MEASUREMENT = "trial.measurement"
    TRIAL_RUNG = "trial.rung"
    TRIAL_DIRECTIVE = "trial.directive"
    STUDY_STATE = "study.state"
    STUDY_BEST = "study.best"
    STUDY_WEBHOOK = "study.webhook"


REPLAYED = (EventKind.TRIAL_STATE, EventKind.TRIAL_RUNG)
"""They stay as long as their study: what is derived again needs them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A row of the append-only event log. `cursor` is the opaque position in the global feed,
    `seq` in the study's; `token_id` is of who caused it, None for the service itself or with auth
    off.
    """

    cursor: str
    study_id: str
    seq: int
    kind: EventKind
    trial_id: str | None
    data: dict[str, object]
    occurred_at: datetime
    token_id: str | None = None
