"""A webhook under way: written when a study changes, sent until the receiver takes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

GIVE_UP_AFTER = timedelta(hours=24)
"""How long a webhook is tried."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 10.0, 3_600.0


class DeliveryState(StrEnum):
    """Where a webhook stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one URL.

    Attributes:
        id: names the event too: a receiver that gets it twice knows by it.
        body: the JSON text that is sent, the same at each attempt.
        attempts: how often it was begun.
        next_at: when it is due; None once it was taken or given up.
    """

    id: str
    study_id: str
    url: str
    body: str
    attempts: int
    next_at: datetime | None
    delivered_at: datetime | None
    last_error: str | None
    created_at: datetime

    @property
    def state(self) -> DeliveryState:
        """Whether it is under way, was taken, or was given up."""
        if self.delivered_at is not None:
            return DeliveryState.DELIVERED
        return DeliveryState.FAILED if self.next_at is None else DeliveryState.PENDING


def next_attempt(delivery: Delivery, now: datetime) -> datetime | None:
    """When to try again after a failure: waits that double from 10 s to an hour; None: never."""
    wait_s = min(_FIRST_WAIT_S * 2.0 ** min(delivery.attempts - 1, 20), _LONGEST_WAIT_S)
    again = now + timedelta(seconds=wait_s)
    return again if again <= delivery.created_at + GIVE_UP_AFTER else None
