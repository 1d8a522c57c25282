"""Who made, changed or removed tokens and workers, and who signed in. For admins only."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from .. import render
from ..access import MANAGE
from ..answers import json_answer, respond
from ..deps import ApiDep
from ..operation import operation
from ..paging import DEFAULT_PAGE_SIZE, PageSize, PageToken
from ..route import ServiceRoute
from ..schemas.audit import AuditOut

router = APIRouter(prefix="/v1", route_class=ServiceRoute)


@router.get("/audit", **operation("list_audit", "tokens", MANAGE, {200: AuditOut}))
async def list_audit(
    api: ApiDep, page_size: PageSize = DEFAULT_PAGE_SIZE, page_token: PageToken = None
) -> Response:
    """List changes that belong to no study, the newest first; a study's own are its events."""
    page = await api.call(api.services.audits.page, page_size, page_token)
    entries = [render.audit_entry(entry) for entry in page.items]
    return respond(json_answer({"entries": entries, "next_page_token": page.next_page_token}))
