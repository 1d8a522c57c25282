"""Values that are wrong inside a body that can be read: named by pointer, nothing written."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import ask, create
from .problems import is_problem

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
async def test_a_final_value_that_is_not_finite_is_referred_to_fail(
    http: httpx.AsyncClient, word: str
) -> None:
    trial = await ask(http, (await create(http))["id"])
    body = {"lease_id": trial["lease_id"], "state": "completed", "values": {"value": word}}
    answer = await http.post(f"/v1/trials/{trial['id']}:complete", json=body)
    problem = is_problem(answer, 422, "invalid-value")
    assert problem["errors"][0]["pointer"] == "/values/value"
    assert ":fail" in problem["errors"][0]["detail"]
    assert "nan" in problem["errors"][0]["detail"]
    assert (await http.get(f"/v1/trials/{trial['id']}")).json()["state"] == "running"


WRONG_REPORTS: list[tuple[dict[str, Any], str]] = [
    ({"seq": -1}, "/seq"),
    ({"seq": 1.5}, "/seq"),
    ({"seq": True}, "/seq"),
    ({"seq": "1"}, "/seq"),
    ({"seq": 2**60}, "/seq"),
    ({"points": [{"step": 0, "values": {}}]}, "/points/0/step"),
    ({"points": [{"step": 1}]}, "/points/0/values"),
    ({"points": [{"step": 1, "values": {"a": "nan"}}]}, "/points/0/values/a"),
    ({"points": [{"step": 1, "values": {"a/b": None}}]}, "/points/0/values/a~1b"),
    ({"points": {}}, "/points"),
    ({"pionts": []}, "/pionts"),
]


@pytest.mark.parametrize(("wrong", "pointer"), WRONG_REPORTS)
async def test_a_wrong_report_changes_nothing(
    http: httpx.AsyncClient, wrong: dict[str, Any], pointer: str
) -> None:
    trial = await ask(http, (await create(http))["id"])
    body = {"lease_id": trial["lease_id"], "seq": 0, "points": [], **wrong}
    answer = await http.post(f"/v1/trials/{trial['id']}/measurements", json=body)
    problem = is_problem(answer, 422, "invalid-value")
    assert pointer in [error["pointer"] for error in problem["errors"]]
    curves = await http.get(f"/v1/trials/{trial['id']}/measurements")
    assert curves.json() == {"measurements": [], "next_page_token": None}


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        ({}, "/trials/0/params"),
        ({"params": {"y": 1}}, "/trials/0/params/y"),
        ({"params": {"x": 7}}, "/trials/0/params/x"),
        ({"params": {"x": "a"}}, "/trials/0/params/x"),
        ({"params": {"x": 0.5}, "values": {}, "state": "completed"}, "/trials/0/values/value"),
        ({"params": {"x": 0.5}, "values": {"value": "NaN"}}, "/trials/0/values/value"),
        ({"params": {"x": 0.5}, "state": "running"}, "/trials/0/state"),
        ({"params": {"x": 0.5}, "values": {"value": 1}, "ended_at": "soon"}, "/trials/0/ended_at"),
        ({"params": {"x": 0.5}, "parms": {}}, "/trials/0/parms"),
        (
            {
                "params": {"x": 0.5},
                "values": {"value": 1},
                "measurements": [{"step": 1, "values": {"value": 1}, "elapsed_s": -1}],
            },
            "/trials/0/measurements/0/elapsed_s",
        ),
        (
            {
                "params": {"x": 0.5},
                "values": {"value": 1},
                "started_at": "0001-01-01T00:00:00+14:00",
            },
            "/trials/0/started_at",
        ),
        ({"params": {"x": 0.5}, "failure": 3, "state": "failed"}, "/trials/0/failure"),
        ({"params": {"x": 0.5}, "values": {"value": 1}, "state": []}, "/trials/0/state"),
        (
            {"params": {"x": 0.5}, "state": "failed", "failure": {"kind": {}}},
            "/trials/0/failure/kind",
        ),
        ({"params": {"x": 0.5}, "values": {"value": [1]}}, "/trials/0/values/value"),
        ({"params": {"x": 0.5}, "values": {"value": {}}}, "/trials/0/values/value"),
    ],
)
async def test_one_wrong_item_keeps_all_out(
    http: httpx.AsyncClient, item: dict[str, Any], pointer: str
) -> None:
    study = await create(http)
    body = {"trials": [{"params": {"x": 0.25}}, item]}
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json=body)
    problem = is_problem(answer, 422, "invalid-value")
    found = [error["pointer"] for error in problem["errors"]]
    assert pointer.replace("/trials/0", "/trials/1") in found
    listed = await http.get(f"/v1/studies/{study['id']}/trials")
    assert listed.json()["trials"] == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"trials": []},
        {"trials": [3]},
        {"trials": {"params": {}}},
        {"trials": [{"params": {}}] * 2501},
    ],
)
async def test_a_list_of_trials_that_is_none(http: httpx.AsyncClient, body: Any) -> None:
    study = await create(http)
    answer = await http.post(f"/v1/studies/{study['id']}/trials", json=body)
    problem = is_problem(answer, 422, "invalid-value")
    assert problem["errors"][0]["pointer"].startswith("/trials")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/leases:claim", {"worker_id": "wk_1", "wait_s": 121}),
        ("/v1/leases:claim", {"worker_id": "wk_1", "max_leases": 0}),
        ("/v1/leases:claim", {"max_leases": 1}),
        ("/v1/leases:heartbeat", {"leases": [{"lease_id": "ls_1", "utilisation": 2}]}),
        ("/v1/workers", {"name": "a", "boot_id": "b", "slots": 0}),
        ("/v1/workers", {"name": "a", "boot_id": "b", "devices": [{"index": 0, "kind": "tpu"}]}),
        ("/v1/workers", {"name": "a", "boot_id": "b", "objectives": [7]}),
        ("/v1/tokens", {"name": "a", "role": "king"}),
        ("/v1/tokens", {"name": "a", "role": "admin", "expires_in_s": 0}),
        ("/v1/studies/{id}:suggest", {"lease_s": 1}),
        ("/v1/studies/{id}:suggest", {"count": 0}),
        ("/v1/studies/{id}:suggest", {"client_id": ""}),
    ],
)
async def test_values_out_of_range_are_refused(
    http: httpx.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    study = await create(http)
    answer = await http.post(path.replace("{id}", study["id"]), json=body)
    is_problem(answer, 422, "invalid-value")
