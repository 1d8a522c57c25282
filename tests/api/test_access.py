"""Who may do what: every operation under every role, and the ways to be nobody."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from app.api import build, sse
from app.api.description import document
from app.domain.token import Role
from app.service.services import Services
from app.settings import Settings

from .asgi import Call
from .conftest import BASE, client_of, create, definition
from .contract import Contract

pytestmark = pytest.mark.anyio

_BY_ROLES = {
    frozenset({Role.READER, Role.SUBMITTER, Role.ADMIN}): """
        list_studies get_study get_best_trials get_pareto_front replay_study get_analysis
        list_trials
        list_workers get_worker get_catalog stream_study_events list_events export_trials
        get_metrics
    """,
    frozenset(Role): """
        get_trial list_measurements get_logs get_meta get_session get_checkpoint read_checkpoint
    """,
    frozenset({Role.SUBMITTER, Role.ADMIN}): """
        create_study put_study update_study pause_study resume_study stop_study cancel_study
        delete_study undelete_study enqueue_trials update_trial cancel_trial retry_trial
        suggest_trials
    """,
    frozenset({Role.WORKER, Role.ADMIN}): "register_worker claim_leases",
    frozenset({Role.WORKER, Role.SUBMITTER, Role.ADMIN}): """
        heartbeat_leases renew_lease release_lease report_measurements complete_trial fail_trial
        append_logs match_trial
        create_checkpoint upload_checkpoint commit_checkpoint
    """,
    frozenset({Role.ADMIN}): """
        update_worker delete_worker create_token list_tokens get_token revoke_token list_audit
    """,
}
MAY = {name: roles for roles, names in _BY_ROLES.items() for name in names.split()}
"""The contract's rule on roles, operation by operation."""

OPEN = {"get_health", "get_readiness", "create_session", "delete_session"}

PAGE = document(build(Settings()))
OPERATIONS = [
    (entry["operationId"], method.upper(), path)
    for path, operations in PAGE["paths"].items()
    for method, entry in operations.items()
]


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_the_matrix_names_every_operation() -> None:
    assert {name for name, _, _ in OPERATIONS} == set(MAY) | OPEN


def test_the_docs_name_the_roles_of_the_matrix() -> None:
    told = {
        entry["operationId"]: frozenset(entry["x-roles"])
        for operations in PAGE["paths"].values()
        for entry in operations.values()
    }
    assert told == {**MAY, **dict.fromkeys(OPEN, frozenset())}


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_gets_in_where_it_may_and_nowhere_else(
    app: FastAPI, contract: Contract, tokens: dict[Role, str], role: Role
) -> None:
    async with client_of(app, contract, **bearer(tokens[role])) as http:
        for name, method, path in OPERATIONS:
            url = path.replace("{", "").replace("}", "")  # ids that do not exist
            answer = await http.request(method, url)
            is_refused = answer.status_code == 403
            assert answer.status_code != 401
            assert is_refused is (name not in OPEN and role not in MAY[name]), (name, answer.text)
            if is_refused:
                assert answer.json()["needed"]


