"""Signing in with a browser: the cookie, what it is worth, and for how long."""

from __future__ import annotations

from datetime import datetime
from http.cookies import SimpleCookie

import httpx
import pytest
from fastapi import FastAPI

from app.api import build
from app.domain.token import Role
from app.service.services import Services
from app.settings import Settings
from app.store import signing_keys
from app.store.opening import open_store

from .conftest import client_of, create, definition
from .contract import Contract
from .problems import is_problem

pytestmark = pytest.mark.anyio

COOKIE = "tunewell_session"


def cookie_of(answer: httpx.Response) -> SimpleCookie:
    found = SimpleCookie()
    for line in answer.headers.get_list("set-cookie"):
        found.load(line)
    return found


async def sign_in(http: httpx.AsyncClient, secret: str) -> str:
    """Signs in; returns the CSRF token."""
    answer = await http.put("/v1/session", json={"token": secret})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["csrf_token"])


async def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(
    http: httpx.AsyncClient, tokens: dict[Role, str]
) -> None:
    answer = await http.put("/v1/session", json={"token": tokens[Role.SUBMITTER]})
    morsel = cookie_of(answer)[COOKIE]
    assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "strict", "/")
    assert morsel["domain"] == ""
    assert morsel["secure"] == ""
    assert int(morsel["max-age"]) == Settings().session_s
    assert answer.json()["role"] == "submitter"
    assert tokens[Role.SUBMITTER] not in answer.text + str(answer.headers)


async def test_over_https_the_cookie_is_bound_to_the_host(
    app: FastAPI, contract: Contract, tokens: dict[Role, str]
) -> None:
    async with client_of(app, contract) as http:
        http.base_url = httpx.URL("https://tuner.example")
        answer = await http.put("/v1/session", json={"token": tokens[Role.READER]})
        morsel = cookie_of(answer)[f"__Host-{COOKIE}"]
        assert morsel["secure"] is True
        assert (await http.get("/v1/studies")).status_code == 200
        value = http.cookies[f"__Host-{COOKIE}"]
        http.cookies.clear()
        stolen = {"Cookie": f"{COOKIE}={value}"}  # as a page over http could have set it
        assert (await http.get("/v1/studies", headers=stolen)).status_code == 401


@pytest.mark.parametrize("secret", ["tw_unknown", "x", "=cmd", "\u202e", "t" * 200])
async def test_a_wrong_token_signs_nobody_in(
    http: httpx.AsyncClient, tokens: dict[Role, str], secret: str
) -> None:
    assert tokens
    answer = await http.put("/v1/session", json={"token": secret})
    is_problem(answer, 401, "unauthenticated")
    assert "set-cookie" not in answer.headers
    assert secret not in answer.text or len(secret) < 2


async def test_who_calls_is_told_with_a_session_with_a_token_and_without_auth(
    http: httpx.AsyncClient, services: Services
) -> None:
    nobody = (await http.get("/v1/session")).json()
    assert nobody == {
        "token_id": None,
        "role": "admin",
        "csrf_token": None,
        "expires_at": None,
        "token_expires_at": None,
    }
    token, secret = services.tokens.create("me", Role.READER, None)
    bearer = {"Authorization": f"Bearer {secret}"}
    known = (await http.get("/v1/session", headers=bearer)).json()
    assert known == {**nobody, "token_id": token.id, "role": "reader"}
    csrf = await sign_in(http, secret)
    seen = (await http.get("/v1/session")).json()
    assert (seen["token_id"], seen["csrf_token"]) == (token.id, csrf)
    assert seen["expires_at"] is not None
    assert seen["token_expires_at"] is None
    ending, secret = services.tokens.create("ending", Role.READER, 3600.0)
    bearer = {"Authorization": f"Bearer {secret}"}
    told = (await http.get("/v1/session", headers=bearer)).json()["token_expires_at"]
    assert datetime.fromisoformat(told) == ending.expires_at


async def test_a_write_needs_the_csrf_token_of_this_very_session(
    app: FastAPI, http: httpx.AsyncClient, contract: Contract, tokens: dict[Role, str]
) -> None:
    csrf = await sign_in(http, tokens[Role.ADMIN])
    async with client_of(app, contract) as other:
        foreign = await sign_in(other, tokens[Role.ADMIN])
    assert foreign != csrf
    for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": foreign}, {"X-CSRF-Token": "\xe9"}):
        raw = {k: v.encode("latin-1") for k, v in wrong.items()}
        answer = await http.post("/v1/studies", json=definition(), headers=raw)
        is_problem(answer, 403, "forbidden")
    assert (await http.get("/v1/studies")).json()["studies"] == []
    await create_with(http, csrf)


async def create_with(http: httpx.AsyncClient, csrf: str, **headers: str) -> None:
    http.headers["X-CSRF-Token"] = csrf
    http.headers.update(headers)
    await create(http)


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_sites_page_writes_nothing_even_with_the_csrf_token(
    http: httpx.AsyncClient, tokens: dict[Role, str], foreign: dict[str, str]
) -> None:
    csrf = await sign_in(http, tokens[Role.ADMIN])
    headers = {"X-CSRF-Token": csrf, **foreign}
    answer = await http.post("/v1/studies", json=definition(), headers=headers)
    is_problem(answer, 403, "forbidden")
    signing_in = {"token": tokens[Role.ADMIN]}
    answer = await http.put("/v1/session", json=signing_in, headers=foreign)
    is_problem(answer, 403, "forbidden")


