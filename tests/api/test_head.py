"""HEAD on what GET shows."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from app.domain.token import Role
from app.service.services import Services

from .asgi import Call
from .conftest import create
from .test_access import bearer

pytestmark = pytest.mark.anyio

FLEETING = {"x-request-id", "ratelimit", "date"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/studies", 200),
        ("/v1/studies/{id}", 200),
        ("/v1/studies/{id}/trials?page_size=7", 200),
        ("/v1/studies/{id}/export", 200),
        ("/v1/studies/{id}/export?format=parquet", 200),
        ("/v1/studies/st_none", 404),
        ("/v1/studies?page_size=-1", 422),
        ("/healthz", 200),
        ("/openapi.json", 200),
        ("/", 200),
        ("/v1/none", 404),
    ],
)
@pytest.mark.parametrize("accepted", ["gzip", "identity"])
async def test_a_head_is_a_get_without_its_body(
    app: FastAPI, http: httpx.AsyncClient, path: str, status: int, accepted: str
) -> None:
    target = path.format(id=(await create(http))["id"])
    heads = []
    for method in ("GET", "HEAD"):
        async with Call(app, method, target, {"accept-encoding": accepted}) as call:
            found, headers = await call.start()
            heads.append({k: v for k, v in headers.items() if k not in FLEETING})
            if method == "HEAD":
                assert await call.read() == b""
        assert found == status
    assert heads[0] == heads[1]


@pytest.mark.parametrize("path", ["/v1/studies/{id}/events", "/v1/events"])
async def test_the_head_of_a_stream_ends_it(
    app: FastAPI, http: httpx.AsyncClient, path: str
) -> None:
    target = path.format(id=(await create(http))["id"])
    async with Call(app, "HEAD", target, {"accept": "text/event-stream"}) as call:
        status, headers = await call.start()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        await asyncio.wait_for(call.task, 10)


async def test_a_head_needs_the_role_of_its_get_and_is_counted_by_its_route(
    http: httpx.AsyncClient, services: Services, tokens: dict[Role, str]
) -> None:
    assert (await http.head("/v1/tokens")).status_code == 401
    worker = bearer(tokens[Role.WORKER])
    assert (await http.head("/v1/tokens", headers=worker)).status_code == 403
    admin = bearer(tokens[Role.ADMIN])
    assert (await http.head("/v1/tokens", headers=admin)).status_code == 200
    metrics = (await http.get("/metrics", headers=admin)).text
    assert 'method="HEAD",route="/v1/tokens",status="200"' in metrics


async def test_a_head_of_what_takes_no_get_is_405(http: httpx.AsyncClient) -> None:
    answer = await http.head("/v1/studies/st_1:pause")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
