"""Workers: register, look at, drain, remove."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from ...domain.worker import Device, ObjectiveOffer
from ...service.views import WorkerView
from ...store.idempotency import Answer
from .. import render
from ..access import MANAGE, READ, WORK
from ..answers import json_answer, respond
from ..bodies import body_of, no_body
from ..deps import ApiDep
from ..operation import operation
from ..paging import DEFAULT_PAGE_SIZE, PageSize, PageToken
from ..route import ServiceRoute
from ..schemas.workers import (
    OfferBody,
    RegisterBody,
    WorkerChangesBody,
    WorkerListOut,
    WorkerOut,
)
from .common import WorkerId

router = APIRouter(prefix="/v1", route_class=ServiceRoute)


def _worker_answer(view: WorkerView) -> Answer:
    location = {"Location": f"/v1/workers/{view.worker.id}"}
    return json_answer(render.worker(view), status=201, headers=location)


@router.post(
    "/workers",
    **operation(
        "register_worker", "workers", WORK, {201: WorkerOut}, method="POST", body=RegisterBody
    ),
)
async def register_worker(
    api: ApiDep, body: Annotated[RegisterBody, Depends(body_of(RegisterBody))]
) -> Response:
    """Register a worker; the same name keeps its id, a new `boot_id` ends its leases."""
    return await api.kept(
        api.services.workers.register,
        name=body.name,
        boot_id=body.boot_id,
        labels=body.labels,
        devices=[Device(**device.model_dump()) for device in body.devices],
        objectives=[_offer(offer) for offer in body.objectives],
        slots=body.slots,
        render=_worker_answer,
    )


def _offer(body: OfferBody) -> ObjectiveOffer:
    given = body.model_dump()
    return ObjectiveOffer(**{**given, "data": tuple(given["data"])})


@router.get("/workers", **operation("list_workers", "workers", READ, {200: WorkerListOut}))
async def list_workers(
    api: ApiDep, page_size: PageSize = DEFAULT_PAGE_SIZE, page_token: PageToken = None
) -> Response:
    """List workers."""
    page = await api.call(api.services.workers.page, page_size, page_token)
    workers = [render.worker(view) for view in page.items]
    return respond(json_answer({"workers": workers, "next_page_token": page.next_page_token}))


@router.get(
    "/workers/{worker_id:id}",
    **operation("get_worker", "workers", READ, {200: WorkerOut}, errors=("not-found",)),
)
async def get_worker(worker_id: WorkerId, api: ApiDep) -> Response:
    """Get a worker, with the leases that it holds."""
    view = await api.call(api.services.workers.get, worker_id)
    return respond(json_answer(render.worker(view)))


@router.patch(
    "/workers/{worker_id:id}",
    **operation(
        "update_worker",
        "workers",
        MANAGE,
        {200: WorkerOut},
        method="PATCH",
        body=WorkerChangesBody,
        errors=("not-found",),
    ),
)
async def update_worker(
    worker_id: WorkerId,
    api: ApiDep,
    body: Annotated[WorkerChangesBody, Depends(body_of(WorkerChangesBody))],
) -> Response:
    """Drain a worker (it is given no more trials), or take that back."""
    view = await api.call(api.services.workers.set_draining, worker_id, body.draining)
    return respond(json_answer(render.worker(view)))


@router.delete(
    "/workers/{worker_id:id}",
    **operation(
        "delete_worker",
        "workers",
        MANAGE,
        {204: "The worker is gone; its trials are pending again."},
        method="DELETE",
        errors=("not-found",),
    ),
    dependencies=[Depends(no_body)],
)
async def delete_worker(worker_id: WorkerId, api: ApiDep) -> Response:
    """Remove a worker; its leases end."""
    await api.call(api.services.workers.delete, worker_id)
    return Response(status_code=204)