async def test_without_a_token_everything_but_health_is_401(
    app: FastAPI, contract: Contract, tokens: dict[Role, str]
) -> None:
    assert tokens
    async with client_of(app, contract) as http:
        for name, method, path in OPERATIONS:
            answer = await http.request(method, path)
            assert (answer.status_code == 401) is (name not in OPEN), (name, answer.text)
            if answer.status_code == 401:
                assert answer.json()["code"] == "unauthenticated"
                assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer nonsense", "Basic dTpw", "bearer\ttw_x", "Bearer tw_é"],
)
async def test_a_header_that_is_no_token_is_401(
    http: httpx.AsyncClient, tokens: dict[Role, str], header: str
) -> None:
    assert tokens
    answer = await http.get(
        "/v1/studies", headers=[(b"authorization", header.encode("latin-1", "replace"))]
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_the_scheme_is_read_in_any_case(
    http: httpx.AsyncClient, tokens: dict[Role, str]
) -> None:
    answer = await http.get(
        "/v1/studies", headers={"Authorization": f"bEARER {tokens[Role.READER]}"}
    )
    assert answer.status_code == 200


async def test_a_revoked_token_is_out_at_once(
    http: httpx.AsyncClient, services: Services, tokens: dict[Role, str]
) -> None:
    token, secret = services.tokens.create("leaver", Role.ADMIN, None)
    assert (await http.get("/v1/studies", headers=bearer(secret))).status_code == 200
    admin = bearer(tokens[Role.ADMIN])
    revoked = await http.delete(f"/v1/tokens/{token.id}", headers=admin)
    assert revoked.json()["revoked_at"] is not None
    assert (await http.get("/v1/studies", headers=bearer(secret))).status_code == 401


async def test_an_expired_token_is_out(http: httpx.AsyncClient, services: Services) -> None:
    _, secret = services.tokens.create("guest", Role.ADMIN, 60)
    assert (await http.get("/v1/studies", headers=bearer(secret))).status_code == 200
    services.store.clock.offset_s = 61
    assert (await http.get("/v1/studies", headers=bearer(secret))).status_code == 401


async def test_the_first_token_turns_auth_on_for_good(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/studies")).status_code == 200
    made = (await http.post("/v1/tokens", json={"name": "me", "role": "admin"})).json()
    assert (await http.get("/v1/studies")).status_code == 401
    own = bearer(made["secret"])
    assert (await http.get("/v1/studies", headers=own)).status_code == 200
    assert (await http.delete(f"/v1/tokens/{made['id']}", headers=own)).status_code == 200
    assert (await http.get("/v1/studies")).status_code == 401


async def test_a_new_token_is_found_where_its_location_says(
    http: httpx.AsyncClient, tokens: dict[Role, str]
) -> None:
    admin = bearer(tokens[Role.ADMIN])
    made = await http.post("/v1/tokens", json={"name": "lab", "role": "worker"}, headers=admin)
    found = await http.get(made.headers["location"], headers=admin)
    assert found.json() == {k: v for k, v in made.json().items() if k != "secret"}
    missing = await http.get("/v1/tokens/tk_none", headers=admin)
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")


async def test_a_secret_is_shown_once(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v1/tokens", json={"name": "me", "role": "admin"})).json()
    listed = await http.get("/v1/tokens", headers=bearer(made["secret"]))
    assert made["secret"] not in listed.text
    [shown] = listed.json()["tokens"]
    assert made["secret"].startswith(shown["prefix"])


async def test_with_auth_on_any_host_and_origin_may_call_with_a_token(
    http: httpx.AsyncClient, tokens: dict[Role, str]
) -> None:
    headers = {
        **bearer(tokens[Role.SUBMITTER]),
        "Host": "tuner.example",
        "Origin": "https://tuner.example",
    }
    answer = await http.post("/v1/studies", json=definition(), headers=headers)
    assert answer.status_code == 201


async def test_writes_go_to_whoever_got_the_lease(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    _, other = services.tokens.create("other", Role.SUBMITTER, None)
    async with (
        client_of(app, contract, **bearer(tokens[Role.SUBMITTER])) as mine,
        client_of(app, contract, **bearer(other)) as theirs,
    ):
        study = await create(mine)
        asked = await mine.post(f"/v1/studies/{study['id']}:suggest", json={})
        trial = asked.json()["trials"][0]
        body = {"lease_id": trial["lease_id"], "values": {"value": 1}}
        path = f"/v1/trials/{trial['id']}:complete"
        assert (await theirs.post(path, json=body)).status_code == 403
        assert (await mine.post(path, json=body)).status_code == 200


async def test_a_worker_reads_only_the_trials_it_was_given(
    app: FastAPI, contract: Contract, services: Services, tokens: dict[Role, str]
) -> None:
    _, other = services.tokens.create("other worker", Role.WORKER, None)
    async with (
        client_of(app, contract, **bearer(tokens[Role.WORKER])) as worker,
        client_of(app, contract, **bearer(other)) as stranger,
        client_of(app, contract, **bearer(tokens[Role.SUBMITTER])) as user,
    ):
        objective = {"name": "function", "options": {"function": "sphere"}}
        space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
        await create(user, objective=objective, space=space)
        body = {"name": "w", "boot_id": "1", "objectives": ["function"]}
        worker_id = (await worker.post("/v1/workers", json=body)).json()["id"]
        claimed = await worker.post("/v1/leases:claim", json={"worker_id": worker_id})
        [lease] = claimed.json()["leases"]
        path = f"/v1/trials/{lease['trial']['id']}"
        assert (await worker.get(path)).status_code == 200
        assert (await worker.get(f"{path}/measurements")).status_code == 200
        assert (await stranger.get(path)).status_code == 403
        assert (await stranger.get(f"{path}/measurements")).status_code == 403


async def test_a_revoked_token_ends_its_streams(
    app: FastAPI,
    http: httpx.AsyncClient,
    services: Services,
    tokens: dict[Role, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "TICK_S", 0.01)
    monkeypatch.setattr(sse, "RECHECK_S", 0.0)
    study = services.studies.create(definition()).study
    token, secret = services.tokens.create("watcher", Role.READER, None)
    headers = {"authorization": f"Bearer {secret}"}
    async with Call(app, "GET", f"/v1/studies/{study.id}/events", headers) as stream:
        assert (await stream.event_after_start())["event"] == "study.state"
        services.tokens.revoke(token.id)
        assert b"event: trial" not in await stream.read()


async def test_pages_are_shells_that_need_no_token(
    http: httpx.AsyncClient, tokens: dict[Role, str]
) -> None:
    assert tokens
    for path in ("/", "/studies/st_1", "/docs", "/static/style/base.css", "/openapi.json"):
        assert (await http.get(path)).status_code == 200, path
    assert str(http.base_url) == BASE
