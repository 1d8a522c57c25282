"""The end of a trial that brings its last measurements along and asks for the next trial."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.domain.token import Role
from app.service.services import Services

from .conftest import ask, create

pytestmark = pytest.mark.anyio

VERBS = ("complete", "fail")


def end(trial: dict[str, Any], verb: str = "complete", **more: Any) -> dict[str, Any]:
    """The path and the body of an end with two measurements."""
    said = {"values": {"value": 1.0}} if verb == "complete" else {"kind": "user_error"}
    points = [{"step": k, "values": {"value": 1.0 / k}} for k in (1, 2)]
    body = {"lease_id": trial["lease_id"], "measurements": {"seq": 0, "points": points}}
    return {"url": f"/v1/trials/{trial['id']}:{verb}", "json": {**body, **said, **more}}


async def steps_of(http: httpx.AsyncClient, trial_id: str) -> list[int]:
    found = (await http.get(f"/v1/trials/{trial_id}/measurements")).json()
    return [each["step"] for each in found["measurements"]]


@pytest.mark.parametrize("verb", VERBS)
async def test_the_same_call_again_is_answered_the_same(http: httpx.AsyncClient, verb: str) -> None:
    study = await create(http, failure_policy={"max_attempts": 1})
    trial = await ask(http, study["id"])
    call = end(trial, verb, next={"client_id": "c"})
    first, again = [(await http.post(**call)).json() for _ in range(2)]
    assert first["state"] == {"complete": "completed", "fail": "failed"}[verb]
    assert await steps_of(http, trial["id"]) == [1, 2]
    [given], [known] = first["next"]["trials"], again["next"]["trials"]
    assert (given["number"], given["lease_id"]) == (2, known["lease_id"])
    shown = (await http.get(f"/v1/studies/{study['id']}")).json()
    assert sum(shown["trial_counts"].values()) == 2
    assert {**first, "next": None} == {**again, "next": None}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_refused_point_refuses_all_of_it(http: httpx.AsyncClient, verb: str) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    points = [{"step": 1, "values": {"value": 1.0}}, {"step": 0, "values": {}}]
    last = {"seq": 0, "points": points}
    answer = await http.post(**end(trial, verb, measurements=last, next={"client_id": "c"}))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/measurements/points/1/step"
    shown = (await http.get(f"/v1/studies/{study['id']}")).json()
    assert (shown["trial_counts"]["running"], await steps_of(http, trial["id"])) == (1, [])


async def test_measurements_go_with_values_that_are_refused(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    answer = await http.post(**end(trial, values={"other": 1.0}))
    assert (answer.status_code, await steps_of(http, trial["id"])) == (422, [])


async def test_a_report_that_was_sent_before_counts_once(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    call = end(trial)
    report = {"lease_id": trial["lease_id"], **call["json"]["measurements"]}
    sent = await http.post(f"/v1/trials/{trial['id']}/measurements", json=report)
    assert sent.json()["accepted"] == 2
    assert (await http.post(**call)).json()["step"] == 2
    assert await steps_of(http, trial["id"]) == [1, 2]


async def test_under_a_stale_lease_nothing_is_written_or_given(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    await http.post(f"/v1/trials/{trial['id']}:cancel")
    answer = await http.post(**end(trial, next={"client_id": "c"}))
    assert (answer.status_code, answer.json()["code"]) == (409, "stale-lease")
    shown = (await http.get(f"/v1/studies/{study['id']}")).json()
    assert (shown["trial_counts"], await steps_of(http, trial["id"])) == ({"cancelled": 1}, [])


async def test_a_study_that_is_full_gives_nothing(http: httpx.AsyncClient) -> None:
    study = await create(http, limits={"max_trials": 1})
    trial = await ask(http, study["id"])
    answer = (await http.post(**end(trial, next={"client_id": "c"}))).json()
    assert answer["next"] == {"trials": [], "study_state": "completed"}


async def test_the_next_one_is_asked_for_under_a_name(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    answer = await http.post(**end(trial, next={}))
    assert answer.json()["errors"][0]["pointer"] == "/next/client_id"


async def test_a_worker_may_end_a_trial_but_not_ask(
    http: httpx.AsyncClient, services: Services
) -> None:
    study = await create(http)
    _, secret = services.tokens.create("w", Role.WORKER, None)
    headers = {"Authorization": f"Bearer {secret}"}
    call = end({"id": "tr_1", "lease_id": "ls_1"}, next={"client_id": "c"})
    answer = await http.post(**call, headers=headers)
    assert (answer.status_code, answer.json()["needed"]) == (403, ["submitter", "admin"])
    assert services.studies.get(study["id"]).study.places == 0
