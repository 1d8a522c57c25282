"""A POST that is sent again under its key does nothing twice."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from app.api.idempotency import InFlight
from app.domain.token import Role
from app.errors import Conflict, Unavailable
from app.service.services import Services
from app.store.idempotency import Key

from .asgi import Call
from .conftest import ask, client_of, create, definition
from .contract import Contract
from .problems import is_problem

pytestmark = pytest.mark.anyio

KEYED = {"Idempotency-Key": "k-1"}


async def test_the_first_answer_comes_again(http: httpx.AsyncClient) -> None:
    first = await http.post("/v1/studies", json=definition(), headers=KEYED)
    again = await http.post("/v1/studies", json=definition(), headers=KEYED)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    for name in ("etag", "location", "content-type"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len((await http.get("/v1/studies")).json()["studies"]) == 1


async def test_the_same_json_in_other_bytes_is_the_same_body(http: httpx.AsyncClient) -> None:
    await http.post("/v1/studies", json=definition(), headers=KEYED)
    turned = dict(reversed(definition().items()))
    again = await http.post("/v1/studies", json=turned, headers=KEYED)
    assert again.status_code == 201


async def test_another_body_under_the_key_is_refused(http: httpx.AsyncClient) -> None:
    await http.post("/v1/studies", json=definition(), headers=KEYED)
    other = await http.post("/v1/studies", json=definition("other"), headers=KEYED)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    first = await http.post("/v1/studies", json=definition(), headers=KEYED)
    assert first.status_code == 201


async def test_another_query_under_the_key_is_refused(http: httpx.AsyncClient) -> None:
    dry = await http.post("/v1/studies?dry_run=true", json=definition(), headers=KEYED)
    wet = await http.post("/v1/studies", json=definition(), headers=KEYED)
    assert (dry.status_code, wet.status_code) == (200, 422)
    assert wet.json()["code"] == "idempotency-key-reused"


async def test_a_dry_run_draws_one_seed_under_one_key(http: httpx.AsyncClient) -> None:
    body = definition(suggester={"name": "random"})
    first = await http.post("/v1/studies?dry_run=true", json=body, headers=KEYED)
    again = await http.post("/v1/studies?dry_run=true", json=body, headers=KEYED)
    assert first.json() == again.json()


async def test_a_key_is_bound_to_its_path(http: httpx.AsyncClient) -> None:
    one, two = await create(http, "one"), await create(http, "two")
    for study in (one, two):
        answer = await http.post(f"/v1/studies/{study['id']}:pause", headers=KEYED)
        assert answer.json()["id"] == study["id"]


async def test_a_key_is_bound_to_its_token(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    _, other = services.tokens.create("other", Role.SUBMITTER, None)
    answers = []
    for n, secret in enumerate((tokens[Role.SUBMITTER], other)):
        headers = {"Authorization": f"Bearer {secret}", **KEYED}
        async with client_of(app, contract, **headers) as http:
            answers.append(await http.post("/v1/studies", json=definition(f"study {n}")))
    assert [answer.status_code for answer in answers] == [201, 201]


async def test_a_final_refusal_is_kept(http: httpx.AsyncClient) -> None:
    study = await create(http)
    path = f"/v1/studies/{study['id']}:resume"
    first = await http.post(path, headers=KEYED)
    assert (first.status_code, first.json()["code"]) == (409, "illegal-transition")
    await http.post(f"/v1/studies/{study['id']}:pause")
    again = await http.post(path, headers=KEYED)
    assert again.content == first.content
    assert again.headers["content-type"] == "application/problem+json"
    assert (await http.post(path)).status_code == 200


async def test_a_fault_of_ours_is_not_kept(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object, **__: object) -> None:
        raise Unavailable("busy", retry_after_s=1)

    with monkeypatch.context() as patched:
        patched.setattr(services.studies, "create", busy)
        first = await http.post("/v1/studies", json=definition(), headers=KEYED)
    assert first.status_code == 503
    again = await http.post("/v1/studies", json=definition(), headers=KEYED)
    assert again.status_code == 201


async def test_a_replayed_token_has_no_secret(http: httpx.AsyncClient) -> None:
    body = {"name": "me", "role": "admin"}
    first = (await http.post("/v1/tokens", json=body, headers=KEYED)).json()
    own = {"Authorization": f"Bearer {first['secret']}", **KEYED}
    assert first["secret"]
    # The first call was nobody's, so it is another scope from here on: made again, then replayed.
    second = (await http.post("/v1/tokens", json=body, headers=own)).json()
    again = (await http.post("/v1/tokens", json=body, headers=own)).json()
    assert second["secret"]
    assert again == {**second, "secret": None}


async def test_a_suggested_trial_comes_again(http: httpx.AsyncClient) -> None:
    study = await create(http)
    path = f"/v1/studies/{study['id']}:suggest"
    first = await http.post(path, json={}, headers=KEYED)
    again = await http.post(path, json={}, headers=KEYED)
    assert first.json()["trials"][0]["id"]
    assert again.json() == first.json()


async def test_points_are_enqueued_once(http: httpx.AsyncClient) -> None:
    study = await create(http)
    path = f"/v1/studies/{study['id']}/trials"
    for _ in range(2):
        answer = await http.post(path, json={"trials": [{"params": {"x": 0.5}}]}, headers=KEYED)
        assert answer.status_code == 201
    assert len((await http.get(path)).json()["trials"]) == 1


async def test_calls_under_a_lease_take_a_key_too(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    body = {"lease_id": trial["lease_id"], "values": {"value": 0.5}}
    path = f"/v1/trials/{trial['id']}:complete"
    first = await http.post(path, json=body, headers=KEYED)
    again = await http.post(path, json=body, headers=KEYED)
    assert first.status_code == 200
    assert again.content == first.content
    other = await http.post(path, json={**body, "step": 3}, headers=KEYED)
    assert other.json()["code"] == "idempotency-key-reused"


async def test_a_call_that_still_runs_holds_its_key(
    app: FastAPI, http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_running, flight = asyncio.Event(), app.state.in_flight

    async def claim(*_: object, **__: object) -> None:
        is_running.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(services.claims, "claim", claim)
    raw = b'{"worker_id": "wk_1", "wait_s": 60}'
    headers = {"content-type": "application/json", "content-length": str(len(raw)), **KEYED}
    async with Call(app, "POST", "/v1/leases:claim", headers, [raw]) as waiting:
        await is_running.wait()
        second = await http.post("/v1/leases:claim", content=raw, headers=headers)
        assert (second.status_code, second.json()["code"]) == (409, "idempotency-in-progress")
        assert second.headers["retry-after"] == "1"
        waiting.leave()
    assert flight.n_held == 0


def test_a_key_is_free_again_after_its_call() -> None:
    flight = InFlight()
    key = Key(scope="", method="POST", path="/", key="k", body_hash="")
    with flight.hold(key), pytest.raises(Conflict), flight.hold(key):
        pass
    with flight.hold(key):
        assert flight.n_held == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é"])
async def test_a_key_that_is_none_is_malformed(http: httpx.AsyncClient, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    answer = await http.post("/v1/studies", json=definition(), headers=headers)
    problem = is_problem(answer, 400, "malformed-request")
    assert [fault["pointer"] for fault in problem["errors"]] == ["/Idempotency-Key"]


async def test_a_get_takes_no_notice_of_a_key(http: httpx.AsyncClient) -> None:
    await http.get("/v1/studies", headers=KEYED)
    await create(http)
    assert len((await http.get("/v1/studies", headers=KEYED)).json()["studies"]) == 1
