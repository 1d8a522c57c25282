"""Every caller against every route, from one table: the contract's rule on roles as the service
keeps it. The routes come from the application, so that a new one cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from app.api.pages import PAGES
from app.domain.token import Role
from app.service.services import Services

from .conftest import BASE, client_of, create
from .contract import Contract
from .test_access import MAY, OPEN, OPERATIONS

pytestmark = pytest.mark.anyio

NOBODIES = ("none", "invalid", "expired", "revoked")
CALLERS = (*NOBODIES, *(role.value for role in Role))
WITH_SESSION = tuple(role.value for role in Role)
WRITES = {"POST", "PUT", "PATCH", "DELETE"}

OUTSIDE_THE_PAGE = {*PAGES, "/docs", "/openapi.json"}
"""Routes that are not in the OpenAPI page: shells without data, open to everyone."""


def expected(caller: str, operation: str) -> str:
    """What comes of a call while auth is on: "in", "401" or "403"."""
    if operation in OPEN:
        return "in"
    if caller in NOBODIES:
        return "401"
    return "in" if Role(caller) in MAY[operation] else "403"


def outcome(answer: httpx.Response, operation: str) -> str:
    """How far a call got. A sign-in with a body that is none gets as far as its own checks."""
    if answer.status_code in (401, 403) and operation not in OPEN:
        assert answer.json()["code"] in ("unauthenticated", "forbidden")
        return str(answer.status_code)
    assert answer.status_code not in (429, 500), (operation, answer.text)
    return "in"


async def call_all(http: httpx.AsyncClient) -> dict[str, str]:
    """Every operation, on ids that do not exist."""
    found = {}
    for name, method, path in OPERATIONS:
        answer = await http.request(method, path.replace("{", "").replace("}", ""))
        found[name] = outcome(answer, name)
    return found


@pytest.fixture
def secrets(services: Services) -> dict[str, str]:
    """A secret for each caller that has one; auth is on from here."""
    made = {role.value: services.tokens.create(role.value, role, None)[1] for role in Role}
    _, made["expired"] = services.tokens.create("guest", Role.ADMIN, 1)
    gone, made["revoked"] = services.tokens.create("leaver", Role.ADMIN, None)
    services.tokens.revoke(gone.id)
    services.store.clock.offset_s += timedelta(seconds=2).total_seconds()
    return {**made, "invalid": "tw_" + "x" * 43}


def header(secrets: dict[str, str], caller: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secrets[caller]}"} if caller != "none" else {}


@pytest.mark.parametrize("caller", CALLERS)
async def test_with_auth_on_each_caller_gets_what_the_table_says(
    app: FastAPI, contract: Contract, secrets: dict[str, str], caller: str
) -> None:
    async with client_of(app, contract, **header(secrets, caller)) as http:
        found = await call_all(http)
    assert found == {name: expected(caller, name) for name, _, _ in OPERATIONS}


@pytest.mark.parametrize("secret", ["none", "invalid"])
async def test_with_auth_off_this_machine_gets_everywhere(
    app: FastAPI, contract: Contract, secret: str
) -> None:
    """No token was ever made, so no caller can have an expired or a revoked one."""
    headers = {} if secret == "none" else {"Authorization": "Bearer tw_x"}
    async with client_of(app, contract, **headers) as http:
        assert set((await call_all(http)).values()) == {"in"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "tuner.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Via": "1.1 proxy"},
    ],
    ids=["rebound name", "foreign page", "sandboxed page", "proxy", "other proxy"],
)
async def test_with_auth_off_nobody_else_gets_anywhere(
    app: FastAPI, contract: Contract, headers: dict[str, str]
) -> None:
    async with client_of(app, contract, **headers) as http:
        for name, method, path in OPERATIONS:
            answer = await http.request(method, path)
            is_probe = name in ("get_health", "get_readiness")
            assert answer.status_code == (200 if is_probe else 403), (name, answer.text)


@asynccontextmanager
async def signed_in(
    app: FastAPI, contract: Contract, secret: str, *, has_csrf: bool
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has signed in; its writes bring the CSRF token or do not."""
    async with client_of(app, contract) as http:
        session = await http.put("/v1/session", json={"token": secret})
        assert session.status_code == 200, session.text
        if has_csrf:
            http.headers["X-CSRF-Token"] = session.json()["csrf_token"]
        yield http


