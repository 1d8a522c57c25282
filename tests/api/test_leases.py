"""Leases and workers over HTTP: claim, beat, fail, release."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.service.services import Services

from .asgi import Call
from .conftest import ask, create
from .problems import is_problem

pytestmark = pytest.mark.anyio


async def test_a_failure_is_retried_until_it_is_not(http: httpx.AsyncClient) -> None:
    study = await create(http, failure_policy={"max_attempts": 2, "backoff_s": 0})
    for will_retry, state in ((True, "pending"), (False, "failed")):
        trial = await ask(http, study["id"])
        body = {
            "lease_id": trial["lease_id"],
            "kind": "user_error",
            "message": "broke",
            "traceback": "at \0line",
        }
        answer = await http.post(f"/v1/trials/{trial['id']}:fail", json=body)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["will_retry"], answer.json()["state"]) == (will_retry, state)
    failed = (await http.get(f"/v1/trials/{trial['id']}")).json()
    assert failed["failure"]["kind"] == "user_error"
    assert "line" in failed["failure"]["traceback"]
    assert failed["n_attempts"] == 2
    again = await http.post(f"/v1/trials/{trial['id']}:retry")
    assert again.json()["state"] == "pending"
    assert again.json()["n_attempts"] == 0


async def failed(http: httpx.AsyncClient, study_id: str, kind: str = "user_error") -> Any:
    trial = await ask(http, study_id)
    body = {"lease_id": trial["lease_id"], "kind": kind, "message": "broke"}
    answer = await http.post(f"/v1/trials/{trial['id']}:fail", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_trial_that_waits_says_until_when(http: httpx.AsyncClient) -> None:
    policy = {"backoff_s": 86400, "max_backoff_s": 86400}
    study = await create(http, failure_policy=policy)
    answer = await failed(http, study["id"])
    shown = (await http.get(f"/v1/trials/{answer['id']}")).json()
    assert answer["will_retry"]
    assert shown["updated_at"] < shown["not_before"] == answer["not_before"]
    assert (shown["state"], shown["min_memory_bytes"]) == ("pending", None)


async def test_a_study_that_paused_itself_says_why(http: httpx.AsyncClient) -> None:
    study = await create(
        http, failure_policy={"backoff_s": 86400, "max_backoff_s": 86400, "pause_after": 2}
    )
    assert (study["pause_reason"], study["pause_detail"]) == (None, None)
    for _ in range(2):
        await failed(http, study["id"])
    shown = (await http.get(f"/v1/studies/{study['id']}")).json()
    assert (shown["state"], shown["pause_reason"]) == ("paused", "failures")
    assert shown["pause_detail"].endswith("the last one said: broke")
    assert shown["revision"] == study["revision"] + 1
    resumed = (await http.post(f"/v1/studies/{study['id']}:resume")).json()
    assert (resumed["state"], resumed["pause_reason"]) == ("active", None)


async def test_a_kind_of_failure_is_retried_as_the_policy_says(http: httpx.AsyncClient) -> None:
    study = await create(http, failure_policy={"retry_user_error": False, "retry_nan": True})
    assert not (await failed(http, study["id"]))["will_retry"]
    assert (await failed(http, study["id"], "nan"))["will_retry"]


async def test_a_released_trial_is_pending_again(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    answer = await http.post(f"/v1/leases/{trial['lease_id']}:release", json={"reason": "draining"})
    assert (answer.json()["state"], answer.json()["losses"]) == ("pending", 1)
    late = await http.post(f"/v1/leases/{trial['lease_id']}:renew")
    assert (late.status_code, late.json()["code"]) == (409, "stale-lease")


async def test_pausing_off_a_rung_is_refused(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    answer = await http.post(f"/v1/leases/{trial['lease_id']}:release", json={"reason": "paused"})
    assert answer.status_code == 409
    assert (await http.get(f"/v1/trials/{trial['id']}")).json()["state"] == "running"


async def test_beats_renew_and_name_the_stale(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    body = {"leases": [{"lease_id": trial["lease_id"], "step": 1}, {"lease_id": "ls_never"}]}
    answer = (await http.post("/v1/leases:heartbeat", json=body)).json()["leases"]
    assert [beat["directive"] for beat in answer] == ["continue", "abort"]
    assert answer[0]["expires_at"] >= trial["expires_at"]
    assert answer[1]["expires_at"] is None
    renewed = (await http.post(f"/v1/leases/{trial['lease_id']}:renew")).json()
    assert renewed["directive"] == "continue"


async def worker_study(http: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    objective = {"name": "function", "options": {"function": "sphere"}}
    space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
    return await create(http, objective=objective, space=space, **more)


async def test_a_lease_says_what_its_trial_needs(http: httpx.AsyncClient) -> None:
    await worker_study(http, resources={"cpu": 0.5})
    worker = await register(http)
    claimed = (await http.post("/v1/leases:claim", json={"worker_id": worker["id"]})).json()
    (lease,) = claimed["leases"]
    assert lease["resources"] == {"cpu": 0.5, "gpu": 0.0, "gpu_memory_bytes": 0}


async def register(http: httpx.AsyncClient, boot_id: str = "1", **more: Any) -> dict[str, Any]:
    body = {"name": "w", "boot_id": boot_id, "objectives": ["function"], "slots": 2, **more}
    answer = await http.post("/v1/workers", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_worker_claims_what_it_offers(http: httpx.AsyncClient) -> None:
    worker = await register(http)
    assert worker["lease_ttl_s"] > worker["heartbeat_s"] > 0
    await create(http, "ask-tell")
    study = await worker_study(http)
    body = {"worker_id": worker["id"], "max_leases": 2}
    claimed = (await http.post("/v1/leases:claim", json=body)).json()
    assert claimed["open_work"] is True
    assert [lease["trial"]["study_id"] for lease in claimed["leases"]] == [study["id"]] * 2
    lease = claimed["leases"][0]
    assert lease["trial"]["state"] == "running"
    assert lease["objective"]["name"] == "function"
    assert lease["objective"]["options"]["function"] == "sphere"
    assert (lease["checkpoint"], lease["fuse_group"]) == (None, None)
    held = (await http.get(f"/v1/workers/{worker['id']}")).json()["leases"]
    assert {each["lease_id"] for each in held} == {each["lease_id"] for each in claimed["leases"]}


async def test_a_waiting_claim_is_woken_by_work(http: httpx.AsyncClient) -> None:
    worker = await register(http)
    body = {"worker_id": worker["id"], "wait_s": 60}
    waiting = asyncio.create_task(http.post("/v1/leases:claim", json=body))
    study = await worker_study(http)
    claimed = (await asyncio.wait_for(waiting, 20)).json()
    assert claimed["leases"][0]["trial"]["study_id"] == study["id"]


async def test_a_claim_that_runs_out_is_an_empty_list(http: httpx.AsyncClient) -> None:
    worker = await register(http)
    answer = await http.post("/v1/leases:claim", json={"worker_id": worker["id"]})
    assert answer.json() == {"leases": [], "open_work": False}


async def test_a_claim_of_a_client_that_left_takes_nothing(
    app: FastAPI, http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await register(http)
    is_waiting, has_ended = asyncio.Event(), asyncio.Event()

    async def claim(*_: object, **__: object) -> None:
        is_waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            has_ended.set()

    monkeypatch.setattr(services.claims, "claim", claim)
    raw = json.dumps({"worker_id": worker["id"], "wait_s": 60}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(raw))}
    async with Call(app, "POST", "/v1/leases:claim", headers, [raw]) as call:
        await is_waiting.wait()
        call.leave()
        await asyncio.wait_for(has_ended.wait(), 10)


async def test_a_worker_that_starts_anew_gives_its_trials_back(http: httpx.AsyncClient) -> None:
    worker = await register(http)
    await worker_study(http)
    claim = {"worker_id": worker["id"]}
    [lease] = (await http.post("/v1/leases:claim", json=claim)).json()["leases"]
    again = await register(http, "2")
    assert again["id"] == worker["id"]
    trial = (await http.get(f"/v1/trials/{lease['trial']['id']}")).json()
    assert (trial["state"], trial["losses"]) == ("pending", 1)


async def test_a_draining_worker_gets_nothing(http: httpx.AsyncClient) -> None:
    worker = await register(http)
    await worker_study(http)
    path = f"/v1/workers/{worker['id']}"
    assert (await http.patch(path, json={"draining": True})).json()["draining"] is True
    claimed = await http.post("/v1/leases:claim", json={"worker_id": worker["id"]})
    assert claimed.json()["leases"] == []
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404


async def test_what_a_worker_offers_is_shown_as_sent(http: httpx.AsyncClient) -> None:
    offer = {
        "name": "own",
        "version": "2",
        "params_schema": {"type": "object"},
        "options_schema": None,
        "metrics": {"score": "maximize"},
        "steps": "epoch",
        "checkpoints": True,
        "max_resource": 9,
        "data": [{"dataset": "mine", "digest": "ab12"}],
    }
    device = {
        "index": 0,
        "kind": "gpu",
        "model": "H200",
        "memory_total_bytes": 150_000_000_000,
        "memory_free_bytes": None,
    }
    await register(http, objectives=[offer, "function"], devices=[device], labels={"rack": "7"})
    [shown] = (await http.get("/v1/workers")).json()["workers"]
    assert shown["objectives"][0] == offer
    assert shown["objectives"][1]["name"] == "function"
    assert (shown["devices"], shown["labels"]) == ([device], {"rack": "7"})


async def test_a_worker_shows_what_is_free_on_it_and_what_it_holds(http: httpx.AsyncClient) -> None:
    device = {"index": 0, "kind": "gpu", "memory_total_bytes": 100, "memory_free_bytes": 90}
    body = {"name": "w", "boot_id": "1", "devices": [device], "objectives": ["function"]}
    worker = (await http.post("/v1/workers", json=body)).json()
    assert (worker["devices_free"], worker["devices_free_at"]) == ([], None)
    space = [{"name": "x0", "type": "float", "low": 0, "high": 1}]
    study = await create(http, "held", objective={"name": "function"}, space=space)
    asked = {"worker_id": worker["id"], "devices_free": [{"index": 0, "memory_free_bytes": 40}]}
    [lease] = (await http.post("/v1/leases:claim", json=asked)).json()["leases"]
    [shown] = (await http.get("/v1/workers")).json()["workers"]
    assert shown["devices_free"] == asked["devices_free"]
    assert shown["devices_free_at"] == shown["last_seen_at"]
    [held] = shown["leases"]
    assert (held["study_name"], held["number"]) == ("held", 1)
    assert (held["lease_id"], held["study_id"]) == (lease["lease_id"], study["id"])
    beat = {"worker_id": worker["id"], "leases": [{"lease_id": lease["lease_id"]}]}
    free = [{"index": 0, "memory_free_bytes": 25}]
    answer = await http.post("/v1/leases:heartbeat", json=beat | {"devices_free": free})
    assert answer.json()["leases"][0]["directive"] == "continue"
    await http.post("/v1/leases:heartbeat", json=beat)  # says nothing of it: what was said stands
    assert (await http.get("/v1/workers")).json()["workers"][0]["devices_free"] == free
    again = (await http.post("/v1/workers", json={**body, "boot_id": "2"})).json()
    assert again["devices_free"] == []


async def test_one_lease_is_renewed_with_what_a_beat_says(http: httpx.AsyncClient) -> None:
    worker = await register(http)
    await worker_study(http)
    claimed = await http.post("/v1/leases:claim", json={"worker_id": worker["id"]})
    (lease,) = claimed.json()["leases"]
    for body in (None, {}, {"step": 3, "memory_bytes": 77, "utilisation": 0.5}):
        renewed = await http.post(f"/v1/leases/{lease['lease_id']}:renew", json=body)
        assert (renewed.status_code, renewed.json()["directive"]) == (200, "continue")
    (held,) = (await http.get(f"/v1/workers/{worker['id']}")).json()["leases"]
    assert (held["memory_bytes"], held["utilisation"]) == (77, 0.5)


async def test_a_built_in_objective_by_its_name_alone_is_the_one_that_is_known(
    http: httpx.AsyncClient,
) -> None:
    """A worker that says no more than the name takes no check away."""
    await register(http, objectives=["function"])
    wrong = {
        "name": "wrong",
        "objective": {"name": "function", "options": {"function": "nope", "bad": 1}},
        "metrics": [{"name": "value", "direction": "minimize"}],
        "space": [{"name": "zz", "type": "float", "low": 0, "high": 1}],
    }
    answer = await http.post("/v1/studies?dry_run=true", json=wrong)
    codes = {fault["code"] for fault in answer.json()["errors"]}
    assert codes == {"unknown-value", "unknown-option", "unknown-objective-parameter"}


@pytest.mark.parametrize(
    ("schema", "pointer", "said"),
    [
        ({"type": "float"}, "/type", '"type" is one or several of'),
        ({"type": []}, "/type", "a list of 0 values"),
        ({"properties": ["lr"]}, "/properties", "is an object of schemas"),
        ({"properties": {"l/r": 3}}, "/properties/l~1r", "Must be an object, found 3"),
        ({"properties": {"lr": {"minimum": "0"}}}, "/properties/lr/minimum", "is a number"),
        ({"properties": {"lr": {"required": True}}}, "/properties/lr/required", "list of names"),
        ({"properties": {"m": {"enum": "ab"}}}, "/properties/m/enum", "is a list"),
        ({"properties": {"m": {"maxLength": -1}}}, "/properties/m/maxLength", "0 or more"),
        ({"patternProperties": {"^x[0-9]+$": []}}, "/patternProperties/^x[0-9]+$", "an object"),
        ({"additionalProperties": "no"}, "/additionalProperties", "an object"),
    ],
)
@pytest.mark.parametrize("field", ["params_schema", "options_schema"])
async def test_an_offer_whose_schema_is_none_is_refused_with_its_place(
    http: httpx.AsyncClient, field: str, schema: dict[str, Any], pointer: str, said: str
) -> None:
    offers = [{"name": "fine", field: {"type": ["object", "null"]}}, {"name": "f", field: schema}]
    body = {"name": "w", "boot_id": "1", "objectives": offers}
    problem = is_problem(await http.post("/v1/workers", json=body), 422, "invalid-value")
    [fault] = problem["errors"]
    assert fault["pointer"] == f"/objectives/1/{field}{pointer}"
    assert said in fault["detail"]
    assert (await http.get("/v1/workers")).json()["workers"] == []


async def test_what_of_a_schema_is_not_looked_at_is_passed_over(http: httpx.AsyncClient) -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {"a": True, "b": {"oneOf": [{}], "format": 3, "default": None}},
        "additionalProperties": False,
    }
    offers = [{"name": "f", "params_schema": schema, "options_schema": {}}]
    body = {"name": "w", "boot_id": "1", "objectives": offers}
    assert (await http.post("/v1/workers", json=body)).status_code == 201
