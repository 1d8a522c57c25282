"""The lease protocol: claim, suggest, beat, release, and every write under a lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import Response

from ...domain.trial import Trial, TrialState
from ...errors import Denied, NotFound
from ...service.following import Following
from ...service.fusing import Fusing
from ...service.views import Beat, Caller, Claim, DeviceFree, Grant, Point, Report, Suggested
from ...store.idempotency import Answer, Receipt
from .. import render
from ..access import HOLD, SUBMIT, WORK, check_role
from ..answers import json_answer, respond
from ..bodies import body_of
from ..deps import Api, ApiDep
from ..operation import operation
from ..route import ServiceRoute
from ..schemas.asks import NextBody, SuggestBody, SuggestOut
from ..schemas.leases import (
    BeatOut,
    ClaimBody,
    ClaimOut,
    HeartbeatBody,
    HeartbeatOut,
    ReleaseBody,
    RenewBody,
)
from ..schemas.reports import (
    CompleteBody,
    EndBody,
    EndedOut,
    FailBody,
    FailedOut,
    LastReportBody,
    MatchBody,
    MatchOut,
    ReportBody,
    ReportOut,
)
from ..schemas.trials import TrialOut
from .common import LeaseId, StudyId, TrialId
from .trials import trial_answer, trial_headers

router = APIRouter(prefix="/v1", route_class=ServiceRoute)

_WRITE_ERRORS = ("not-found", "stale-lease")


@router.post(
    "/studies/{study_id:id}:suggest",
    **operation(
        "suggest_trials",
        "leases",
        SUBMIT,
        {200: SuggestOut},
        method="POST",
        body=SuggestBody,
        errors=("not-found", "suggester-unavailable"),
    ),
)
async def suggest_trials(
    study_id: StudyId,
    api: ApiDep,
    body: Annotated[SuggestBody, Depends(body_of(SuggestBody, is_optional=True))],
) -> Response:
    """Ask for trials to evaluate oneself; fewer than asked, down to none, where limits say so."""
    answer = await _suggested(api, study_id, body, api.receipt(_suggest_answer))
    return _gone() if answer is None else respond(_suggest_answer(answer))


async def _suggested(
    api: Api, study_id: str, body: SuggestBody, receipt: Receipt[Suggested] | None = None
) -> Suggested | None:
    """Trials for the caller; None when it has left."""
    answer = await api.while_connected(
        api.services.claims.suggest(
            study_id,
            count=body.count,
            client_id=body.client_id,
            wait_s=body.wait_s,
            lease_s=body.lease_s,
            caller=api.caller,
            receipt=receipt,
        )
    )
    await _recheck(api, answer.grants if answer else ())
    return answer


def _suggest_answer(answer: Suggested) -> Answer:
    return json_answer(render.suggested(answer))


@router.post(
    "/leases:claim",
    **operation(
        "claim_leases",
        "leases",
        WORK,
        {200: ClaimOut},
        method="POST",
        body=ClaimBody,
        errors=("not-found", "suggester-unavailable"),
    ),
)
async def claim_leases(
    api: ApiDep, body: Annotated[ClaimBody, Depends(body_of(ClaimBody))]
) -> Response:
    """Claim trials for a worker, waiting for the first one up to `wait_s` seconds."""
    free = body.devices_free
    answer = await api.while_connected(
        api.services.claims.claim(
            body.worker_id,
            max_leases=body.max_leases,
            wait_s=body.wait_s,
            devices_free=None if free is None else [DeviceFree(**d.model_dump()) for d in free],
            objectives=body.objectives,
            is_ahead=body.ahead,
            fusing=Fusing(most=body.fuse, group=body.fuse_group),
            slots=body.slots,
            caller=api.caller,
            receipt=api.receipt(_claim_answer),
        )
    )
    await _recheck(api, answer.grants if answer else ())
    return _gone() if answer is None else respond(_claim_answer(answer))


def _claim_answer(answer: Claim) -> Answer:
    return json_answer(render.claim(answer))


async def _recheck(api: Api, grants: Sequence[Grant]) -> None:
    """Gives back what was handed to a token that was revoked while its call waited.

    Raises:
        Denied: it was.
    """
    try:
        await api.recheck()
    except Denied:
        for grant in grants:
            await api.call(
                api.services.leases.release,
                grant.lease.id,
                reason="token-refused",
                checkpoint_id=None,
                caller=Caller(),
            )
        raise


def _gone() -> Response:
    """What nobody will read: the client has left."""
    return Response(status_code=204)


@router.post(
    "/leases:heartbeat",
    **operation(
        "heartbeat_leases",
        "leases",
        HOLD,
        {200: HeartbeatOut},
        method="POST",
        body=HeartbeatBody,
        errors=("not-found",),
    ),
)
async def heartbeat_leases(
    api: ApiDep, body: Annotated[HeartbeatBody, Depends(body_of(HeartbeatBody))]
) -> Response:
    """Renew leases and learn what to do with each; a stale one is told `abort`."""
    if body.worker_id is not None and body.devices_free:
        free = [DeviceFree(**device.model_dump()) for device in body.devices_free]
        await api.services.claims.note_free(body.worker_id, free)
    answers = await api.call(
        api.services.leases.beat,
        [Beat(**beat.model_dump()) for beat in body.leases],
        worker_id=body.worker_id,
        caller=api.caller,
    )
    return respond(json_answer({"leases": [render.beat(answer) for answer in answers]}))


@router.post(
    "/leases/{lease_id:id}:renew",
    **operation(
        "renew_lease",
        "leases",
        HOLD,
        {200: BeatOut},
        method="POST",
        body=RenewBody,
        errors=_WRITE_ERRORS,
    ),
)
async def renew_lease(
    lease_id: LeaseId,
    api: ApiDep,
    body: Annotated[RenewBody, Depends(body_of(RenewBody, is_optional=True))],
) -> Response:
    """Renew one lease."""
    beat = Beat(lease_id=lease_id, **body.model_dump())
    answer = await api.call(api.services.leases.renew, beat, caller=api.caller)
    return respond(json_answer(render.beat(answer)))


@router.post(
    "/leases/{lease_id:id}:release",
    **operation(
        "release_lease",
        "leases",
        HOLD,
        {200: TrialOut},
        method="POST",
        body=ReleaseBody,
        errors=(*_WRITE_ERRORS, "illegal-transition"),
    ),
)
async def release_lease(
    lease_id: LeaseId,
    api: ApiDep,
    body: Annotated[ReleaseBody, Depends(body_of(ReleaseBody, is_optional=True))],
) -> Response:
    """Give a trial back: it is pending again."""
    trial = await api.call(
        api.services.leases.release,
        lease_id,
        reason=body.reason,
        checkpoint_id=body.checkpoint_id,
        caller=api.caller,
    )
    return respond(trial_answer(trial))


@router.post(
    "/trials/{trial_id:id}/measurements",
    **operation(
        "report_measurements",
        "trials",
        HOLD,
        {200: ReportOut},
        method="POST",
        body=ReportBody,
        errors=_WRITE_ERRORS,
    ),
)
async def report_measurements(
    trial_id: TrialId, api: ApiDep, body: Annotated[ReportBody, Depends(body_of(ReportBody))]
) -> Response:
    """Report measurements; renews the lease. The same `seq` again changes nothing."""
    reported = await api.write(
        api.services.leases.report(
            trial_id,
            lease_id=body.lease_id,
            seq=body.seq,
            points=_points(body),
            caller=api.caller,
        )
    )
    return respond(json_answer(render.reported(reported)))


def _points(body: LastReportBody) -> list[Point]:
    return [Point(step=p.step, values=p.values, elapsed_s=p.elapsed_s) for p in body.points]


@router.post(
    "/trials/{trial_id:id}:match",
    **operation(
        "match_trial",
        "trials",
        HOLD,
        {200: MatchOut},
        method="POST",
        body=MatchBody,
        errors=_WRITE_ERRORS,
    ),
)
async def match_trial(
    trial_id: TrialId, api: ApiDep, body: Annotated[MatchBody, Depends(body_of(MatchBody))]
) -> Response:
    """Ask whether an equal trial has been completed; if so this one is, with its result."""
    matched = await api.call(
        api.services.leases.match,
        trial_id,
        lease_id=body.lease_id,
        equivalent=body.equivalent,
        caller=api.caller,
    )
    headers = {"ETag": render.trial_etag(matched.trial)}
    shown = {**render.trial(matched.trial), "answered": matched.is_answered}
    return respond(json_answer(shown, headers=headers))


@router.post(
    "/trials/{trial_id:id}:complete",
    **operation(
        "complete_trial",
        "trials",
        HOLD,
        {200: EndedOut},
        method="POST",
        body=CompleteBody,
        errors=(*_WRITE_ERRORS, "illegal-transition", "suggester-unavailable"),
    ),
)
async def complete_trial(
    trial_id: TrialId, api: ApiDep, body: Annotated[CompleteBody, Depends(body_of(CompleteBody))]
) -> Response:
    """End a trial with its final values; the same call again gets the first answer."""
    _check_may_ask(api, body)
    data: dict[str, Any] | None = body.data.model_dump() if body.data else None
    following = _following(api, body)
    trial = await api.write(
        api.services.leases.complete(
            trial_id,
            lease_id=body.lease_id,
            state=TrialState(body.state),
            values=body.values,
            step=body.step,
            usage=body.usage,
            data=data,
            equivalent=body.equivalent,
            report=_last_report(body),
            following=following,
            caller=api.caller,
        )
    )
    return await _ended(api, body, trial, following)


def _check_may_ask(api: Api, body: EndBody) -> None:
    """Before anything is written: who may not call `:suggest` gets nothing here either."""
    if body.next is not None:
        check_role(api.caller, SUBMIT)


def _last_report(body: EndBody) -> Report | None:
    last = body.measurements
    return None if last is None else Report(seq=last.seq, points=_points(last))


def _following(api: Api, body: EndBody) -> Following | None:
    """The ask for the next trial, as the end of this one may bring it along."""
    asked = body.next
    if asked is None:
        return None
    return api.services.leases.following(
        count=asked.count, client_id=asked.client_id, lease_s=asked.lease_s, caller=api.caller
    )


async def _ended(
    api: Api, body: EndBody, trial: Trial, following: Following | None, **more: Any
) -> Response:
    """The answer to the end of an attempt; its trial is as the end has left it, whatever comes
    with `next`.
    """
    shown = {**render.trial(trial), **more, "next": None}
    if body.next is not None and following is not None:
        shown["next"] = await _next(api, trial.study_id, body.next, following)
    return respond(json_answer(shown, headers=trial_headers(trial)))


async def _next(
    api: Api, study_id: str, body: NextBody, following: Following
) -> dict[str, Any] | None:
    if (given := following.answer) is not None:
        await _recheck(api, given.grants)
        return render.suggested(given)
    try:
        answer = await _suggested(api, study_id, body)
    except NotFound:  # deleted just now: the trial has ended all the same
        return None
    return None if answer is None else render.suggested(answer)


@router.post(
    "/trials/{trial_id:id}:fail",
    **operation(
        "fail_trial",
        "trials",
        HOLD,
        {200: FailedOut},
        method="POST",
        body=FailBody,
        errors=(*_WRITE_ERRORS, "illegal-transition", "suggester-unavailable"),
    ),
)
async def fail_trial(
    trial_id: TrialId,
    api: ApiDep,
    body: Annotated[FailBody, Depends(body_of(FailBody, is_lenient=True))],
) -> Response:
    """Report a failed attempt; the trial runs again while its failure policy allows it."""
    _check_may_ask(api, body)
    following = _following(api, body)
    failed = await api.write(
        api.services.leases.fail(
            trial_id,
            lease_id=body.lease_id,
            kind=body.kind,
            message=body.message,
            traceback=body.traceback,
            min_memory_bytes=body.min_memory_bytes,
            report=_last_report(body),
            following=following,
            caller=api.caller,
        )
    )
    return await _ended(api, body, failed.trial, following, will_retry=failed.will_retry)