@pytest.mark.parametrize("caller", WITH_SESSION)
async def test_a_session_gets_what_its_token_gets(
    app: FastAPI, contract: Contract, secrets: dict[str, str], caller: str
) -> None:
    async with signed_in(app, contract, secrets[caller], has_csrf=True) as http:
        cookie = http.cookies["tunewell_session"]
        for name, method, path in OPERATIONS:
            answer = await http.request(method, path.replace("{", "").replace("}", ""))
            http.cookies.set("tunewell_session", cookie, domain="127.0.0.1")  # signing out clears
            assert outcome(answer, name) == expected(caller, name), (name, answer.text)


async def test_a_session_without_its_csrf_token_writes_nothing(
    app: FastAPI, contract: Contract, secrets: dict[str, str]
) -> None:
    async with signed_in(app, contract, secrets["admin"], has_csrf=False) as http:
        for name, method, path in OPERATIONS:
            if name == "create_session":
                continue  # it brings a token in its body and heeds no session
            answer = await http.request(method, path.replace("{", "").replace("}", ""))
            is_refused = answer.status_code == 403 and "X-CSRF-Token" in answer.text
            assert is_refused is (method in WRITES), (name, answer.text)


async def test_every_route_is_on_the_page_or_open_on_purpose(app: FastAPI) -> None:
    hidden = {
        route.path  # type: ignore[attr-defined]
        for route in app.router.routes
        if not getattr(route, "include_in_schema", True)
    }
    assert {path for path in hidden if not path.startswith("/static/")} == OUTSIDE_THE_PAGE
    on_page = {(method, path) for _, method, path in OPERATIONS}
    in_app = {
        (method, route.path_format)  # type: ignore[attr-defined]
        for route in app.router.routes
        if getattr(route, "include_in_schema", False)
        for method in route.methods or ()  # type: ignore[attr-defined]
    }
    assert {method for method, _ in in_app} <= {method for method, _ in on_page}
    assert len(in_app) == len(OPERATIONS)
    assert BASE.startswith("http://127.")


async def test_a_worker_token_writes_under_its_own_leases_only(
    app: FastAPI, contract: Contract, services: Services, secrets: dict[str, str]
) -> None:
    """Another worker's token knows the ids, and changes nothing with them."""
    _, other = services.tokens.create("other worker", Role.WORKER, None)
    async with (
        client_of(app, contract, **header(secrets, "worker")) as mine,
        client_of(app, contract, Authorization=f"Bearer {other}") as theirs,
        client_of(app, contract, **header(secrets, "submitter")) as user,
    ):
        space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
        objective = {"name": "function", "options": {"function": "sphere"}}
        await create(user, objective=objective, space=space)
        registered = {"name": "w", "boot_id": "1", "objectives": ["function"]}
        worker_id = (await mine.post("/v1/workers", json=registered)).json()["id"]
        claimed = await mine.post("/v1/leases:claim", json={"worker_id": worker_id})
        [lease] = claimed.json()["leases"]
        trial, lease_id = f"/v1/trials/{lease['trial']['id']}", lease["lease_id"]
        points = [{"step": 1, "values": {"value": 1.0}}]
        calls: list[tuple[str, dict[str, object]]] = [
            (f"{trial}/measurements", {"lease_id": lease_id, "seq": 0, "points": points}),
            (f"{trial}/logs", {"lease_id": lease_id, "offset": 0, "text": "a"}),
            (f"{trial}:match", {"lease_id": lease_id, "equivalent": {}}),
            (f"{trial}:complete", {"lease_id": lease_id, "values": {"value": 1.0}}),
            (f"{trial}:fail", {"lease_id": lease_id, "kind": "user_error"}),
            (f"/v1/leases/{lease_id}:renew", {}),
            (f"/v1/leases/{lease_id}:release", {}),
        ]
        before = (await user.get(trial)).json()
        for path, body in calls:
            answer = await theirs.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        beat = await theirs.post("/v1/leases:heartbeat", json={"leases": [{"lease_id": lease_id}]})
        assert [one["directive"] for one in beat.json().get("leases", [])] in ([], ["abort"])
        assert (await user.get(trial)).json() == before
        assert (await mine.post(calls[0][0], json=calls[0][1])).status_code == 200


async def test_with_auth_off_a_link_of_another_site_opens_a_page_and_writes_nothing(
    app: FastAPI, contract: Contract
) -> None:
    async with client_of(app, contract, **{"Sec-Fetch-Site": "cross-site"}) as http:
        assert (await http.get("/")).status_code == 200
        for name, method, path in OPERATIONS:
            answer = await http.request(method, path)
            assert (answer.status_code == 403) is (method in WRITES), name
