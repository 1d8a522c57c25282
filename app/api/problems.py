"""Every error of the API as problem+json (RFC 9457): THE one table from code to status, title and
retryability.

Of a request's body only the values that are wrong are shown, cut and without secrets; nothing of
an exception's text that was not written for the caller leaves here.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..domain.checking import Faults, child, near_miss, shown
from ..errors import AppError, Fault, StaleLease

MEDIA_TYPE = "application/problem+json"
DOCS_PATH = "/docs"

log = logging.getLogger("tunewell.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """One row of the table. `is_retryable`: the same request may succeed later, unchanged."""

    status: int
    title: str
    is_retryable: bool = False


PROBLEMS: Mapping[str, ProblemType] = MappingProxyType(
    {
        "malformed-request": ProblemType(status=400, title="The request cannot be read"),
        "unauthenticated": ProblemType(status=401, title="A valid token is needed"),
        "forbidden": ProblemType(status=403, title="This caller may not do this"),
        "not-found": ProblemType(status=404, title="There is no such thing"),
        "method-not-allowed": ProblemType(status=405, title="The path does not take this method"),
        "illegal-transition": ProblemType(status=409, title="The present state does not allow it"),
        "stale-lease": ProblemType(status=409, title="The lease is no longer the trial's"),
        "already-exists": ProblemType(status=409, title="The name is taken"),
        "budget-exhausted": ProblemType(status=409, title="No place is left in the budget"),
        "study-definition-mismatch": ProblemType(
            status=409, title="The study of that name has another definition"
        ),
        "checkpoints-off": ProblemType(status=409, title="This service keeps no checkpoints"),
        "upload-incomplete": ProblemType(
            status=409, title="The content is not whole", is_retryable=True
        ),
        "idempotency-in-progress": ProblemType(
            status=409, title="The first call with this key is still running", is_retryable=True
        ),
        "request-timeout": ProblemType(
            status=408, title="The request took too long to come in", is_retryable=True
        ),
        "etag-mismatch": ProblemType(status=412, title="The resource has changed since"),
        "too-large": ProblemType(status=413, title="The body is too large"),
        "unsupported-media-type": ProblemType(status=415, title="The body has to be JSON"),
        "range-not-satisfiable": ProblemType(status=416, title="The content has no such part"),
        "invalid-study": ProblemType(status=422, title="The study definition has faults"),
        "invalid-value": ProblemType(status=422, title="A value is not allowed"),
        "idempotency-key-reused": ProblemType(
            status=422, title="The key was used with another request"
        ),
        "etag-required": ProblemType(status=428, title="If-Match is needed"),
        "headers-too-large": ProblemType(status=431, title="The head of the request is too large"),
        "rate-limited": ProblemType(status=429, title="Too many requests", is_retryable=True),
        "internal": ProblemType(status=500, title="The service failed", is_retryable=True),
        "storage-busy": ProblemType(
            status=503, title="The database does not answer", is_retryable=True
        ),
        "suggester-unavailable": ProblemType(
            status=503, title="No suggester is free", is_retryable=True
        ),
    }
)
"""Problem codes of the contract. A code that is not here is answered as `internal`."""

_CODE_OF_STATUS = {
    400: "malformed-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-value",
}

_FAULT_CODES = {
    "missing": "missing-field",
    "extra_forbidden": "unknown-field",
    "enum": "unknown-value",
    "literal_error": "unknown-value",
    "greater_than": "out-of-range",
    "greater_than_equal": "out-of-range",
    "less_than": "out-of-range",
    "less_than_equal": "out-of-range",
    "int_from_float": "not-an-integer",
    "finite_number": "not-finite",
    "string_too_long": "too-long",
    "string_too_short": "empty",
    "too_short": "empty",
    "number": "wrong-type",
    "string_pattern_mismatch": "malformed",
}
"""Our codes of pydantic's error types, where they differ by more than the hyphen."""

_WRONG_TYPE = re.compile(r"\w+_(type|parsing)")
"""Pydantic's error types for a value of another type than the field's."""

_TOKEN = re.compile(r"tw_[A-Za-z0-9_-]{16,}")
"""A token's secret, wherever a caller put it: no answer repeats one."""

_SECRETS = frozenset({"token", "secret", "password", "csrf_token"})
"""Fields whose values are shown nowhere."""


def pointer_of(path: Iterable[object]) -> str:
    """An RFC 6901 pointer from the keys and indices that lead to a value."""
    return reduce(child, path, "")


