"""What a trial's process prints: sent by its holder, read by people."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import PlainTextResponse, Response

from ...domain.token import Role
from ...store.idempotency import Answer
from .. import render
from ..access import HOLD, READ_OWN
from ..answers import json_answer, respond
from ..bodies import body_of
from ..deps import ApiDep
from ..etags import content_etag, is_unchanged
from ..operation import operation
from ..route import ServiceRoute
from ..schemas.logs import LogBody, LogOut, LogSizeOut
from .common import TrialId
from .trials import readable

router = APIRouter(prefix="/v1", route_class=ServiceRoute)


@router.get(
    "/trials/{trial_id:id}/logs",
    **operation(
        "get_logs",
        "trials",
        READ_OWN,
        {200: LogOut, 304: "Unchanged since the tag in If-None-Match."},
        errors=("not-found",),
        headers=("If-None-Match",),
        media={"text/plain": "the output as it was printed, with `format=text`"},
    ),
)
async def get_logs(
    trial_id: TrialId,
    api: ApiDep,
    lease_id: Annotated[
        str | None,
        Query(max_length=200, description="The attempt; left out: the newest that has any."),
    ] = None,
    format: Annotated[
        str,
        Query(
            max_length=20,
            pattern="^(json|text)$",
            description="`json`, or `text` for the output as it was printed.",
        ),
    ] = "json",
    tail_bytes: Annotated[
        int | None,
        Query(
            ge=1,
            le=8 * 1024 * 1024,
            description="Only the pieces that the last so many bytes lie in; left out: all.",
        ),
    ] = None,
) -> Response:
    """Read what a trial's process has printed: the first MiB of it and the last four."""
    if api.caller.role is Role.WORKER:
        await api.call(readable, api, trial_id)
    log = await api.call(api.services.logs.read, trial_id, lease_id, tail_bytes)
    if format == "text":
        return PlainTextResponse(log.text)
    answer = json_answer(render.trial_log(log), headers={"Cache-Control": "private, no-cache"})
    headers = {**answer.headers, "ETag": content_etag(answer.body)}
    if is_unchanged(api.request, headers["ETag"]):
        return respond(Answer(status=304, headers=headers, body=""))
    return respond(replace(answer, headers=headers))


@router.post(
    "/trials/{trial_id:id}/logs",
    **operation(
        "append_logs",
        "trials",
        HOLD,
        {200: LogSizeOut},
        method="POST",
        body=LogBody,
        errors=("not-found", "stale-lease"),
    ),
)
async def append_logs(
    trial_id: TrialId, api: ApiDep, body: Annotated[LogBody, Depends(body_of(LogBody))]
) -> Response:
    """Send a piece of a trial's output. The same piece again changes nothing."""
    size = await api.call(
        api.services.logs.append,
        trial_id,
        lease_id=body.lease_id,
        offset=body.offset,
        text=body.text,
        caller=api.caller,
    )
    return respond(json_answer({"size_bytes": size}))
