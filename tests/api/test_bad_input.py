"""Whatever comes in: a problem document with the right code, never a 500, nothing written."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.service.services import Services

from .asgi import Call
from .conftest import create, definition
from .problems import is_problem

pytestmark = pytest.mark.anyio

JSON = {"Content-Type": "application/json"}
SPACE: list[dict[str, Any]] = definition()["space"]


async def n_studies(http: httpx.AsyncClient) -> int:
    return len((await http.get("/v1/studies")).json()["studies"])


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "malformed-request"),
        (b"{", 400, "malformed-request"),
        (b"\xff\xfe\x00", 400, "malformed-request"),
        (b'{"name": NaN}', 400, "malformed-request"),
        (b'{"name": "a", "name": "b"}', 400, "malformed-request"),
        (b"[" * 100_000, 400, "malformed-request"),
        (b"[]", 422, "invalid-study"),
        (b'"study"', 422, "invalid-study"),
        (b"null", 422, "invalid-study"),
        (b"{}", 422, "invalid-study"),
    ],
)
async def test_a_body_that_is_no_definition(
    http: httpx.AsyncClient, raw: bytes, status: int, code: str
) -> None:
    answer = await http.post("/v1/studies", content=raw, headers=JSON)
    is_problem(answer, status, code)
    assert await n_studies(http) == 0


@pytest.mark.parametrize(
    ("pointer", "changed"),
    [
        ("/space/0/low", {"space": [{**SPACE[0], "low": 2.0}]}),
        ("/space/0/low", {"space": [{**SPACE[0], "log": True}]}),
        ("/space/0/step", {"space": [{**SPACE[0], "step": 0}]}),
        ("/space/0/step", {"space": [{**SPACE[0], "step": 5}]}),
        ("/space/0/choices", {"space": [{"name": "c", "type": "categorical", "choices": []}]}),
        ("/space/1/name", {"space": [SPACE[0], SPACE[0]]}),
        ("/space/0/when/param", {"space": [{**SPACE[0], "when": {"param": "later", "low": 1}}]}),
        ("/metrics", {"metrics": []}),
        ("/suggester/name", {"suggester": {"name": "radnom"}}),
        ("/suggester/options/n_inital", {"suggester": {"name": "gp", "options": {"n_inital": 3}}}),
        ("/space/0/high", {"space": [{**SPACE[0], "high": "NaN"}]}),
        ("/constraints", {"constraints": [{"terms": {"x": 1}, "op": ">=", "bound": 1e3}]}),
        ("/nmae", {"nmae": "x"}),
    ],
)
async def test_a_fault_of_a_definition_is_named_where_it_is(
    http: httpx.AsyncClient, pointer: str, changed: dict[str, Any]
) -> None:
    answer = await http.post("/v1/studies", json={**definition(), **changed})
    problem = is_problem(answer, 422, "invalid-study")
    found = [error["pointer"] for error in problem["errors"]]
    assert any(each.startswith(pointer) for each in found), problem["errors"]
    assert await n_studies(http) == 0


async def test_all_faults_are_named_at_once(http: httpx.AsyncClient) -> None:
    body = {"name": "", "metrics": [], "space": [{**SPACE[0], "low": 3}], "sugester": {}}
    problem = is_problem(await http.post("/v1/studies", json=body), 422, "invalid-study")
    assert len(problem["errors"]) >= 4


async def test_a_body_with_a_length_past_the_limit(http: httpx.AsyncClient) -> None:
    body = json.dumps(definition(description="x" * 300_000))
    answer = await http.post("/v1/studies", content=body, headers=JSON)
    problem = is_problem(answer, 413, "too-large")
    assert problem["limit_bytes"] == 200_000
    assert await n_studies(http) == 0


async def test_a_chunked_body_is_cut_off_at_the_limit(app: FastAPI) -> None:
    chunks = [b" " * 50_000] * 40
    async with Call(
        app, "POST", "/v1/studies", {**JSON, "transfer-encoding": "chunked"}, chunks
    ) as call:
        status, headers = await call.start()
        problem = json.loads(await call.read())
    assert (status, problem["code"]) == (413, "too-large")
    assert headers["content-type"] == "application/problem+json"
    assert call.n_chunks_read == 5


async def test_a_length_that_lies_does_not_pass_the_limit(app: FastAPI) -> None:
    chunks = [b" " * 150_000] * 3
    async with Call(app, "POST", "/v1/studies", {**JSON, "content-length": "10"}, chunks) as call:
        status, _ = await call.start()
        await call.read()
    assert status == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": ""},
    ],
)
async def test_a_body_that_is_not_json_is_415(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.post("/v1/studies", content=json.dumps(definition()), headers=headers)
    is_problem(answer, 415, "unsupported-media-type")
    assert await n_studies(http) == 0


async def test_json_in_utf8_by_name_is_taken(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": 'application/json; charset="UTF-8"'}
    answer = await http.post("/v1/studies", content=json.dumps(definition()), headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "path", ["/v2", "/v1", "/v1/studies/", "/v1/study", "/v1/studies/st_1:explode"]
)
async def test_an_unknown_path_is_404(http: httpx.AsyncClient, path: str) -> None:
    is_problem(await http.get(path), 404, "not-found")
    is_problem(await http.post(path, json={}), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/v1/studies", "GET, HEAD, POST"),
        ("PUT", "/v1/studies/st_1", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/v1/studies/st_1:pause", "POST"),
        ("GET", "/v1/studies/by-name/x", "PUT"),
        ("DELETE", "/v1/trials/tr_1/measurements", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/v1/leases:claim", "POST"),
        ("POST", "/", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_405_with_every_right_one(
    http: httpx.AsyncClient, method: str, path: str, allow: str
) -> None:
    answer = await http.request(method, path)
    is_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize(
    "path",
    [
        "/v1/studies/st_none",
        "/v1/studies/st_none/trials",
        "/v1/studies/st_none/best",
        "/v1/studies/st_none/pareto",
        "/v1/studies/st_none/export",
        "/v1/studies/st_none/events",
        "/v1/trials/tr_none",
        "/v1/trials/tr_none/measurements",
        "/v1/workers/wk_none",
        "/v1/studies/%F0%9F%92%A5",
        "/v1/studies/%00",
    ],
)
async def test_what_does_not_exist_is_404(http: httpx.AsyncClient, path: str) -> None:
    is_problem(await http.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/studies?stat=active", "/stat"),
        ("/v1/studies?page_size=-1", "/page_size"),
        ("/v1/studies?page_size=ten", "/page_size"),
        ("/v1/studies?page_size=1&page_size=2", "/page_size"),
        ("/v1/studies?state=asleep", "/state"),
        ("/v1/studies?label=nonsense", "/label"),
        ("/v1/studies?view=all", "/view"),
        ("/v1/studies?page_token=garbage", "/page_token"),
        ("/v1/workers?a=1", "/a"),
        ("/v1/events?wait_s=1000", "/wait_s"),
        ("/v1/studies/st_1/replay?after=2147483648", "/after"),
        ("/v1/events?wait_s=nan", "/wait_s"),
        ("/healthz?x=1", "/x"),
        ("/v1/studies?name_prefix=%00", "/name_prefix"),
    ],
)
async def test_a_wrong_query_parameter_is_named(
    http: httpx.AsyncClient, path: str, pointer: str
) -> None:
    problem = is_problem(await http.get(path), 422, "invalid-value")
    assert [error["pointer"] for error in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("where=nonsense", "/where"),
        ('where={"x": 3}', "/where"),
        ('where={"x": {"low": "a"}}', "/where"),
        ('where={"x": {"in": []}}', "/where"),
        ('where={"x": {"low": NaN}}', "/where"),
        ("order_by=colour", "/order_by"),
        ("changed_since=-1", "/changed_since"),
        ("page_size=99999999999999999999", None),
    ],
)
async def test_a_wrong_selection_of_trials_is_named(
    http: httpx.AsyncClient, query: str, pointer: str | None
) -> None:
    study = await create(http)
    answer = await http.get(f"/v1/studies/{study['id']}/trials?{query}")
    if pointer is None:
        assert answer.status_code == 200
    else:
        problem = is_problem(answer, 422, "invalid-value")
        assert problem["errors"][0]["pointer"] == pointer


async def test_an_unknown_parameter_has_its_near_miss_named(http: httpx.AsyncClient) -> None:
    problem = is_problem(await http.get("/v1/studies?page_sise=1"), 422, "invalid-value")
    assert "did you mean 'page_size'" in problem["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Host": "evil.example"}, "Host"),
        ({"Host": "evil.example:8700"}, "Host"),
        ({"Host": "127.0.0.1.evil.example"}, "Host"),
        ({"Host": "10.0.0.7"}, "Host"),
        ({"Host": "[::1"}, "Host"),
        ({"Origin": "https://evil.example"}, "Origin"),
        ({"Origin": "null"}, "Origin"),
        ({"Origin": "http://127.0.0.1:9999"}, "Origin"),
        ({"Origin": "file://"}, "Origin"),
    ],
)
async def test_with_auth_off_strangers_are_refused(
    http: httpx.AsyncClient, headers: dict[str, str], told: str
) -> None:
    for call in (
        http.post("/v1/studies", json=definition(), headers=headers),
        http.get("/v1/studies", headers=headers),
        http.get("/", headers=headers),
    ):
        assert told in is_problem(await call, 403, "forbidden")["detail"]
    assert await n_studies(http) == 0


@pytest.mark.parametrize(
    "host", ["localhost:8700", "127.0.0.1", "[::1]:8700", "127.1.2.3", "a.localhost"]
)
async def test_with_auth_off_this_machine_is_let_in(http: httpx.AsyncClient, host: str) -> None:
    own = {"Host": host, "Origin": f"http://{host}"}
    assert (await http.get("/v1/studies", headers=own)).status_code == 200


async def test_a_verb_takes_no_body(http: httpx.AsyncClient) -> None:
    study = await create(http)
    path = f"/v1/studies/{study['id']}:pause"
    is_problem(await http.post(path, json={"when": "now"}), 422, "invalid-value")
    assert (await http.get(f"/v1/studies/{study['id']}")).json()["state"] == "active"
    assert (await http.post(path, json={})).status_code == 200


async def test_a_failure_of_our_own_is_500_without_its_cause(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(services.studies, "page", broken)
    answer = await http.get("/v1/studies", headers={"X-Request-ID": "mine-1"})
    problem = is_problem(answer, 500, "internal")
    assert "hunter2" not in answer.text
    assert problem["request_id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_service_that_starts_is_503(app: FastAPI, http: httpx.AsyncClient) -> None:
    app.state.services = None
    answer = await http.get("/v1/studies")
    problem = is_problem(answer, 503, "storage-busy")
    assert problem["retryable"] is True
    assert answer.headers["retry-after"] == "1"
    assert (await http.get("/healthz")).status_code == 200


async def test_a_request_id_that_is_no_name_is_replaced(http: httpx.AsyncClient) -> None:
    for given in ("a b", "x" * 200, "<script>"):
        answer = await http.get("/healthz", headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"].startswith("rq_")
    kept = await http.get("/healthz", headers={"X-Request-ID": "abc.DEF-1"})
    assert kept.headers["x-request-id"] == "abc.DEF-1"


async def test_every_answer_has_the_security_headers(http: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/v1/studies", "/nowhere", "/"):
        headers = (await http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