def faults_of(
    errors: Sequence[Mapping[str, Any]], *, skip: int = 0, fields: Iterable[str] = ()
) -> list[Fault]:
    """Pydantic's errors as faults, up to the bound on faults.

    Args:
        skip: how many leading parts of each location ("query", "body") are left out.
        fields: names that the whole may have, for a near miss.
    """
    faults = Faults()
    for error in errors:
        if faults.is_full:
            break
        faults.add(pointer_of(error["loc"][skip:]), _code_of(error["type"]), _detail(error, fields))
    return list(faults.items)


def _code_of(kind: str) -> str:
    if _WRONG_TYPE.fullmatch(kind):
        return "wrong-type"
    return _FAULT_CODES.get(kind, kind.replace("_", "-"))


def _detail(error: Mapping[str, Any], fields: Iterable[str]) -> str:
    place = error["loc"]
    if error["type"] == "extra_forbidden" and len(place) == 1:
        return f"There is no field {shown(place[0])}{near_miss(place[0], fields)}"
    if error["type"] == "model_type":
        return f"must be an object, found {shown(error['input'])}"
    return _rule_and_value(error)


def _rule_and_value(error: Mapping[str, Any]) -> str:
    """The rule, and the value that was sent: cut, and never that of a secret."""
    rule, place = str(error["msg"]), error["loc"][-1:]
    if error["type"] == "missing" or "input" not in error or set(place) & _SECRETS:
        return rule
    return f"{rule}, found {shown(error['input'])}"


def document(error: AppError, *, request_id: str, instance: str) -> dict[str, Any]:
    """The problem document of an error.

    Args:
        error: what went wrong; its text is shown, except for an `internal` one.
        request_id: id under which the service's log has the request.
        instance: path of the request.
    """
    code = error.code if error.code in PROBLEMS else "internal"
    kind = PROBLEMS[code]
    detail = error.detail
    if code == "internal":
        detail = f"the service failed; its log has the cause under request id {request_id}"
    problem: dict[str, Any] = {
        "type": f"{DOCS_PATH}#problem-{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": _masked(detail),
        "instance": _masked(instance),
        "code": code,
        "retryable": kind.is_retryable,
        "request_id": request_id,
    }
    if error.retry_after_s is not None:
        problem["retry_after_s"] = error.retry_after_s
    if error.faults:
        problem["errors"] = [
            {"pointer": _masked(f.pointer), "code": f.code, "detail": _masked(f.detail)}
            for f in error.faults
        ]
    if code != "internal":
        problem.update(error.members)
    return problem


def _masked(text: str) -> str:
    return _TOKEN.sub("tw_***", text)


def as_app_error(exc: Exception) -> AppError:
    """Any exception as one of ours; what was not foreseen becomes `internal`."""
    if isinstance(exc, AppError):
        return exc
    if isinstance(exc, RequestValidationError):
        return _wrong_parameters(exc)
    if isinstance(exc, ValidationError):
        return AppError("the service made a value that it cannot show")
    if isinstance(exc, ClientDisconnect):
        return AppError("the client left before the body was whole", code="malformed-request")
    if isinstance(exc, HTTPException):
        code = _CODE_OF_STATUS.get(exc.status_code, "internal")
        return AppError(_phrase(exc), code=code)
    return AppError("unforeseen")


def _phrase(exc: HTTPException) -> str:
    if exc.status_code == HTTPStatus.NOT_FOUND:
        return "there is nothing at this path"
    return str(exc.detail)


def _wrong_parameters(exc: RequestValidationError) -> AppError:
    faults = faults_of(exc.errors(), skip=1)
    named = ", ".join(fault.pointer.lstrip("/") for fault in faults)
    return AppError(f"wrong parameters: {named}", code="invalid-value", faults=faults)


def problem_response(exc: Exception, request: Request) -> Response:
    """The answer to a request that ended in `exc`; a failure of our own is logged with its
    traceback.
    """
    error = as_app_error(exc)
    request_id = str(getattr(request.state, "request_id", ""))
    if error.code == StaleLease.code and request.app.state.services is not None:
        request.app.state.services.counters.stale_writes.inc()
    problem = document(error, request_id=request_id, instance=request.url.path)
    if problem["status"] == HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error(
            "request_failed",
            exc_info=exc,
            extra={"path": request.url.path, "method": request.method},
        )
    # A lone surrogate, should one have got here, becomes the escape that JSON has for it.
    text = json.dumps(problem, ensure_ascii=False).encode("utf-8", "backslashreplace")
    response = Response(text, problem["status"], media_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if problem["status"] == HTTPStatus.REQUEST_TIMEOUT:
        response.headers["Connection"] = "close"  # the rest of the body is not waited for
    if problem["status"] == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="tunewell"'
    allow = getattr(request.state, "allow", None)
    if problem["status"] == HTTPStatus.METHOD_NOT_ALLOWED and allow:
        response.headers["Allow"] = allow
    return response
