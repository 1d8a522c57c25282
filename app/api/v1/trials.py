"""Trials as a person handles them: list, look at, enqueue, import, cancel, retry, note; and their
curves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from ...domain.token import Role
from ...domain.trial import Measurement, Trial, TrialState
from ...errors import Denied
from ...service.views import TrialView
from ...store.idempotency import Answer
from ...store.measurements import MOST as MOST_MEASUREMENTS
from ...store.page import Page
from ...store.trials import TrialFilter
from .. import render
from ..access import READ, READ_OWN, SUBMIT
from ..answers import json_answer, respond
from ..bodies import body_of, no_body, parse_json, validate
from ..deps import Api, ApiDep
from ..operation import operation
from ..paging import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, PageSize, PageToken, read_states
from ..route import ServiceRoute
from ..schemas.reports import MeasurementsOut
from ..schemas.trials import (
    EnqueueBody,
    NoteBody,
    TrialDetail,
    TrialListOut,
    TrialOut,
    TrialsOut,
)
from ..selection import Order, Where, read_order, read_selection
from .common import StudyId, TrialId
from .studies import unless_unchanged

router = APIRouter(prefix="/v1", route_class=ServiceRoute)

NoBody = Depends(no_body)

_VERB_ERRORS = ("not-found", "illegal-transition", "etag-mismatch")


def trial_answer(trial: Trial) -> Answer:
    """A trial with its tag."""
    return json_answer(render.trial(trial), headers=trial_headers(trial))


def trial_headers(trial: Trial) -> dict[str, str]:
    """The headers of an answer that shows a trial."""
    return {"ETag": render.trial_etag(trial), "Cache-Control": "private, no-cache"}


@router.get(
    "/studies/{study_id:id}/trials",
    **operation(
        "list_trials",
        "trials",
        READ,
        {200: TrialListOut},
        errors=("not-found",),
        repeatable=("state",),
    ),
)
async def list_trials(
    study_id: StudyId,
    api: ApiDep,
    state: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None,
        Query(max_length=64, description="States to show; repeat it or separate by commas."),
    ] = None,
    order_by: Order = "number",
    where: Where = None,
    changed_since: Annotated[
        int | None,
        Query(ge=0, le=2**53, description="Only trials that changed after this `change_seq`."),
    ] = None,
    page_size: PageSize = DEFAULT_PAGE_SIZE,
    page_token: PageToken = None,
) -> Response:
    """List a study's trials."""
    filters = TrialFilter(
        states=read_states(TrialState, state or ()),
        changed_since=changed_since,
        where=read_selection(where),
    )
    listed = await api.call(
        api.services.trials.page, study_id, filters, read_order(order_by), page_size, page_token
    )
    return respond(
        json_answer(
            {
                "trials": [render.trial(trial) for trial in listed.page.items],
                "next_page_token": listed.page.next_page_token,
                "change_seq": listed.change_seq,
            }
        )
    )


async def _items(request: Request) -> list[Mapping[str, Any]]:
    """The items as they were sent, of the right shape; the service holds them against the space."""
    value = parse_json(await request.body())
    validate(EnqueueBody, value)
    items: list[Mapping[str, Any]] = value["trials"]
    return items


@router.post(
    "/studies/{study_id:id}/trials",
    **operation(
        "enqueue_trials",
        "trials",
        SUBMIT,
        {201: TrialsOut},
        method="POST",
        body=EnqueueBody,
        errors=("not-found", "budget-exhausted", "illegal-transition"),
    ),
)
async def enqueue_trials(
    study_id: StudyId,
    api: ApiDep,
    items: Annotated[list[Mapping[str, Any]], Depends(_items)],
) -> Response:
    """Add points to try before suggested ones, or import finished trials: all of them or none."""
    return await api.kept(api.services.trials.enqueue, study_id, items, render=_trials_answer)


def _trials_answer(trials: list[Trial]) -> Answer:
    return json_answer({"trials": [render.trial(trial) for trial in trials]}, status=201)


