"""Analyses of a study as columns."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import StringConstraints
from starlette.responses import Response

from ...analysis.explained import Target
from ...analysis.history import Axis
from ...service import analysis as service
from ...store.idempotency import Answer
from .. import render
from ..access import READ
from ..answers import json_answer, respond
from ..deps import ApiDep
from ..etags import is_unchanged, query_etag
from ..operation import operation
from ..route import ServiceRoute
from ..schemas.analysis import AnalysisOut
from ..selection import Where, read_selection
from .common import StudyId

router = APIRouter(prefix="/v1", route_class=ServiceRoute)


@router.get(
    "/studies/{study_id:id}/analysis/{kind}",
    **operation(
        "get_analysis",
        "studies",
        READ,
        {200: AnalysisOut, 304: "Unchanged since the tag in If-None-Match."},
        errors=("not-found", "invalid-value"),
        headers=("If-None-Match",),
        repeatable=("param",),
    ),
)
async def get_analysis(
    study_id: StudyId,
    kind: Annotated[
        service.Kind,
        Path(description="Which analysis."),
    ],
    api: ApiDep,
    x: Annotated[
        Axis,
        Query(
            description="`history`: over trial numbers, over time, or over the time in which "
            "trials ran."
        ),
    ] = "number",
    param: Annotated[
        list[Annotated[str, StringConstraints(max_length=service.MOST_NAME)]] | None,
        Query(
            max_length=service.MOST_PARAMS,
            description="`slice`, `contour`, `parallel`, `surrogate`: names of parameters, in "
            "their order.",
        ),
    ] = None,
    max_points: Annotated[
        int, Query(ge=100, le=2_900, description="Points at most, 100 to 2,900.")
    ] = 2_000,
    from_s: Annotated[
        float, Query(ge=0, le=1e12, description="`timeline`: seconds from the first start on.")
    ] = 0.0,
    to_s: Annotated[
        float | None, Query(ge=0, le=1e12, description="`timeline`: and up to here.")
    ] = None,
    at: Annotated[
        int | None,
        Query(
            ge=1,
            le=2**53,
            description="`surrogate`: number of the trial through which the line goes.",
        ),
    ] = None,
    target: Annotated[
        Literal["value", "duration", "failed"],
        Query(
            description="`importance`: what is explained: the value or the duration of completed "
            "trials, or which trials failed."
        ),
    ] = "value",
    clip: Annotated[
        float,
        Query(
            gt=0,
            le=1,
            description="`importance`, `contour`: values worse than this quantile count as it.",
        ),
    ] = 0.9,
    metric: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=service.MOST_NAME)] | None,
        Query(
            description="`history`, `curves`, `importance`, `slice`, `contour`, `parallel`, "
            "`surrogate`: the metric that they are about, a declared one or any of which a trial "
            "has a final value; the first objective without it."
        ),
    ] = None,
    where: Where = None,
) -> Response:
    """Get what a plot of the study shows, as columns, thinned to `max_points`.

    The best trials, every improvement and the extremes of curves are never thinned away.
    `selected` gives the numbers of all trials that `where` picks.
    """
    query = service.Query(
        x=x,
        params=tuple(param or ()),
        max_points=max_points,
        from_s=from_s,
        to_s=to_s,
        at=at,
        target=Target(target),
        clip=clip,
        metric=metric,
        where=read_selection(where),
    )
    study = (await api.call(api.services.studies.get, study_id)).study
    headers = {"Cache-Control": "private, no-cache"}
    tag = query_etag(study.revision, study.change_seq, (kind, query))
    if is_unchanged(api.request, tag):
        return respond(Answer(status=304, headers={**headers, "ETag": tag}, body=""))
    found = await api.services.analyses.run(kind, study_id, query)
    if found.is_passing:
        return respond(json_answer(render.analysis(found), headers={"Cache-Control": "no-store"}))
    # Of the state that it shows: an older answer is no match when it is asked for again.
    tag = query_etag(study.revision, found.change_seq, (kind, query))
    return respond(json_answer(render.analysis(found), headers={**headers, "ETag": tag}))
