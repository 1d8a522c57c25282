"""A study's events as server-sent events: resumed by `Last-Event-ID` or `?after=`, never skipping
one.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from time import monotonic
from typing import TYPE_CHECKING, Any

from fastapi.sse import format_sse_event

from ..domain.event import Event
from ..errors import AppError, Denied
from . import render
from .answers import dumps
from .deps import RECHECK_S, Api, caller_of

if TYPE_CHECKING:
    from ..service.services import Services

TICK_S = 15.0
"""Seconds without an event after which a `tick` says that the stream lives."""

RETRY_MS = 1_000
"""How long a client should wait before it comes back."""

RETRY_AT_STOP_MS = (1_000, 5_000)
"""The same where the service stops: drawn in between, so that not all come back at once."""

_BATCH = 500


async def start_of(api: Api, study_id: str, cursor: str | None) -> int | None:
    """The sequence to go on after; None when the cursor cannot be gone on from.

    Args:
        api: the request's view of the service.
        study_id: the study.
        cursor: id of the last event that the client saw; None: the oldest one still kept comes
            first.

    Raises:
        NotFound: there is no such study.
    """
    latest, oldest = await api.call(_bounds, api.services, study_id)
    if cursor is None:
        return max(oldest - 1, 0)
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        return None
    after = int(cursor)
    return after if max(oldest - 1, 0) <= after <= latest else None


def _bounds(services: Services, study_id: str) -> tuple[int, int]:
    services.studies.get(study_id)
    return services.events.latest(study_id), services.events.oldest(study_id)


async def while_readable(lines: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """A stream up to where it can be read no more, as when its study is deleted. Its status has
    been sent by then: who comes back is told why.
    """
    async with aclosing(lines):
        try:
            async for line in lines:
                yield line
        except AppError:
            return


async def stream(api: Api, study_id: str, after: int | None) -> AsyncGenerator[bytes]:
    """The stream, from its first line on; ends when the client leaves or the service stops.

    Args:
        api: the request's view of the service.
        study_id: the study.
        after: sequence to go on after; None first says `reset` and goes on from now.
    """
    events = api.services.events
    yield format_sse_event(retry=RETRY_MS, comment="events of a study")
    if after is None:
        after = await api.call(events.latest, study_id)
        yield _line("reset", after, {"study_id": study_id, "change_seq": after})
    checked_at = monotonic()
    while not events.is_closing:
        found = await events.wait_study(study_id, after, TICK_S, _BATCH)
        if monotonic() - checked_at >= RECHECK_S:
            checked_at = monotonic()
            if not await may_go_on(api):
                return
        for event in found:
            after = event.seq
            yield _event(event)
        if not found and not events.is_closing:
            yield _line("tick", after, {"study_id": study_id, "change_seq": after})
    retry_ms = random.randint(*RETRY_AT_STOP_MS)
    yield format_sse_event(retry=retry_ms, comment="the service is stopping")


async def may_go_on(api: Api) -> bool:
    """Whether the caller's token still holds; a revoked one ends its streams too."""
    try:
        await caller_of(api.request)
    except Denied:
        return False
    return True


def _event(event: Event) -> bytes:
    return _line(event.kind, event.seq, render.event(event))


def _line(kind: str, seq: int, data: dict[str, Any]) -> bytes:
    return format_sse_event(event=kind, id=str(seq), data_str=dumps(data))
