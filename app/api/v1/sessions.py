"""Signing in with a browser: a token becomes a cookie that scripts cannot read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ...domain.token import Role
from ...errors import Denied
from ...service.sessions import SignedIn
from ...service.views import Caller
from ...store.actor import Actor, act_as
from .. import render
from ..answers import json_answer, respond
from ..bodies import body_of, no_body
from ..cookies import check_csrf, check_same_origin, clear_cookie, session_cookie, set_cookie
from ..deps import ApiDep, is_auth_on, services_of, threaded
from ..operation import operation
from ..rate import count_call
from ..route import ServiceRoute
from ..schemas.sessions import SessionOut, SignInBody

router = APIRouter(prefix="/v1", route_class=ServiceRoute)

_ERRORS = ("forbidden", "rate-limited")


def _answer(caller: Caller, signed_in: SignedIn | None) -> Response:
    return respond(json_answer(render.session(caller, signed_in)))


async def _counted(request: Request) -> None:
    """Nobody is known here yet: calls count by address."""
    count_call(request, None)
    check_same_origin(request)


@router.put(
    "/session",
    **operation(
        "create_session",
        "session",
        (),
        {200: SessionOut},
        method="PUT",
        body=SignInBody,
        errors=(*_ERRORS, "unauthenticated"),
    ),
    dependencies=[Depends(_counted)],
)
async def create_session(
    request: Request, body: Annotated[SignInBody, Depends(body_of(SignInBody))]
) -> Response:
    """Sign in: sets a session cookie (HttpOnly, SameSite=Strict) that stands for the token."""
    services = services_of(request)
    signed_in = await threaded(request, services.sessions.sign_in, body.token.strip())
    caller = Caller.of(signed_in.token)
    response = _answer(caller, signed_in)
    set_cookie(request, response, signed_in, services.sessions.session_s)
    return response


@router.get("/session", **operation("get_session", "session", tuple(Role), {200: SessionOut}))
async def get_session(request: Request, api: ApiDep) -> Response:
    """Say who calls; under a session, with the CSRF token that its writes need."""
    return _answer(api.caller, getattr(request.state, "signed_in", None))


@router.delete(
    "/session",
    **operation(
        "delete_session",
        "session",
        (),
        {204: "The browser is signed out."},
        method="DELETE",
        errors=(*_ERRORS, "malformed-request", "too-large", "unsupported-media-type"),
    ),
    dependencies=[Depends(_counted), Depends(no_body)],
)
async def delete_session(request: Request) -> Response:
    """Sign out: has the browser forget its cookie. Without a session nothing happens."""
    signed_in = await _present(request)
    if signed_in is not None:
        check_csrf(request, signed_in)
        token_id = signed_in.token.id
        act_as(Actor(token_id=token_id, request_id=request.state.request_id))
        await threaded(request, services_of(request).sessions.sign_out, signed_in)
    response = Response(status_code=204)
    clear_cookie(request, response)
    return response


async def _present(request: Request) -> SignedIn | None:
    cookie = session_cookie(request)
    if not cookie or not await is_auth_on(request):
        return None
    try:
        return await threaded(request, services_of(request).sessions.authenticate, cookie)
    except Denied:
        return None  # over already: what is left is to forget the cookie