async def test_our_own_page_writes(http: httpx.AsyncClient, tokens: dict[Role, str]) -> None:
    csrf = await sign_in(http, tokens[Role.ADMIN])
    own = {"Origin": "http://127.0.0.1:8700", "Sec-Fetch-Site": "same-origin"}
    await create_with(http, csrf, **own)


async def test_a_revoked_token_ends_its_sessions_at_once(
    http: httpx.AsyncClient, services: Services
) -> None:
    token, secret = services.tokens.create("leaver", Role.ADMIN, None)
    csrf = await sign_in(http, secret)
    assert (await http.get("/v1/studies")).status_code == 200
    services.tokens.revoke(token.id)
    is_problem(await http.get("/v1/studies"), 401, "unauthenticated")
    answer = await http.delete("/v1/session", headers={"X-CSRF-Token": csrf})
    assert answer.status_code == 204


async def test_a_session_ends_by_the_databases_clock_and_with_its_token(
    http: httpx.AsyncClient, services: Services, tokens: dict[Role, str]
) -> None:
    await sign_in(http, tokens[Role.READER])
    services.store.clock.offset_s = Settings().session_s - 5
    assert (await http.get("/v1/studies")).status_code == 200
    services.store.clock.offset_s = Settings().session_s + 1
    is_problem(await http.get("/v1/studies"), 401, "unauthenticated")
    _, short = services.tokens.create("guest", Role.READER, 60)
    await sign_in(http, short)
    services.store.clock.offset_s += 61
    is_problem(await http.get("/v1/studies"), 401, "unauthenticated")


async def test_a_cookie_that_somebody_wrote_is_none(
    http: httpx.AsyncClient, services: Services, tokens: dict[Role, str]
) -> None:
    await sign_in(http, tokens[Role.READER])
    good = http.cookies[COOKIE]
    admin = next(t.id for t in services.tokens.page(10, None).items if t.role is Role.ADMIN)
    token_id, ends, nonce, signature = good.split(".")
    forged = [
        f"{admin}.{ends}.{nonce}.{signature}",
        f"{token_id}.{int(ends) + 1}.{nonce}.{signature}",
        f"{token_id}.{ends}.{nonce}.",
        f"{token_id}.{ends}.{nonce}.{signature}x",
        f"{token_id}.{ends}.{signature}",
        good + "." + good,
        "x" * 5000,
        "....",
        "\xe9.1.x.y",
    ]
    http.cookies.clear()
    for value in forged:
        raw = {"Cookie": f"{COOKIE}={value}".encode("latin-1")}
        answer = await http.get("/v1/studies", headers=raw)
        assert answer.status_code == 401, value
    assert (await http.get("/v1/studies", headers={"Cookie": f"{COOKIE}={good}"})).is_success


async def test_a_token_in_the_header_goes_before_the_cookie(
    http: httpx.AsyncClient, tokens: dict[Role, str]
) -> None:
    await sign_in(http, tokens[Role.ADMIN])
    bearer = {"Authorization": f"Bearer {tokens[Role.READER]}"}
    assert (await http.get("/v1/tokens", headers=bearer)).status_code == 403
    nonsense = {"Authorization": "Bearer nonsense"}
    assert (await http.get("/v1/tokens", headers=nonsense)).status_code == 401


async def test_signing_out_clears_the_cookie_and_is_noted(
    http: httpx.AsyncClient, services: Services, tokens: dict[Role, str]
) -> None:
    csrf = await sign_in(http, tokens[Role.SUBMITTER])
    answer = await http.delete("/v1/session", headers={"X-CSRF-Token": csrf})
    assert answer.status_code == 204
    assert COOKIE not in http.cookies
    assert (await http.get("/v1/studies")).status_code == 401
    actions = [entry.action for entry in services.audits.page(10, None).items]
    assert actions[:2] == ["session.deleted", "session.created"]
    assert (await http.delete("/v1/session")).status_code == 204  # nobody is signed in: no matter


async def test_replicas_know_each_others_sessions(
    services: Services, settings: Settings, contract: Contract, tokens: dict[Role, str]
) -> None:
    """And so does a service that has started anew: the key is in the database."""
    store = open_store(services.store.url, pool_size=2)
    other = Services(store, settings)
    apps = [build(settings), build(settings)]
    apps[0].state.services, apps[1].state.services = services, other
    try:
        async with client_of(apps[0], contract) as first, client_of(apps[1], contract) as second:
            await sign_in(first, tokens[Role.READER])
            second.cookies = first.cookies
            assert (await second.get("/v1/studies")).status_code == 200
    finally:
        await other.stop()
        store.close()


async def test_a_database_with_tokens_but_without_a_key_gets_one(
    http: httpx.AsyncClient, services: Services, tokens: dict[Role, str]
) -> None:
    """Tokens are older than sessions are."""
    services.store.write(lambda tx: tx.conn.execute(signing_keys.signing_keys.delete()))
    await sign_in(http, tokens[Role.READER])
    assert (await http.get("/v1/studies")).status_code == 200
