"""What changed: a study's events as a stream, all events by long poll, and a study's trials as a
file.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ...errors import Fault, InvalidInput
from ...service.views import Feed
from ...store.trials import TrialFilter
from .. import render
from ..access import READ
from ..answers import json_answer, respond
from ..deps import ApiDep
from ..export import FORMATS, chunks, disposition
from ..feed import stream as feed_stream
from ..operation import operation
from ..parquet import MEDIA_TYPE as PARQUET
from ..route import ServiceRoute
from ..schemas.events import EventListOut
from ..selection import Order, Where, read_order, read_selection
from ..sse import start_of, stream, while_readable
from .common import StudyId

router = APIRouter(prefix="/v1", route_class=ServiceRoute)

STREAM_DOC = (
    "`trial.state`, `trial.measurement`, `study.state`, `study.best`; with early stopping "
    "`trial.rung` (a result at a rung) and `trial.directive` (what was decided of a trial); with a "
    "webhook `study.webhook` (it was taken, or given up); each with the event as data and its "
    "`seq` as id; `tick` each 15 s when idle; `reset` when the cursor is unknown or too old: read "
    "the study anew"
)


@router.get(
    "/studies/{study_id:id}/events",
    **operation(
        "stream_study_events",
        "events",
        READ,
        {200: "The study's events as they happen."},
        errors=("not-found",),
        media={"text/event-stream": STREAM_DOC},
    ),
)
async def stream_study_events(
    study_id: StudyId,
    api: ApiDep,
    after: Annotated[
        str | None,
        Query(
            max_length=100,
            description="`seq` to go on after, e.g. the `change_seq` of the study that was read; "
            "without it the oldest event still kept comes first.",
        ),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            max_length=100,
            description="As `after`, and before it: what browsers send when they come back.",
        ),
    ] = None,
) -> Response:
    """Follow a study's events as server-sent events."""
    begin = await start_of(api, study_id, last_event_id if last_event_id is not None else after)
    return _streamed(stream(api, study_id, begin))


def _streamed(lines: AsyncGenerator[bytes]) -> Response:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(while_readable(lines), media_type="text/event-stream", headers=headers)


def _wants_stream(request: Request) -> bool:
    """Whether the caller asked for a stream by name; `*/*` is answered at once."""
    return "text/event-stream" in request.headers.get("accept", "")


FEED_DOC = (
    "asked for by `Accept`: the same events as they happen, each with its `cursor` as id, `tick` "
    "each 15 s when idle, `reset` when the cursor is too old"
)


@router.get(
    "/events",
    **operation(
        "list_events", "events", READ, {200: EventListOut}, media={"text/event-stream": FEED_DOC}
    ),
)
async def list_events(
    request: Request,
    api: ApiDep,
    after: Annotated[
        str | None,
        Query(max_length=200, description="`next_after` of the answer before; without it: now."),
    ] = None,
    wait_s: Annotated[
        float, Query(ge=0, le=120, description="Seconds to wait for the first event, 0 to 120.")
    ] = 0.0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events at most, 1 to 1,000.")] = 1000,
) -> Response:
    """Wait for events of all studies; none is ever skipped, whatever order transactions end in.

    Events that were purged behind `after` are not passed over in silence: the answer says `reset`.
    As `text/event-stream` they come as they happen, for any number of watchers at the cost of one.
    """
    if _wants_stream(request):
        cursor = request.headers.get("last-event-id", after)
        await api.call(api.services.events.check_cursor, cursor)
        return _streamed(feed_stream(api, request.app.state.ring, cursor))
    feed = await api.while_connected(api.services.events.wait_feed(after, wait_s, limit))
    await api.recheck()
    feed = feed or Feed(events=(), cursor=after or "")
    shown = [render.event(event) for event in feed.events]
    answer = {"events": shown, "next_after": feed.cursor, "reset": feed.is_reset}
    return respond(json_answer(answer))


@router.get(
    "/studies/{study_id:id}/export",
    **operation(
        "export_trials",
        "trials",
        READ,
        {200: "The study's trials, in order."},
        errors=("not-found",),
        media={
            "text/csv": "RFC 4180, with a header line. Text that a spreadsheet could take for a "
            "formula (it begins with = + - @, a tab, a line end, or an apostrophe) has one "
            "apostrophe in front; numbers have none",
            "application/jsonl": "one JSON object a line",
            PARQUET: "columns of integers, doubles, booleans, texts and UTC timestamps, null where "
            "a trial has no value; choices of several kinds are texts",
        },
    ),
)
async def export_trials(
    study_id: StudyId,
    api: ApiDep,
    file_format: Annotated[
        str, Query(alias="format", max_length=20, description="`csv`, `jsonl` or `parquet`.")
    ] = "csv",
    order_by: Order = "number",
    where: Where = None,
) -> Response:
    """Export a study's trials as a file: all of them, or those of a selection."""
    if file_format not in FORMATS:
        detail = f"there is no format {file_format!r} here; available: {', '.join(FORMATS)}"
        raise InvalidInput(
            detail, faults=[Fault(pointer="/format", code="unknown-value", detail=detail)]
        )
    media_type, write = FORMATS[file_format]
    view = await api.call(api.services.studies.get, study_id)
    filters = TrialFilter(where=read_selection(where))
    export = await api.call(api.services.trials.export, study_id, filters, read_order(order_by))
    pieces = await api.call(write, export.columns, export.rows)
    name = disposition(view.study.id, view.study.definition.name, file_format)
    return StreamingResponse(
        chunks(api, pieces),
        media_type=media_type,
        headers={"Content-Disposition": name, "Cache-Control": "no-store"},
    )
