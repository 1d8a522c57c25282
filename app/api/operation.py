"""One operation's entry in OpenAPI, and with it its roles: what is written here is what
`ServiceRoute` enforces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from ..domain.token import Role
from .parquet import MEDIA_TYPE as PARQUET
from .problems import DOCS_PATH, MEDIA_TYPE, PROBLEMS

ROLES = "x-roles"
REPEATABLE = "x-repeatable"
RAW_BODY = "x-raw-body"
_SENT_HEADERS = {
    name: {"$ref": f"#/components/headers/{name}"}
    for name in ("X-Request-ID", "RateLimit", "RateLimit-Policy")
}

_ALWAYS = ("invalid-value", "headers-too-large", "internal", "storage-busy")
_WITH_ROLES = ("forbidden", "unauthenticated", "rate-limited")
_WITH_BODY = ("malformed-request", "too-large", "unsupported-media-type", "request-timeout")
_ON_POST = (
    *_WITH_BODY,
    "idempotency-in-progress",
    "idempotency-key-reused",
)

BINARY = ("application/octet-stream", PARQUET)

_WITHOUT_BODY = (204, 304)
"""Statuses of answers that never have one."""

MODELS: dict[str, type[BaseModel]] = {}
"""Every model that an operation names, by its name in the schemas of the OpenAPI page."""


def ref(model: type[BaseModel]) -> dict[str, str]:
    """A reference to a model's schema."""
    MODELS[model.__name__] = model
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def operation(
    operation_id: str,
    tag: str,
    roles: Sequence[Role],
    answers: Mapping[int, type[BaseModel] | str],
    *,
    method: str = "GET",
    body: type[BaseModel] | None = None,
    errors: Sequence[str] = (),
    headers: Sequence[str] = (),
    repeatable: Sequence[str] = (),
    raw_body: str | None = None,
    media: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The keyword arguments of a route.

    Args:
        operation_id: verb_noun, fixed for generated clients.
        tag: the noun that it belongs to.
        roles: who may call it; nobody is asked who they are when empty.
        answers: model of each success, or a sentence for one without a body.
        method: the route's method; POST takes an Idempotency-Key.
        body: model of the request body.
        errors: problem codes beside those that every operation has.
        headers: names of conditional request headers that it heeds.
        repeatable: query parameters that may stand more than once.
        raw_body: media type of a request body that is no JSON.
        media: other media types of the success, with a description of each.
    """
    codes = set(errors) | set(_ALWAYS)
    codes |= set(_WITH_ROLES) if roles else set()
    codes |= set(_WITH_BODY) if body or raw_body else set()
    codes |= set(_ON_POST) if method == "POST" else set()
    extra: dict[str, Any] = {
        ROLES: [role.value for role in roles],
        "security": [{"bearer": []}, {"session": []}] if roles else [],
    }
    if repeatable:
        extra[REPEATABLE] = list(repeatable)
    if body:
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": ref(body)}},
        }
    if raw_body:
        extra[RAW_BODY] = True
        extra["requestBody"] = {
            "required": False,
            "content": {raw_body: {"schema": {"type": "string", "format": "binary"}}},
        }
    sent = (*headers, "Idempotency-Key") if method == "POST" else tuple(headers)
    if sent:
        extra["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in sent]
    return {
        "operation_id": operation_id,
        "tags": [tag],
        "status_code": min(answers),
        "response_class": Response,
        "responses": {**_successes(answers, media), **_problems(codes)},
        "openapi_extra": extra,
    }


def _successes(
    answers: Mapping[int, type[BaseModel] | str], media: Mapping[str, str] | None
) -> dict[int | str, dict[str, Any]]:
    documented: dict[int | str, dict[str, Any]] = {}
    for status, answer in answers.items():
        others = {kind: {"schema": _streamed(kind, told)} for kind, told in (media or {}).items()}
        if isinstance(answer, str):
            entry: dict[str, Any] = {"description": answer}
            if others and status not in _WITHOUT_BODY:
                entry["content"] = others
        else:
            entry = {
                "description": _first_line(answer),
                "content": {"application/json": {"schema": ref(answer)}, **others},
            }
        entry["headers"] = _SENT_HEADERS
        documented[status] = entry
    return documented


def _streamed(kind: str, told: str) -> dict[str, Any]:
    """The schema of an answer that is no JSON document; of a stream it is that of one event."""
    if kind in BINARY:
        return {"type": "string", "format": "binary", "description": told}
    if kind != "text/event-stream":
        return {"type": "string", "description": told}
    fields = {
        "event": "The kind of event.",
        "id": "What to go on after, as `Last-Event-ID`.",
        "data": "One JSON object.",
    }
    return {
        "type": "object",
        "description": told,
        "properties": {n: {"type": "string", "description": d} for n, d in fields.items()},
        "required": list(fields),
    }


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or model.__name__).strip().splitlines()[0]


def _problems(codes: set[str]) -> dict[int | str, dict[str, Any]]:
    by_status: dict[int, list[str]] = {}
    for code in PROBLEMS:
        if code in codes:
            by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {
        status: {
            "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{c}`' for c in listed)}.",
            "headers": _SENT_HEADERS,
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        code: {"$ref": f"#/components/examples/{code}"} for code in listed
                    },
                }
            },
        }
        for status, listed in sorted(by_status.items())
    }


def example(code: str) -> dict[str, Any]:
    """A problem document of this code, for the docs."""
    kind = PROBLEMS[code]
    return {
        "type": f"{DOCS_PATH}#problem-{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "One sentence about this very case.",
        "instance": "/v1/studies",
        "code": code,
        "retryable": kind.is_retryable,
        "request_id": "rq_5f0c8a7be2d14c9fa1b20c3d",
    }


RATE_LIMIT = {
    "description": "Calls that the caller has left (`r`), and seconds until it has all (`t`).",
    "schema": {"type": "string"},
    "example": '"default";r=1999;t=1',
}

RATE_LIMIT_POLICY = {
    "description": "Calls at once (`q`), and seconds in which they come back (`w`).",
    "schema": {"type": "string"},
    "example": '"default";q=2000;w=2',
}

REQUEST_ID = {
    "description": "The request's id: the one sent, or a fresh one. The service's log has it.",
    "schema": {"type": "string"},
}

HEADERS: dict[str, dict[str, Any]] = {
    name: {"name": name, "in": "header", "required": False, "description": told, "schema": schema}
    for name, told, schema in (
        (
            "Idempotency-Key",
            "Makes a repeated call safe: the first final answer is kept 24 hours and given again.",
            {"type": "string", "minLength": 1, "maxLength": 255},
        ),
        (
            "X-CSRF-Token",
            "The session's CSRF token: needed on every write that comes with the session cookie.",
            {"type": "string", "maxLength": 100},
        ),
        (
            "If-None-Match",
            "An ETag that was read before; an unchanged resource is answered 304, without a body.",
            {"type": "string"},
        ),
        (
            "If-Match",
            "An ETag that was read before; its revision has to be the present one. "
            "Needed on PATCH, optional elsewhere.",
            {"type": "string"},
        ),
        (
            "Content-Range",
            "Where the chunk belongs: `bytes FIRST-LAST/SIZE`; `bytes */SIZE` asks what is there.",
            {"type": "string"},
        ),
        ("Range", "Which part is asked for: `bytes=FIRST-LAST`.", {"type": "string"}),
        (
            "If-Range",
            "The ETag of the content that the caller has a part of; of another one all is sent.",
            {"type": "string"},
        ),
    )
}