@router.get(
    "/trials/{trial_id:id}",
    **operation(
        "get_trial",
        "trials",
        READ_OWN,
        {200: TrialDetail, 304: "Unchanged since the tag in If-None-Match."},
        errors=("not-found",),
        headers=("If-None-Match",),
    ),
)
async def get_trial(trial_id: TrialId, api: ApiDep) -> Response:
    """Get a trial, with its attempts and a summary of its measurements."""
    view = await api.call(readable, api, trial_id)
    headers = trial_headers(view.trial)
    return unless_unchanged(api, json_answer(render.trial_detail(view), headers=headers))


def readable(api: Api, trial_id: str) -> TrialView:
    """A trial that the caller may read: a worker only those it was given.

    Raises:
        Denied: a worker asks for another's trial.
    """
    view = api.services.trials.get(trial_id)
    caller = api.caller
    if caller.role is Role.WORKER and all(
        lease.token_id != caller.token_id for lease in view.attempts
    ):
        raise Denied("a worker token reads only the trials that were given to it")
    return view


@router.patch(
    "/trials/{trial_id:id}",
    **operation(
        "update_trial",
        "trials",
        SUBMIT,
        {200: TrialOut},
        method="PATCH",
        body=NoteBody,
        errors=("not-found", "etag-mismatch", "etag-required"),
        headers=("If-Match",),
    ),
)
async def update_trial(
    trial_id: TrialId, api: ApiDep, body: Annotated[NoteBody, Depends(body_of(NoteBody))]
) -> Response:
    """Write a note on a trial."""
    current = _revision_of(api, trial_id)
    revision = await api.revision(current, is_required=True)
    trial = await api.call(
        api.services.trials.set_note, trial_id, body.note, revision=revision or 0
    )
    return respond(trial_answer(trial))


def _revision_of(api: Api, trial_id: str) -> Callable[[], int]:
    return lambda: api.services.trials.get(trial_id).trial.revision


@router.post(
    "/trials/{trial_id:id}:cancel",
    **operation(
        "cancel_trial",
        "trials",
        SUBMIT,
        {200: TrialOut},
        method="POST",
        errors=_VERB_ERRORS,
        headers=("If-Match",),
    ),
    dependencies=[NoBody],
)
async def cancel_trial(trial_id: TrialId, api: ApiDep) -> Response:
    """Cancel a trial that has not ended; its worker is told to abort."""
    return await _verb(api, api.services.trials.cancel, trial_id)


@router.post(
    "/trials/{trial_id:id}:retry",
    **operation(
        "retry_trial",
        "trials",
        SUBMIT,
        {200: TrialOut},
        method="POST",
        errors=(*_VERB_ERRORS, "budget-exhausted"),
        headers=("If-Match",),
    ),
    dependencies=[NoBody],
)
async def retry_trial(trial_id: TrialId, api: ApiDep) -> Response:
    """Run a failed trial again, its attempts and losses counted anew."""
    return await _verb(api, api.services.trials.retry, trial_id)


async def _verb(api: Api, verb: Callable[..., Trial], trial_id: str) -> Response:
    revision = await api.revision(_revision_of(api, trial_id))
    return await api.kept(verb, trial_id, revision=revision, render=trial_answer)


@router.get(
    "/trials/{trial_id:id}/measurements",
    **operation(
        "list_measurements", "trials", READ_OWN, {200: MeasurementsOut}, errors=("not-found",)
    ),
)
async def list_measurements(
    trial_id: TrialId,
    api: ApiDep,
    page_size: Annotated[
        int | None,
        Query(
            ge=0,
            description=f"Items a page; more than {MAX_PAGE_SIZE:,} is taken as that. Without it, "
            f"or with 0, all of them, {MOST_MEASUREMENTS:,} at most.",
        ),
    ] = None,
    page_token: PageToken = None,
) -> Response:
    """Read a trial's curves back, by attempt and step."""

    def read() -> Page[Measurement]:
        if api.caller.role is Role.WORKER:
            readable(api, trial_id)
        return api.services.trials.measurements(trial_id, page_size or None, page_token)

    page = await api.call(read)
    shown = [render.measurement(each) for each in page.items]
    return respond(json_answer({"measurements": shown, "next_page_token": page.next_page_token}))
