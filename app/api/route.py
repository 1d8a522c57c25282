"""What every route does before its endpoint: who calls, may they, are the parameters known, was
this answered before.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from ..domain.token import Role
from ..errors import Denied, Fault, InvalidInput, NotFound
from ..logs import bind
from ..service.views import Caller
from ..store.actor import Actor, act_as
from ..store.idempotency import Replay
from . import idempotency
from .access import check_role
from .answers import respond
from .bodies import check_media_type
from .deps import caller_of, services_of, threaded
from .direct import Handler, direct, serving
from .operation import RAW_BODY, ROLES
from .problems import problem_response
from .rate import count_call

_NOUNS = frozenset({"study_id", "trial_id", "worker_id", "lease_id"})
"""Path parameters that the lines of the log carry."""


class _IdConvertor(Convertor[str]):
    """A path segment without a colon: what follows a colon is a verb."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _RestConvertor(_IdConvertor):
    """All that is left of a path, line breaks too: `path` would end at one."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())
register_url_convertor("rest", _RestConvertor())


class ServiceRoute(APIRoute):
    """A route that knows its roles (from its OpenAPI entry) and its query parameters."""

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        if direct(self.dependant) is not None:
            self.app = serving(self.get_route_handler())

    def get_route_handler(self) -> Handler:
        """The endpoint, with the checks in front of it."""
        answer = direct(self.dependant) or super().get_route_handler()
        extra = self.openapi_extra or {}
        roles = tuple(Role(name) for name in extra.get(ROLES, ()))
        known = frozenset(param.alias for param in self.dependant.query_params)
        known_in_path = frozenset(self.param_convertors)
        repeatable = frozenset(extra.get("x-repeatable", ()))
        is_raw = bool(extra.get(RAW_BODY))

        async def handle(request: Request) -> Response:
            request.state.attempt = None
            if "\0" in request.scope["path"]:
                raise NotFound("there is nothing at this path")  # no database could look for it
            bind(**{name: request.path_params.get(name) for name in _NOUNS & known_in_path})
            if roles:
                request.state.caller = await _admitted(request)
                bind(token_id=request.state.caller.token_id)
                check_role(request.state.caller, roles)
            _check_query(request, known, repeatable)
            if not is_raw:
                check_media_type(request)
            return await _once(request, answer) if roles else await answer(request)

        return handle


async def _admitted(request: Request) -> Caller:
    """The caller, counted; from here on what the request changes is the caller's doing.

    Raises:
        Denied: nobody that is known.
        Unavailable: `rate-limited`.
    """
    try:
        caller = await caller_of(request)
    except Denied:
        count_call(request, None)
        raise
    count_call(request, caller.token_id)
    act_as(Actor(token_id=caller.token_id, request_id=request.state.request_id))
    return caller


def _check_query(request: Request, known: frozenset[str], repeatable: frozenset[str]) -> None:
    if not request.scope["query_string"]:
        return
    faults = []
    for name in dict.fromkeys(key for key, _ in request.query_params.multi_items()):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            faults.append(
                _fault(name, "unknown-parameter", f"there is no parameter {name!r}{hint}")
            )
        elif name not in repeatable and len(request.query_params.getlist(name)) > 1:
            faults.append(_fault(name, "repeated-parameter", f"{name!r} is given more than once"))
        elif any("\0" in value for value in request.query_params.getlist(name)):
            faults.append(_fault(name, "control-character", f"{name!r} has a NUL character"))
    if faults:
        raise InvalidInput("; ".join(fault.detail for fault in faults), faults=faults)


def _fault(name: str, code: str, detail: str) -> Fault:
    pointer = "/" + name[:100].replace("~", "~0").replace("/", "~1")
    return Fault(pointer=pointer, code=code, detail=detail[:300])


async def _once(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answers a request; one under an Idempotency-Key that was answered before gets that answer
    again.
    """
    attempt = await idempotency.begin(request, request.state.caller)
    if attempt is None:
        return await answer(request)
    services, in_flight = services_of(request), request.app.state.in_flight
    with in_flight.hold(attempt.key):
        found = await threaded(request, idempotency.find, services, attempt)
        if found is not None:
            return _replayed(respond(found))
        request.state.attempt = attempt
        try:
            response = await answer(request)
        except Replay as replay:
            return _replayed(respond(replay.answer))
        except Exception as exc:
            response = problem_response(exc, request)
        is_refusal = response.status_code >= 400
        if idempotency.is_kept(response) and (is_refusal or not attempt.has_receipt):
            await threaded(request, idempotency.keep, services, attempt, response)
        return response


def _replayed(response: Response) -> Response:
    response.headers["Idempotent-Replayed"] = "true"
    return response
