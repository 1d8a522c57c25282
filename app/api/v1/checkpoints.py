"""Checkpoints: announce, upload in chunks, commit, read. Contents pass through in pieces and are
never held whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ...blobs.base import PIECE_BYTES, ChunkWriter, Gap
from ...errors import AppError, Fault, InvalidInput, MalformedRequest
from ...service.checkpoints import Upload, cannot_keep, gap_refused
from ...store.idempotency import Answer
from .. import render
from ..access import HOLD, READ_OWN
from ..answers import json_answer, respond
from ..bodies import body_of, no_body
from ..deps import Api, ApiDep
from ..edge import too_large
from ..head import is_head
from ..operation import operation
from ..route import ServiceRoute
from ..schemas.checkpoints import CheckpointOut, CommitBody, NewCheckpointBody
from .common import CheckpointId, TrialId

router = APIRouter(prefix="/v1", route_class=ServiceRoute)

BINARY = "application/octet-stream"
_CHUNK = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_ASKED = re.compile(r"bytes \*/(\d{1,18}|\*)")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_ERRORS = ("not-found", "stale-lease", "checkpoints-off")


@router.post(
    "/trials/{trial_id:id}/checkpoints",
    **operation(
        "create_checkpoint",
        "checkpoints",
        HOLD,
        {201: CheckpointOut},
        method="POST",
        body=NewCheckpointBody,
        errors=_ERRORS,
    ),
)
async def create_checkpoint(
    trial_id: TrialId,
    api: ApiDep,
    body: Annotated[NewCheckpointBody, Depends(body_of(NewCheckpointBody))],
) -> Response:
    """Announce a checkpoint; the same one under the same lease again gives the one that is there.

    A quota that has no room for it is `too-large`, with `limit_bytes` and `used_bytes`.
    """
    return await api.kept(
        api.services.checkpoints.create,
        trial_id,
        **body.model_dump(),
        caller=api.caller,
        render=_created,
    )


def _created(upload: Upload) -> Answer:
    headers = {"Location": f"/v1/checkpoints/{upload.checkpoint.id}"}
    return json_answer(render.upload(upload), status=201, headers=headers)


@router.get(
    "/checkpoints/{checkpoint_id:id}",
    **operation("get_checkpoint", "checkpoints", READ_OWN, {200: CheckpointOut}, errors=_ERRORS),
)
async def get_checkpoint(checkpoint_id: CheckpointId, api: ApiDep) -> Response:
    """Get a checkpoint, and how much of its content is there."""
    return await _shown(api, checkpoint_id)


async def _shown(api: Api, checkpoint_id: str) -> Response:
    upload = await api.call(api.services.checkpoints.get, checkpoint_id, caller=api.caller)
    return respond(json_answer(render.upload(upload)))


@router.put(
    "/checkpoints/{checkpoint_id:id}/content",
    **operation(
        "upload_checkpoint",
        "checkpoints",
        HOLD,
        {200: CheckpointOut},
        method="PUT",
        raw_body=BINARY,
        errors=_ERRORS,
        headers=("Content-Range",),
    ),
)
async def upload_checkpoint(checkpoint_id: CheckpointId, api: ApiDep, request: Request) -> Response:
    """Upload a chunk: `Content-Range: bytes FIRST-LAST/SIZE`, without it all from the beginning.

    A chunk may repeat what is there; one that begins later is refused, with `received_bytes`. A
    chunk that breaks off leaves what has come. `bytes */SIZE` without a body asks how much is
    there.
    """
    given = request.headers.get("content-range")
    if given is not None and _ASKED.fullmatch(given):
        await no_body(request)
        return await _shown(api, checkpoint_id)
    extent = _extent(given)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and extent.length not in (None, int(announced)):
        raise _other_length(int(announced), extent)
    chunk, room = await api.call(
        api.services.checkpoints.chunk,
        checkpoint_id,
        extent.offset,
        size_bytes=extent.size_bytes,
        caller=api.caller,
    )
    try:
        came = await _take(api, request, chunk, room)
    except OSError as problem:
        raise cannot_keep(problem) from problem
    if extent.length not in (None, came):
        raise _other_length(came, extent)
    return await _shown(api, checkpoint_id)


@dataclass(frozen=True, slots=True)
class _Extent:
    """Where a chunk lies, in bytes; None is what its header does not say."""

    offset: int = 0
    length: int | None = None
    size_bytes: int | None = None


def _other_length(n_bytes: int, extent: _Extent) -> MalformedRequest:
    detail = f"the chunk has {n_bytes} bytes, and Content-Range {extent.length}"
    fault = Fault(pointer="/Content-Range", code="other-size", detail=detail)
    return MalformedRequest(detail, faults=[fault])


def _extent(given: str | None) -> _Extent:
    """What `Content-Range` says of a chunk."""
    if given is None:
        return _Extent()
    found = _CHUNK.fullmatch(given)
    if found is None or int(found[2]) < int(found[1]):
        detail = "Content-Range is bytes FIRST-LAST/SIZE, or bytes */SIZE to ask"
        fault = Fault(pointer="/Content-Range", code="malformed", detail=detail)
        raise InvalidInput(detail, faults=[fault])
    size = None if found[3] == "*" else int(found[3])
    return _Extent(int(found[1]), int(found[2]) - int(found[1]) + 1, size)


async def _take(api: Api, request: Request, chunk: ChunkWriter, room: int) -> int:
    """Hands the body over in pieces of a fair size; returns how many bytes came.

    Raises:
        AppError: `too-large`: more came than was announced.
    """
    came, gathered = 0, bytearray()
    await api.call(chunk.__enter__)
    error: BaseException | None = None
    try:
        async for part in request.stream():
            came += len(part)
            if came > room:
                raise too_large(room)
            gathered += part
            if len(gathered) >= PIECE_BYTES:
                await api.call(chunk.write, bytes(gathered))
                gathered.clear()
        await api.call(chunk.write, bytes(gathered))
    except Gap as gap:
        error = gap
        raise gap_refused(gap) from gap
    except BaseException as problem:
        error = problem
        raise
    finally:
        await api.call(chunk.__exit__, type(error) if error else None, error, None)
    return came


@router.post(
    "/checkpoints/{checkpoint_id:id}:commit",
    **operation(
        "commit_checkpoint",
        "checkpoints",
        HOLD,
        {200: CheckpointOut},
        method="POST",
        body=CommitBody,
        errors=(*_ERRORS, "upload-incomplete"),
    ),
)
async def commit_checkpoint(
    checkpoint_id: CheckpointId,
    api: ApiDep,
    body: Annotated[CommitBody, Depends(body_of(CommitBody))],
) -> Response:
    """Make a whole upload the checkpoint that the trial's next attempt goes on from.

    The content is read and held against the announced size and SHA-256 first; one that differs is
    removed. The same call again changes nothing.
    """
    return await api.kept(
        api.services.checkpoints.commit,
        checkpoint_id,
        lease_id=body.lease_id,
        caller=api.caller,
        render=_committed,
    )


def _committed(upload: Upload) -> Answer:
    return json_answer(render.upload(upload))


@router.get(
    "/checkpoints/{checkpoint_id:id}/content",
    **operation(
        "read_checkpoint",
        "checkpoints",
        READ_OWN,
        {200: "The content.", 206: "The part of it that `Range` asks for."},
        errors=(*_ERRORS, "range-not-satisfiable"),
        headers=("Range", "If-Range"),
        media={BINARY: "The bytes as they were uploaded."},
    ),
)
async def read_checkpoint(checkpoint_id: CheckpointId, api: ApiDep, request: Request) -> Response:
    """Read the content of a committed checkpoint; `Range: bytes=FIRST-LAST` asks for a part."""
    found = await api.call(api.services.checkpoints.content, checkpoint_id, caller=api.caller)
    size, tag = found.size_bytes, f'"{found.sha256}"'
    # Of another content than the caller has a part of, all is sent (RFC 9110, 13.1.5).
    is_same = request.headers.get("if-range", tag) == tag
    part = _asked_part(request.headers.get("range"), size) if is_same else None
    start, stop = part or (0, size)
    pieces: Iterator[bytes] = iter(())
    if not is_head(request):
        pieces = await api.call(api.services.checkpoints.read, found, start, stop)
    response = StreamingResponse(pieces, 206 if part else 200, media_type=BINARY)
    response.headers["Content-Length"] = str(stop - start)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-store"
    if part:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return response


def _asked_part(given: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (not included) of the part asked for; None for all of it. A header that asks
    for several parts, or in other units, is passed over, as RFC 9110 has it.
    """
    found = _RANGE.fullmatch(given or "")
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise AppError(
            f"the content has {size} bytes",
            code="range-not-satisfiable",
            members={"size_bytes": size},
        )
    return start, stop
