"""The service itself: does it run, can it serve, what is in it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ...domain.token import Role
from ...errors import Unavailable
from ..answers import json_answer, respond
from ..deps import ApiDep, services_of, threaded
from ..operation import operation
from ..route import ServiceRoute
from ..schemas.meta import HealthOut, MetaOut, ReadyOut

router = APIRouter(route_class=ServiceRoute)


@router.get("/healthz", **operation("get_health", "meta", (), {200: HealthOut}))
async def get_health() -> Response:
    """Say that the process runs; nothing else is looked at."""
    return respond(json_answer({"status": "ok"}))


async def _ready(request: Request) -> dict[str, object]:
    state = await threaded(request, services_of(request).ready)
    if not state["ready"]:
        raise Unavailable("the service is not ready: see its log", members=state, retry_after_s=1)
    return state


@router.get("/readyz", **operation("get_readiness", "meta", (), {200: ReadyOut}))
async def get_readiness(state: Annotated[dict[str, object], Depends(_ready)]) -> Response:
    """Say whether requests can be sent here: the database answers and its schema is current."""
    return respond(json_answer(state))


@router.get("/v1/meta", **operation("get_meta", "meta", tuple(Role), {200: MetaOut}))
async def get_meta(api: ApiDep) -> Response:
    """Get versions, and what is compiled in."""
    return respond(json_answer(await api.call(api.services.meta)))
