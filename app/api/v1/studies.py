"""Studies: create, look at, change, end, ask for trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from ...domain.definition import definition_to_json
from ...domain.study import StudyState
from ...service.views import StudyPage, StudyView
from ...store.idempotency import Answer
from ...store.studies import StudyFilter, StudyOrder
from .. import render
from ..access import READ, SUBMIT
from ..answers import json_answer, respond
from ..bodies import no_body, raw_object
from ..deps import Api, ApiDep
from ..etags import is_unchanged
from ..operation import operation
from ..paging import DEFAULT_PAGE_SIZE, PageSize, PageToken, read_labels, read_states
from ..route import ServiceRoute
from ..schemas.definition import StudyChangesBody, StudyDefinitionBody
from ..schemas.studies import (
    BestOut,
    DryRunOut,
    ParetoOut,
    ReplayOut,
    StudyListOut,
    StudyOut,
)
from .common import StudyId

router = APIRouter(prefix="/v1", route_class=ServiceRoute)

RawDefinition = Annotated[Mapping[str, Any], Depends(raw_object("invalid-study"))]
RawChanges = Annotated[Mapping[str, Any], Depends(raw_object("invalid-value"))]
NoBody = Depends(no_body)

_VERB_ERRORS = ("not-found", "illegal-transition", "etag-mismatch")


def _verb_operation(operation_id: str) -> dict[str, Any]:
    return operation(
        operation_id,
        "studies",
        SUBMIT,
        {200: StudyOut},
        method="POST",
        errors=_VERB_ERRORS,
        headers=("If-Match",),
    )


def study_answer(view: StudyView, *, status: int = 200) -> Answer:
    """A study with its tag."""
    headers = {"ETag": render.study_etag(view), "Cache-Control": "private, no-cache"}
    if status == 201:
        headers["Location"] = f"/v1/studies/{view.study.id}"
    return json_answer(render.study(view), status=status, headers=headers)


def _revision_of(api: Api, study_id: str) -> Callable[[], int]:
    return lambda: api.services.studies.get(study_id).study.revision


@router.post(
    "/studies",
    **operation(
        "create_study",
        "studies",
        SUBMIT,
        {201: StudyOut, 200: DryRunOut},
        method="POST",
        body=StudyDefinitionBody,
        errors=("invalid-study", "already-exists"),
    ),
)
async def create_study(
    api: ApiDep,
    definition: RawDefinition,
    dry_run: Annotated[bool, Query(description="Only check it: nothing is created.")] = False,
) -> Response:
    """Create a study, or with `dry_run=true` only say what would be created."""
    if dry_run:
        checked = await api.call(api.services.studies.check, definition)
        shown = definition_to_json(checked.definition)
        return respond(json_answer({"definition": shown, "warnings": list(checked.warnings)}))
    created = partial(study_answer, status=201)
    return await api.kept(api.services.studies.create, definition, render=created)


@router.put(
    "/studies/by-name/{name:rest}",
    **operation(
        "put_study",
        "studies",
        SUBMIT,
        {200: StudyOut, 201: StudyOut},
        method="PUT",
        body=StudyDefinitionBody,
        errors=("invalid-study", "not-found", "study-definition-mismatch"),
    ),
)
async def put_study(
    name: Annotated[str, Path(max_length=1000, description="Name of the study.")],
    api: ApiDep,
    definition: RawDefinition,
) -> Response:
    """Create the study of that name, or find it when it has the same definition."""
    view, created = await api.call(api.services.studies.put_by_name, name, definition)
    return respond(study_answer(view, status=201 if created else 200))


@router.get(
    "/studies",
    **operation(
        "list_studies", "studies", READ, {200: StudyListOut}, repeatable=("state", "label")
    ),
)
async def list_studies(
    api: ApiDep,
    state: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None,
        Query(max_length=64, description="States to show; repeat it or separate by commas."),
    ] = None,
    label: Annotated[
        list[Annotated[str, Query(max_length=401)]] | None,
        Query(max_length=64, description="`key=value` that has to hold; may be repeated."),
    ] = None,
    name_prefix: Annotated[str, Query(max_length=200, description="How names begin.")] = "",
    name_contains: Annotated[
        str, Query(max_length=200, description="What names contain, in either case.")
    ] = "",
    order_by: Annotated[
        Literal["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"],
        Query(description="What to sort by; `-` is descending."),
    ] = "-created_at",
    view: Annotated[
        Literal["basic", "summary"],
        Query(description="`summary` adds rate, time left, trend and last failures."),
    ] = "basic",
    page_size: PageSize = DEFAULT_PAGE_SIZE,
    page_token: PageToken = None,
) -> Response:
    """List studies, newest first unless `order_by` says otherwise."""
    filters = StudyFilter(
        states=read_states(StudyState, state or ()),
        labels=read_labels(label or ()),
        name_prefix=name_prefix,
        name_contains=name_contains,
    )
    found = await api.call(
        api.services.studies.page, filters, page_size, page_token, order=StudyOrder(order_by)
    )
    page = await api.call(_listed, api, found, view == "summary")
    return respond(json_answer(page))


def _listed(api: Api, page: StudyPage, with_summary: bool) -> dict[str, Any]:
    items = [render.study(view) for view in page.items]
    if with_summary:
        for item in items:
            item["summary"] = render.summary(api.services.studies.summary(item["id"]))
    return {
        "studies": items,
        "next_page_token": page.next_page_token,
        "state_counts": dict(page.state_counts),
    }


@router.get(
    "/studies/{study_id:id}",
    **operation(
        "get_study",
        "studies",
        READ,
        {200: StudyOut, 304: "Unchanged since the tag in If-None-Match."},
        errors=("not-found",),
        headers=("If-None-Match",),
    ),
)
async def get_study(study_id: StudyId, api: ApiDep) -> Response:
    """Get a study, with its best trial and what keeps it from going on."""
    view = await api.call(api.services.studies.get, study_id)
    return unless_unchanged(api, study_answer(view))


def unless_unchanged(api: Api, answer: Answer) -> Response:
    """The answer, or 304 when the client has it already."""
    if is_unchanged(api.request, answer.headers["ETag"]):
        return respond(Answer(status=304, headers=answer.headers, body=""))
    return respond(answer)


@router.patch(
    "/studies/{study_id:id}",
    **operation(
        "update_study",
        "studies",
        SUBMIT,
        {200: StudyOut},
        method="PATCH",
        body=StudyChangesBody,
        errors=("not-found", "etag-mismatch", "etag-required", "invalid-study"),
        headers=("If-Match",),
    ),
)
async def update_study(study_id: StudyId, api: ApiDep, changes: RawChanges) -> Response:
    """Change limits, priority, labels, description or resources."""
    revision = await api.revision(_revision_of(api, study_id), is_required=True)
    view = await api.call(api.services.studies.patch, study_id, changes, revision=revision or 0)
    return respond(study_answer(view))


@router.post(
    "/studies/{study_id:id}:pause",
    **_verb_operation("pause_study"),
    dependencies=[NoBody],
)
async def pause_study(study_id: StudyId, api: ApiDep) -> Response:
    """Hand out no more trials; running ones go on to their end."""
    return await _verb(api, api.services.studies.pause, study_id)


@router.post(
    "/studies/{study_id:id}:resume",
    **_verb_operation("resume_study"),
    dependencies=[NoBody],
)
async def resume_study(study_id: StudyId, api: ApiDep) -> Response:
    """Go on with a paused study, or with one whose limit was raised."""
    return await _verb(api, api.services.studies.resume, study_id)


@router.post(
    "/studies/{study_id:id}:stop",
    **_verb_operation("stop_study"),
    dependencies=[NoBody],
)
async def stop_study(study_id: StudyId, api: ApiDep) -> Response:
    """End a study as soon as its running trials have ended."""
    return await _verb(api, api.services.studies.stop, study_id)


@router.post(
    "/studies/{study_id:id}:cancel",
    **_verb_operation("cancel_study"),
    dependencies=[NoBody],
)
async def cancel_study(study_id: StudyId, api: ApiDep) -> Response:
    """End a study at once; running trials are aborted."""
    return await _verb(api, api.services.studies.cancel, study_id)


async def _verb(api: Api, verb: Callable[..., StudyView], study_id: str) -> Response:
    revision = await api.revision(_revision_of(api, study_id))
    return await api.kept(verb, study_id, revision=revision, render=study_answer)


@router.delete(
    "/studies/{study_id:id}",
    **operation(
        "delete_study",
        "studies",
        SUBMIT,
        {200: StudyOut},
        method="DELETE",
        errors=("not-found", "etag-mismatch"),
        headers=("If-Match",),
    ),
    dependencies=[NoBody],
)
async def delete_study(study_id: StudyId, api: ApiDep) -> Response:
    """Delete a study; it can be restored until `purge_at`."""
    revision = await api.revision(_revision_of(api, study_id))
    view = await api.call(api.services.studies.delete, study_id, revision=revision)
    return respond(study_answer(view))


@router.post(
    "/studies/{study_id:id}:undelete",
    **operation(
        "undelete_study",
        "studies",
        SUBMIT,
        {200: StudyOut},
        method="POST",
        errors=("not-found", "already-exists"),
    ),
    dependencies=[NoBody],
)
async def undelete_study(study_id: StudyId, api: ApiDep) -> Response:
    """Restore a deleted study as it was."""
    return await api.kept(api.services.studies.undelete, study_id, render=study_answer)


@router.get(
    "/studies/{study_id:id}/best",
    **operation(
        "get_best_trials",
        "studies",
        READ,
        {200: BestOut},
        errors=("not-found", "suggester-unavailable"),
    ),
)
async def get_best_trials(
    study_id: StudyId,
    api: ApiDep,
    k: Annotated[int, Query(ge=1, le=1000, description="How many, 1 to 1,000.")] = 1,
    by: Annotated[
        Literal["observed", "posterior_mean"],
        Query(
            description="`posterior_mean`: by what a Gaussian process expects at their points, "
            "which a lucky draw of a noisy metric cannot win. One objective, 3 results or more."
        ),
    ] = "observed",
) -> Response:
    """Get the best completed trials, best first."""
    if by == "posterior_mean":
        return respond(json_answer(render.winners(await api.services.winners.best(study_id, k))))
    trials = await api.call(api.services.studies.best, study_id, k)
    found = [render.trial(trial) for trial in trials]
    return respond(json_answer({"trials": found, "by": by, "posterior": None}))


@router.get(
    "/studies/{study_id:id}/replay",
    **operation(
        "replay_study",
        "studies",
        READ,
        {200: ReplayOut},
        errors=("not-found", "suggester-unavailable"),
    ),
)
async def replay_study(
    study_id: StudyId,
    api: ApiDep,
    after: Annotated[
        int, Query(ge=0, le=2**31 - 1, description="Look at trials after this number.")
    ] = 0,
    force: Annotated[
        bool, Query(description="Also points that other versions of the libraries made.")
    ] = False,
) -> Response:
    """Derive suggested points again from what was known then, and compare to the last bit.

    Answers when some seconds of work are done: go on with `next_after`.
    """
    page = await api.services.replays.page(study_id, after=after, force=force)
    return respond(json_answer(asdict(page)))


@router.get(
    "/studies/{study_id:id}/pareto",
    **operation("get_pareto_front", "studies", READ, {200: ParetoOut}, errors=("not-found",)),
)
async def get_pareto_front(study_id: StudyId, api: ApiDep) -> Response:
    """Get the Pareto front of the completed trials, and its hypervolume."""
    front = await api.call(api.services.studies.pareto, study_id)
    return respond(
        json_answer(
            {
                "trials": [render.trial(trial) for trial in front.trials],
                "hypervolume": front.hypervolume,
                "reference": list(front.reference) if front.reference is not None else None,
            }
        )
    )
