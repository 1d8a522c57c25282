"""The OpenAPI document of the routes, and the routes that serve it: as JSON, and for people."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response

from .deps import threaded
from .links import add_links
from .operation import HEADERS, MODELS, RATE_LIMIT, RATE_LIMIT_POLICY, REQUEST_ID, example
from .pages import docs_page
from .problems import DOCS_PATH, PROBLEMS
from .schemas.common import Problem

VERSION = "1.0.0"
DESCRIPTION = (
    "Tunewell runs hyperparameter tuning: a study holds a search space and a budget, its trials "
    "are given to workers or clients under leases, and suggesters that know every result propose "
    "the points. All bodies are JSON in UTF-8; all errors are problem documents (RFC 9457); "
    "durations end in `_s`, sizes in `_bytes`; times are RFC 3339 in UTC. A body has at most 8 MiB "
    "(or what the service is set to) and 64 levels; a head has at most 64 KiB and 100 headers. "
    "A caller that calls too often is answered 429 with `Retry-After`; `RateLimit` and "
    "`RateLimit-Policy` tell what is left. An unknown query "
    "parameter or field is refused. Lists are paged by `page_size` and `page_token`. A POST with "
    "an `Idempotency-Key` can be repeated safely for 24 hours. While no token was ever made the "
    "service answers to this machine only and needs none; from the first one on each call sends "
    "`Authorization: Bearer`."
)
_TAGS = {
    "studies": "Tuning problems with their budgets.",
    "trials": "Evaluations of single points.",
    "leases": "How trials are handed out: to workers by claims, to clients by `:suggest`.",
    "checkpoints": "What trials save of their training, so that another attempt goes on.",
    "workers": "Programs that evaluate trials.",
    "tokens": "Who may call, and who changed what.",
    "session": "Signing in with a browser.",
    "events": "What changed, as it happens.",
    "meta": "The service itself.",
}


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application's routes."""
    page = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=[{"name": name, "description": told} for name, told in _TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "The service that serves this page."}],
    )
    page["components"] = {
        "schemas": _schemas(),
        "examples": {code: {"value": example(code)} for code in PROBLEMS},
        "headers": {
            "X-Request-ID": REQUEST_ID,
            "RateLimit": RATE_LIMIT,
            "RateLimit-Policy": RATE_LIMIT_POLICY,
        },
        "parameters": HEADERS,
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token's secret. `x-roles` of an operation names who may call it.",
            },
            "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": "tunewell_session",
                "description": "The dashboard's session, set by `PUT /v1/session`; "
                "`__Host-tunewell_session` over https. Writes need `X-CSRF-Token` too.",
            },
        },
    }
    add_links(page)
    return page


def _schemas() -> dict[str, Any]:
    models: list[type[BaseModel]] = [Problem, *MODELS.values()]
    _, page = models_json_schema(
        [(model, "validation") for model in models],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = page["$defs"]
    properties = schemas["Problem"]["properties"]
    properties["code"]["enum"] = list(PROBLEMS)
    return dict(sorted(schemas.items()))


def install(app: FastAPI) -> None:
    """Serves the document at /openapi.json, and for people at /docs; it is made once."""
    made: dict[str, Any] = {}

    def page() -> dict[str, Any]:
        if not made:
            made.update(document(app))
        return made

    async def openapi(request: Request) -> Response:
        text = json.dumps(await threaded(request, page), ensure_ascii=False)
        return Response(text, media_type="application/json")

    async def docs(request: Request) -> Response:
        problems = [
            {"code": code, "status": p.status, "title": p.title, "retryable": p.is_retryable}
            for code, p in PROBLEMS.items()
        ]
        return docs_page(await threaded(request, page), problems)

    app.add_route("/openapi.json", openapi, methods=["GET"], include_in_schema=False)
    app.add_route(DOCS_PATH, docs, methods=["GET"], include_in_schema=False)
