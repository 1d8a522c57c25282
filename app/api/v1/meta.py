"""The service itself: does it run, can it serve, what is in it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ...domain.token import Role
from ...errors import Unavailable
from ...metrics import CONTENT_TYPE
from ...service.health import Readiness
from .. import render
from ..access import READ
from ..answers import json_answer, respond
from ..deps import ApiDep, services_of
from ..operation import operation
from ..route import ServiceRoute
from ..schemas.meta import CatalogOut, HealthOut, MetaOut, ReadyOut

router = APIRouter(route_class=ServiceRoute)


@router.get("/healthz", **operation("get_health", "meta", (), {200: HealthOut}))
async def get_health() -> Response:
    """Say that the process runs; nothing else is looked at."""
    return respond(json_answer({"status": "ok"}))


async def _ready(request: Request) -> dict[str, object]:
    found = await services_of(request).health.readiness()
    if not found.ready:
        raise Unavailable(_why_not(found), members=found.members(), retry_after_s=1)
    return found.members()


def _why_not(found: Readiness) -> str:
    if found.draining:
        return "the service is stopping"
    if not found.database:
        return "the database does not answer"
    if not found.schema_current:
        return "the database's schema is not current; run `tunewell migrate`"
    return "the database takes no writes"


@router.get("/readyz", **operation("get_readiness", "meta", (), {200: ReadyOut}))
async def get_readiness(state: Annotated[dict[str, object], Depends(_ready)]) -> Response:
    """Say whether requests can be sent here: the database answers reads and writes within 2 s, its
    schema is current, and the service is not stopping.
    """
    return respond(json_answer(state))


@router.get("/v1/meta", **operation("get_meta", "meta", tuple(Role), {200: MetaOut}))
async def get_meta(api: ApiDep) -> Response:
    """Get versions, and what is compiled in."""
    return respond(json_answer(await api.call(api.services.meta)))


@router.get("/v1/catalog", **operation("get_catalog", "meta", READ, {200: CatalogOut}))
async def get_catalog(api: ApiDep) -> Response:
    """Get what a study definition can name: suggesters, early-stopping rules, limits, and the
    objectives that are built in or that workers offer, each with the options that it takes.
    """
    return respond(json_answer(render.catalog(await api.call(api.services.catalog))))


@router.get(
    "/metrics",
    **operation(
        "get_metrics",
        "meta",
        READ,
        {200: "What the service counts about itself."},
        media={"text/plain": "the text format of Prometheus, version 0.0.4"},
    ),
)
async def get_metrics(api: ApiDep) -> Response:
    """Get the metrics of this process and the counts of the database, which may be 5 s old.

    Needs a token where the rest of the interface does: study ids and rates are nobody else's.
    """
    text = await api.services.metrics.text()
    return Response(text, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})
