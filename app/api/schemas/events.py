"""Answers of the event log."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ...domain.event import EventKind
from .common import Instant, Wire


class EventOut(Wire):
    """Something that changed."""

    cursor: str = Field(description="Its place in the feed of all events.")
    study_id: str = Field(description="The study it is about.")
    seq: int = Field(description="Its place among the study's events; without gaps.")
    kind: EventKind = Field(description="What changed.")
    trial_id: str | None = Field(description="The trial it is about, if any.")
    data: dict[str, Any] = Field(description="The news, by kind.")
    occurred_at: Instant = Field(description="When it happened.")
    token_id: str | None = Field(
        description="The token whose call caused it; null: the service itself, or auth was off."
    )


class EventListOut(Wire):
    """Events in the order in which they were committed; none is ever skipped."""

    events: list[EventOut] = Field(description="The events; none when the wait ran out.")
    next_after: str = Field(description="Send it as `after` to go on from here.")
    reset: bool = Field(
        description="Whether `after` is older than what is kept (docs/reference/retention.md): "
        "read the studies anew, then go on after `next_after`."
    )
