"""Trials and leases over HTTP: from asking to exporting."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx
import pytest

from app.store import measurements

from .conftest import ask, create, tell
from .problems import is_problem

pytestmark = pytest.mark.anyio


async def enqueue(
    http: httpx.AsyncClient, study: dict[str, Any], *items: dict[str, Any]
) -> list[dict[str, Any]]:
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": list(items)})
    assert answer.status_code == 201, answer.text
    added: list[dict[str, Any]] = answer.json()["trials"]
    return added


async def listed(http: httpx.AsyncClient, study: dict[str, Any], **asked: Any) -> list[int]:
    answer = await http.get(f"/v1/studies/{study['id']}/trials", params=asked)
    assert answer.status_code == 200, answer.text
    return [trial["number"] for trial in answer.json()["trials"]]


async def test_a_suggested_trial_has_what_a_client_needs(http: httpx.AsyncClient) -> None:
    study = await create(http)
    answer = await http.post(f"/v1/studies/{study['id']}:suggest", json={"count": 2})
    assert answer.json()["study_state"] == "active"
    assert [t["number"] for t in answer.json()["trials"]] == [1, 2]
    trial = answer.json()["trials"][0]
    assert set(trial) == {
        "attempt",
        "id",
        "number",
        "params",
        "lease_id",
        "expires_at",
        "budget",
        "checkpoint",
        "last_seq",
        "last_step",
    }
    assert (trial["last_seq"], trial["last_step"], trial["attempt"]) == (-1, None, 1)
    assert trial["budget"] == {"from_step": 0, "to_step": None}


async def test_no_body_at_all_asks_for_one_trial(http: httpx.AsyncClient) -> None:
    study = await create(http)
    answer = await http.post(f"/v1/studies/{study['id']}:suggest")
    assert len(answer.json()["trials"]) == 1


async def test_a_paused_study_suggests_nothing(http: httpx.AsyncClient) -> None:
    study = await create(http)
    await http.post(f"/v1/studies/{study['id']}:pause")
    answer = await http.post(f"/v1/studies/{study['id']}:suggest", json={"wait_s": 30})
    assert answer.json() == {"trials": [], "study_state": "paused"}


async def test_a_client_gets_its_open_trial_back(http: httpx.AsyncClient) -> None:
    study = await create(http)
    body = {"client_id": "laptop"}
    first = await http.post(f"/v1/studies/{study['id']}:suggest", json=body)
    trial = first.json()["trials"][0]
    report = {
        "lease_id": trial["lease_id"],
        "seq": 4,
        "points": [{"step": 2, "values": {"value": 1}}],
    }
    await http.post(f"/v1/trials/{trial['id']}/measurements", json=report)
    again = (await http.post(f"/v1/studies/{study['id']}:suggest", json=body)).json()["trials"][0]
    assert (again["id"], again["lease_id"]) == (trial["id"], trial["lease_id"])
    assert (again["last_seq"], again["last_step"]) == (4, 2)


async def test_measurements_keep_what_is_not_finite(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    values = {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1.5, "e": 2}
    body = {
        "lease_id": trial["lease_id"],
        "seq": 0,
        "points": [{"step": 1, "values": values, "elapsed_s": 0.5}],
    }
    path = f"/v1/trials/{trial['id']}/measurements"
    first = (await http.post(path, json=body)).json()
    assert (first["accepted"], first["duplicates"], first["directive"]) == (1, 0, "continue")
    again = (await http.post(path, json=body)).json()
    assert (again["accepted"], again["duplicates"]) == (0, 1)
    [read] = (await http.get(path)).json()["measurements"]
    assert read["values"] == values
    assert (read["step"], read["seq"], read["elapsed_s"]) == (1, 0, 0.5)
    shown = (await http.get(f"/v1/trials/{trial['id']}")).json()
    assert shown["measurements"] == {"count": 1, "last_step": 1, "last_values": values}


async def test_the_same_completion_gets_the_first_answer(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    first = await tell(http, trial, 0.5)
    assert await tell(http, trial, 0.5) == first
    shown = (await http.get(f"/v1/trials/{trial['id']}")).json()
    assert [attempt["end"] for attempt in shown["attempts"]] == ["completed"]


async def test_a_lease_that_never_was_is_404(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    body = {"lease_id": "ls_never", "values": {"value": 1}}
    answer = await http.post(f"/v1/trials/{trial['id']}:complete", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_a_declared_metric_is_missed(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    body = {"lease_id": trial["lease_id"], "values": {"other": 1}}
    answer = await http.post(f"/v1/trials/{trial['id']}:complete", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/values/value"


async def test_user_points_run_first_and_partial_ones_are_completed(
    http: httpx.AsyncClient,
) -> None:
    space = [
        {"name": "x", "type": "float", "low": 0, "high": 1},
        {"name": "y", "type": "int", "low": 1, "high": 9},
    ]
    study = await create(http, space=space)
    await enqueue(http, study, {"params": {"x": 0.5, "y": 3}}, {"params": {"x": 0.25}})
    first, second = await ask(http, study["id"]), await ask(http, study["id"])
    assert first["params"] == {"x": 0.5, "y": 3}
    assert second["params"]["x"] == 0.25
    assert 1 <= second["params"]["y"] <= 9


async def test_a_partial_point_is_completed_within_the_constraints_or_refused(
    http: httpx.AsyncClient,
) -> None:
    space = [{"name": name, "type": "float", "low": 0, "high": 1} for name in "abc"]
    shares = {"terms": dict.fromkeys("abc", 1), "op": "==", "bound": 1}
    study = await create(http, space=space, constraints=[shares])
    await enqueue(http, study, {"params": {"a": 0.625}})
    params = (await ask(http, study["id"]))["params"]
    assert params["a"] == 0.625
    assert sum(params.values()) == pytest.approx(1.0)
    body = {"trials": [{"params": {"a": 0.5}}, {"params": {"a": 0.625, "b": 0.75}}]}
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")
    [fault] = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == ("/trials/1/params", "constraint-violated")
    assert len((await http.get(f"/v1/studies/{study['id']}/trials")).json()["trials"]) == 1


async def test_finished_trials_are_imported_with_their_curves(http: httpx.AsyncClient) -> None:
    study = await create(http, limits={"max_trials": 1})
    [trial] = await enqueue(
        http,
        study,
        {
            "params": {"x": 0.5},
            "values": {"value": 0.25},
            "step": 2,
            "measurements": [{"step": 1, "values": {"value": "NaN"}, "elapsed_s": 1}],
            "started_at": "2026-01-01T10:00:00+02:00",
            "ended_at": "2026-01-01T10:05:00+02:00",
        },
    )
    assert (trial["state"], trial["source"], trial["step"]) == ("completed", "import", 2)
    assert trial["started_at"] == "2026-01-01T08:00:00.000000Z"
    curve = (await http.get(f"/v1/trials/{trial['id']}/measurements")).json()["measurements"]
    assert [point["values"] for point in curve] == [{"value": "NaN"}]
    shown = (await http.get(f"/v1/studies/{study['id']}")).json()
    assert (shown["places"], shown["state"]) == (0, "active")
    assert shown["best"]["id"] == trial["id"]


async def test_points_past_the_budget_are_refused(http: httpx.AsyncClient) -> None:
    study = await create(http, limits={"max_trials": 2})
    items = [{"params": {"x": k / 10}} for k in range(3)]
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": items})
    assert (answer.status_code, answer.json()["code"]) == (409, "budget-exhausted")
    assert await listed(http, study) == []


async def test_trials_are_listed_in_any_order(http: httpx.AsyncClient) -> None:
    space = [
        {"name": "x", "type": "float", "low": 0, "high": 1},
        {"name": "c", "type": "categorical", "choices": ["a", "b"]},
    ]
    study = await create(http, space=space)
    items: list[dict[str, Any]] = [
        {"params": {"x": 0.3, "c": "a"}, "values": {"value": 2}},
        {"params": {"x": 0.1, "c": "b"}, "values": {"value": 3}},
        {"params": {"x": 0.2, "c": "a"}, "values": {"value": 1}},
        {"params": {"x": 0.9, "c": "b"}},
    ]
    await enqueue(http, study, *items)
    assert await listed(http, study) == [1, 2, 3, 4]
    assert await listed(http, study, order_by="-number") == [4, 3, 2, 1]
    assert await listed(http, study, order_by="value") == [3, 1, 2, 4]
    assert await listed(http, study, order_by="-value") == [2, 1, 3, 4]
    assert await listed(http, study, order_by="param:x") == [2, 3, 1, 4]
    assert await listed(http, study, order_by="-created_at") == [4, 3, 2, 1]
    assert await listed(http, study, state="completed", order_by="value") == [3, 1, 2]
    assert await listed(http, study, state="pending,failed") == [4]
    where = json.dumps({"x": {"low": 0.15, "high": 0.5}})
    assert await listed(http, study, where=where) == [1, 3]
    assert await listed(http, study, where=json.dumps({"c": {"in": ["b"]}})) == [2, 4]


@pytest.mark.parametrize("order_by", ["number", "-value", "param:x", "-created_at"])
async def test_pages_of_trials_hold_together(http: httpx.AsyncClient, order_by: str) -> None:
    study = await create(http)
    items = [{"params": {"x": k / 20}, "values": {"value": k % 3}} for k in range(7)]
    await enqueue(http, study, *items)
    whole = await listed(http, study, order_by=order_by)
    seen: list[int] = []
    asked: dict[str, Any] = {"page_size": 3, "order_by": order_by}
    while True:
        page = (await http.get(f"/v1/studies/{study['id']}/trials", params=asked)).json()
        seen += [trial["number"] for trial in page["trials"]]
        if page["next_page_token"] is None:
            break
        asked["page_token"] = page["next_page_token"]
    assert seen == whole
    assert sorted(whole) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_trials_curve_is_read_at_once_or_in_pages(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = await create(http)
    trial, other = await ask(http, study["id"]), await ask(http, study["id"])
    path = f"/v1/trials/{trial['id']}/measurements"
    for seq, steps in enumerate(((1, 2), (3, 4), (5,))):
        points = [{"step": step, "values": {"value": step / 4}} for step in steps]
        body = {"lease_id": trial["lease_id"], "seq": seq, "points": points}
        assert (await http.post(path, json=body)).is_success
    whole = (await http.get(path)).json()
    assert [each["step"] for each in whole["measurements"]] == [1, 2, 3, 4, 5]
    assert whole["next_page_token"] is None
    assert (await http.get(path, params={"page_size": 0})).json() == whole
    seen, token = [], ""
    while token is not None:
        asked = {"page_size": 2, "page_token": token}
        page = (await http.get(path, params=asked)).json()
        assert len(page["measurements"]) in (1, 2)
        seen += page["measurements"]
        token = page["next_page_token"]
        if len(seen) == 2:
            elsewhere = f"/v1/trials/{other['id']}/measurements"
            is_problem(
                await http.get(elsewhere, params=asked | {"page_token": token}),
                422,
                "invalid-value",
            )
    assert seen == whole["measurements"]
    monkeypatch.setattr(measurements, "MOST", 3)
    first = (await http.get(path)).json()
    rest = (await http.get(path, params={"page_token": first["next_page_token"]})).json()
    assert first["measurements"] + rest["measurements"] == whole["measurements"]
    assert rest["next_page_token"] is None


@pytest.mark.parametrize("asked", [{"page_size": 0}, {"page_token": ""}])
async def test_no_size_and_no_token_are_the_default_and_the_first_page(
    http: httpx.AsyncClient, asked: dict[str, Any]
) -> None:
    study = await create(http)
    await enqueue(http, study, *({"params": {"x": k / 200}} for k in range(101)))
    path = f"/v1/studies/{study['id']}/trials"
    page = (await http.get(path, params=asked)).json()
    assert page == (await http.get(path)).json()
    assert len(page["trials"]) == 100
    assert (await http.get("/v1/studies", params=asked)).json()["studies"][0]["id"] == study["id"]


async def test_only_what_changed_is_read_again(http: httpx.AsyncClient) -> None:
    study = await create(http)
    await ask(http, study["id"])
    page = (await http.get(f"/v1/studies/{study['id']}/trials")).json()
    assert await listed(http, study, changed_since=page["change_seq"]) == []
    await ask(http, study["id"])
    assert await listed(http, study, changed_since=page["change_seq"]) == [2]


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)"]


async def test_a_csv_export_runs_no_formula(http: httpx.AsyncClient) -> None:
    space = [
        {"name": "c", "type": "categorical", "choices": HOSTILE},
        {"name": "x", "type": "float", "low": -1, "high": 1},
    ]
    study = await create(http, space=space)
    items = [{"params": {"c": choice, "x": -0.5}, "values": {"value": -2.5}} for choice in HOSTILE]
    await enqueue(http, study, *items)
    answer = await http.get(f"/v1/studies/{study['id']}/export?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.text.count("\r\n") == 5
    rows = list(csv.reader(io.StringIO(answer.text, newline="")))
    column = rows[0].index("params.c")
    assert [row[column] for row in rows[1:]] == [f"'{choice}" for choice in HOSTILE]
    assert {row[rows[0].index("values.value")] for row in rows[1:]} == {"-2.5"}


async def test_json_lines_can_be_read_line_by_line(http: httpx.AsyncClient) -> None:
    study = await create(http)
    items = [{"params": {"x": k / 1000}, "values": {"value": k}} for k in range(450)]
    await enqueue(http, study, *items)
    answer = await http.get(f"/v1/studies/{study['id']}/export?format=jsonl")
    assert answer.headers["content-type"] == "application/jsonl"
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["number"] for row in rows] == list(range(1, 451))
    assert rows[7]["values.value"] == 7
    assert rows[7]["created_at"].endswith("Z")


async def test_a_format_that_is_not_there_names_those_that_are(http: httpx.AsyncClient) -> None:
    study = await create(http)
    answer = await http.get(f"/v1/studies/{study['id']}/export?format=xml")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-value")
    assert "csv, jsonl, parquet" in answer.json()["detail"]


async def test_a_clients_open_trials_come_back_in_the_order_of_their_numbers(
    http: httpx.AsyncClient,
) -> None:
    study = await create(http)
    asked = {"client_id": "script", "count": 6}
    path = f"/v1/studies/{study['id']}:suggest"
    await http.post(path, json=asked)
    for count in (6, 1, 3):
        again = (await http.post(path, json={**asked, "count": count})).json()["trials"]
        assert [trial["number"] for trial in again] == list(range(1, count + 1))


async def test_a_study_that_is_stopping_takes_no_point_and_no_retry(
    http: httpx.AsyncClient,
) -> None:
    study = await create(http, failure_policy={"max_attempts": 1})
    failed = await ask(http, study["id"])
    body = {"lease_id": failed["lease_id"], "kind": "user_error"}
    await http.post(f"/v1/trials/{failed['id']}:fail", json=body)
    await ask(http, study["id"])
    stopping = await http.post(f"/v1/studies/{study['id']}:stop")
    assert stopping.json()["state"] == "stopping"
    point = {"trials": [{"params": {"x": 0.2}}]}
    for path, sent in (
        (f"/v1/studies/{study['id']}/trials", point),
        (f"/v1/trials/{failed['id']}:retry", None),
    ):
        refused = await http.post(path, json=sent)
        assert (refused.status_code, refused.json()["code"]) == (409, "illegal-transition")
    done = {"trials": [{"params": {"x": 0.3}, "values": {"value": 1.0}}]}
    imported = await http.post(f"/v1/studies/{study['id']}/trials", json=done)
    assert imported.status_code == 201


async def test_an_imported_trial_does_not_begin_after_its_end(http: httpx.AsyncClient) -> None:
    study = await create(http)
    item = {"params": {"x": 0.1}, "values": {"value": 1}, "started_at": "2999-01-01T00:00:00Z"}
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json={"trials": [item]})
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == ("/trials/0/started_at", "order")


async def test_a_field_that_is_not_there_names_a_near_miss(http: httpx.AsyncClient) -> None:
    study = await create(http)
    answer = await http.post(f"/v1/studies/{study['id']}:suggest", json={"cout": 1})
    (fault,) = answer.json()["errors"]
    assert (fault["pointer"], fault["code"]) == ("/cout", "unknown-field")
    assert 'did you mean "count"?' in fault["detail"]
    answer = await http.post(f"/v1/studies/{study['id']}:suggest", json=[])
    (fault,) = answer.json()["errors"]
    assert (fault["code"], fault["detail"]) == (
        "wrong-type",
        "must be an object, found a list of 0 values",
    )


async def test_a_whole_number_may_be_written_with_a_point(http: httpx.AsyncClient) -> None:
    trial = await ask(http, (await create(http))["id"])
    body = {"lease_id": trial["lease_id"], "seq": 1.0, "points": []}
    answer = await http.post(f"/v1/trials/{trial['id']}/measurements", json=body)
    assert answer.status_code == 200, answer.text


async def test_the_trials_of_a_deleted_study_are_hidden_with_it(http: httpx.AsyncClient) -> None:
    study = await create(http)
    trial = await ask(http, study["id"])
    paths = [f"/v1/trials/{trial['id']}{more}" for more in ("", "/measurements", "/logs")]
    await http.delete(f"/v1/studies/{study['id']}")
    assert [(await http.get(path)).status_code for path in paths] == [404] * 3
    await http.post(f"/v1/studies/{study['id']}:undelete")
    assert [(await http.get(path)).status_code for path in paths] == [200] * 3
